"""What `doctor` says of the access to sources, by really trying it."""

import json
import socket
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from narralytica_ingest.cli import doctor_sources
from narralytica_ingest.cli.checks import Broken
from narralytica_ingest.cli.doctor_sources import NOT_CONFIGURED, source_checks
from narralytica_ingest.config import Settings
from narralytica_ingest.failures import IngestError
from narralytica_ingest.sources import ytdlp
from narralytica_ingest_tests.forward_proxy import ForwardProxy
from narralytica_ingest_tests.source_server import SourceServer

HEADER = "# Netscape HTTP Cookie File\n"
COOKIE = ".example.com\tTRUE\t/\tTRUE\t{}\tname\tCANARY\n"


@pytest.fixture
def server() -> Iterator[SourceServer]:
    with SourceServer() as running:
        yield running


def said(settings: dict[str, Any], name: str) -> str:
    """What the check says; a failure is marked with `BAD`."""
    checks = dict(source_checks(Settings(**settings)))
    try:
        return checks[name]()
    except Broken as broken:
        said = f"BAD {broken.detail} {broken.mend}"
    except IngestError as error:
        said = f"BAD {error.message}"
    assert "CANARY" not in said
    return said


def proxies(**urls: str) -> dict[str, Any]:
    return {"proxies": {domain.replace("_", "."): SecretStr(url) for domain, url in urls.items()}}


def test_what_is_not_configured_is_not_tried() -> None:
    tried = {name: look() for name, look in source_checks(Settings()) if name not in ("egress", "deno")}
    assert tried == dict.fromkeys(("cookies", "proxy", "PO tokens", "impersonate"), NOT_CONFIGURED)


def test_the_guard_is_tried_and_what_the_settings_open_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said({}, "egress") == "public addresses, ports 80, 443"
    opened = {"egress_allow": "lab:8080", "egress_ports": "443", "denied_extractors": "generic"}
    assert said(opened, "egress") == "public addresses, ports 443; exceptions lab 8080; denied extractors generic"
    monkeypatch.setattr("narralytica_ingest.egress.judge.judge", lambda *_: None)
    assert said({}, "egress").startswith("BAD the guard did not refuse an address of this machine")


def test_the_javascript_runtime_runs_javascript(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "runs JavaScript" in said({}, "deno")
    monkeypatch.setattr(ytdlp, "javascript_runtime", lambda: None)
    assert "javascript_runtime_missing" in said({}, "deno")


@pytest.mark.parametrize(
    ("script", "expected"), [("echo 2.0 41", "does not run JavaScript"), ("exit 3", "exit code 3")]
)
def test_a_javascript_runtime_that_does_not_work_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: str
) -> None:
    deno = tmp_path / "deno"
    deno.write_text(f"#!/bin/sh\n{script}\n")
    deno.chmod(0o700)
    monkeypatch.setattr(ytdlp, "javascript_runtime", lambda: deno)
    assert expected in said({}, "deno")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            HEADER + COOKIE.format(4_000_000_000) * 2 + COOKIE.format(1000),
            "2 cookies in the file (example.com 2); 1 exp",
        ),
        (HEADER + COOKIE.format(1000), "BAD all 1 cookies in the file have expired"),
        (HEADER, "BAD the file is empty"),
        ("CANARY", "BAD The cookies file does not begin with"),
    ],
)
def test_the_cookies_file_is_read(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "cookies.txt"
    path.write_text(text)
    assert said({"cookies_file": path}, "cookies").startswith(expected)


def test_a_browser_that_has_no_cookies_is_bad(tmp_path: Path) -> None:
    assert said({"cookies_from_browser": f"firefox:{tmp_path}"}, "cookies").startswith("BAD The browser's cookies")
    assert "names no browser" in said({"cookies_from_browser": "netscape"}, "cookies")


def test_a_proxy_is_asked_for_a_tunnel_to_its_domain() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as site,
        ForwardProxy("someone:p@ss", {"example.com": site.getsockname()[1]}) as proxy,
    ):
        good = proxies(example_com=proxy.url("someone:p%40ss"))
        assert said(good, "proxy example.com") == "http proxy, connects to example.com"
        assert "user name or password" in said(proxies(example_com=proxy.url("someone:CANARY")), "proxy example.com")
        nowhere = said(proxies(nowhere_invalid=proxy.url("someone:p%40ss")), "proxy nowhere.invalid")
        assert nowhere.startswith("BAD the proxy makes no connection to nowhere.invalid (502)")
        assert said({"proxies": {"*": SecretStr(proxy.url())}}, "proxy *") == "http proxy, can be connected to"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://user:CANARY@127.0.0.1:9", "BAD the proxy does not answer (ConnectionRefusedError)"),
        ("socks5h://user:CANARY@127.0.0.1:9", "BAD the proxy does not answer (ConnectionRefusedError)"),
        ("gopher://user:CANARY@127.0.0.1:9", "BAD The proxy for this source has no valid URL"),
    ],
)
def test_a_proxy_that_is_none_is_bad(url: str, expected: str) -> None:
    assert said(proxies(example_com=url), "proxy example.com").startswith(expected)


def test_a_proxy_that_says_nothing_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_sources, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        answer = said(proxies(example_com=f"http://127.0.0.1:{port}"), "proxy example.com")
        assert answer.startswith("BAD the proxy does not answer in time")
        assert said(proxies(example_com=f"socks5://127.0.0.1:{port}"), "proxy example.com").startswith("socks5 proxy")


def test_a_proxy_that_does_not_speak_tls_is_bad() -> None:
    with ForwardProxy() as proxy:
        url = proxy.url().replace("http:", "https:")
        assert said(proxies(example_com=url), "proxy example.com").startswith("BAD the proxy does not answer with TLS")


def test_the_po_token_provider_is_pinged(server: SourceServer) -> None:
    ours = version("bgutil-ytdlp-pot-provider")

    def ping(body: bytes, **properties: Any) -> str:
        server.add("/ping", body, content_type="application/json", **properties)
        return said({"pot_provider_url": server.url("/")}, "PO tokens")

    assert ping(json.dumps({"version": ours}).encode()) == f"the provider answers (version {ours}, plugin {ours})"
    assert ping(b'{"version": "1.0"}').startswith("BAD the provider is of version 1.0")
    for body in (b"<html>", b"{}", b"[]"):
        assert ping(body).startswith("BAD the provider does not answer /ping")
    assert ping(b"{}", statuses=[500]).startswith("BAD the provider does not answer /ping")


def test_the_browser_to_impersonate_is_known() -> None:
    assert said({"impersonate": "chrome"}, "impersonate").startswith("chrome, with curl_cffi ")
    assert "names no browser" in said({"impersonate": "netscape"}, "impersonate")
