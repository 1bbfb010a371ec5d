"""The settings of the guard are read exactly, or not at all."""

from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from narralytica_ingest.config import Settings
from narralytica_ingest.egress import EgressPolicy, parse_allow, parse_hosts, parse_ports, parse_words
from narralytica_ingest.resources.fetch_options import access, egress


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("", set()),
        ("lab:80", {("lab", 80)}),
        (" Media.Lab:8080 , [::1]:80,127.0.0.1:9", {("media.lab", 8080), ("::1", 80), ("127.0.0.1", 9)}),
        ("[0:0:0:0:0:0:0:1]:80", {("::1", 80)}),
        ("b\u00fccher.example:443", {("xn--bcher-kva.example", 443)}),
        ("lab.:80,lab:80", {("lab", 80)}),
    ],
)
def test_exceptions_are_read(text: str, parsed: set[tuple[str, int]]) -> None:
    assert parse_allow(text) == parsed


@pytest.mark.parametrize(
    "text", ["lab", "lab:", ":80", "lab:0", "lab:65536", "lab:http", "http://lab:80", "lab:80/x", "::1:80", "a b:80",
             "*", "lab:*", "user@lab:80", "10.0.0.0/8:80"]
)  # fmt: skip
def test_what_is_no_exact_exception_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_allow(text)


def test_ports_hosts_and_words_are_read() -> None:
    assert parse_ports("80, 443,8443") == {80, 443, 8443}
    assert parse_hosts(" .Example.com, *.example.org,b\u00fccher.example") == (
        "example.com", "example.org", "xn--bcher-kva.example",
    )  # fmt: skip
    assert parse_words("YouTube, vimeo,") == ("youtube", "vimeo")


@pytest.mark.parametrize("text", ["", "0", "70000", "80;443", "-1", "\u0668\u0660"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_ports(text)


@pytest.mark.parametrize("text", ["http://example.com", "example.com/x", "a b"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names a host"):
        parse_hosts(text)


def test_without_settings_the_policy_is_the_strict_one() -> None:
    assert egress(Settings()) == EgressPolicy()


def test_settings_make_the_policy() -> None:
    settings = Settings(
        egress_allow="lab:80", egress_ports="8443", allowed_hosts="a.example", denied_hosts="b.a.example",
        egress_max_bytes=5, egress_max_seconds=6, egress_max_connections=7,
    )  # fmt: skip
    assert egress(settings) == EgressPolicy(
        frozenset({("lab", 80)}), frozenset({8443}), ("a.example",), ("b.a.example",), 5, 6, 7
    )


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "https://a.example/", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://a.example/", "http://p:1"),
        ({"http_proxy": "p:1"}, "https://a.example/", "http://p:1"),
        ({"ALL_PROXY": "socks5h://p:1"}, "http://a.example/", "socks5h://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "http://www.a.example/", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "http://b.example/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NARRALYTICA_PROXIES": '{"*": "http://q:2"}'}, "http://b.example/", "http://q:2"),
    ],
)
def test_the_usual_proxy_is_the_environment_s(
    environment: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert access(Settings(), urlsplit(url).hostname or "", urlsplit(url).scheme).proxy == proxy


@pytest.mark.parametrize("name", ["egress_allow", "egress_ports", "allowed_hosts", "denied_hosts"])
def test_a_setting_that_cannot_be_read_stops_the_worker_at_its_start(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"NARRALYTICA_{name.upper()}", "http://x/")
    with pytest.raises(ValidationError, match=name):
        Settings()
