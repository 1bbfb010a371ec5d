"""Behind the operator's own proxy, and to the operator's PO token provider."""

import json
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.networking.common import Request

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.sources.fetching import Access, FetchOptions
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.exits import exits
from narralytica_ingest.sources.ytdlp.options import parameters
from narralytica_ingest_tests.forward_proxy import ForwardProxy
from narralytica_ingest_tests.integration.guard.guarded import BROWSERS, CERTIFICATE, CLIP, fetch, only, refusal
from narralytica_ingest_tests.socks_proxy import SocksProxy
from narralytica_ingest_tests.source_server import SourceServer


@pytest.mark.parametrize("kind", ["http", "https", "socks4", "socks4a", "socks5", "socks5h"])
@BROWSERS
def test_the_guard_goes_through_a_proxy_of_every_kind(
    server: SourceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, impersonate: str | None
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    login = "someone:pass" if kind != "socks4" and kind != "socks4a" else None
    certificate = CERTIFICATE if kind == "https" else None
    with ForwardProxy(login, certificate=certificate) as forward, SocksProxy(login) as socks:
        url = socks.url(kind, login or "") if kind.startswith("socks") else forward.url(login or "")
        fetched = fetch(server.url("/clip.mp4"), tmp_path, server, access=Access(proxy=url, impersonate=impersonate))
        assert fetched.parts[0].read_bytes() == CLIP
        assert len(socks.asked if kind.startswith("socks") else forward.passed) == sum(server.requests.values())


@pytest.mark.parametrize("kind", ["http", "socks5h", "socks4a"])
def test_a_name_that_only_the_proxy_knows_is_left_to_it(server: SourceServer, tmp_path: Path, kind: str) -> None:
    ports = {"far.away.invalid": int(server.url("").rpartition(":")[2])}
    with ForwardProxy(ports=ports) as forward, SocksProxy(ports=ports) as socks:
        url = forward.url() if kind == "http" else socks.url(kind)
        fetched = fetch("http://far.away.invalid/clip.mp4", tmp_path, server, access=Access(proxy=url))
    assert fetched.parts[0].read_bytes() == CLIP
    assert all("far.away.invalid" in target for target in [*forward.passed, *socks.asked])


@pytest.mark.parametrize("kind", ["socks5", "socks4"])
def test_a_proxy_that_takes_addresses_is_asked_for_no_name(server: SourceServer, tmp_path: Path, kind: str) -> None:
    with SocksProxy() as socks:
        access = Access(proxy=socks.url(kind))
        assert refusal("http://far.away.invalid/clip.mp4", tmp_path, server, access=access) == "no_such_host"
    assert not socks.asked


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "0x7f.1", "metadata.internal",
                                  "printer.local", "router", "1.2.3.08"])  # fmt: skip
@pytest.mark.parametrize("kind", ["http", "socks5h"])
def test_a_proxy_is_not_asked_for_what_is_forbidden(
    server: SourceServer, canary: SourceServer, tmp_path: Path, host: str, kind: str
) -> None:
    port = int(canary.url("").rpartition(":")[2])
    with ForwardProxy(ports={host: port}) as forward, SocksProxy(ports={host: port}) as socks:
        access = Access(proxy=forward.url() if kind == "http" else socks.url(kind))
        found = refusal(f"http://{host}:{port}/clip.mp4", tmp_path, server, access=access)
        assert found in ("blocked_address", "no_such_host")
        assert (forward.passed, socks.asked) == ([], [])
    assert not canary.requests


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_the_login_needs_the_operator(
    server: SourceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, scheme: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    url = server.url("/clip.mp4").replace("http:", f"{scheme}:")
    certificate = CERTIFICATE if kind == "https" else None
    with ForwardProxy("a:b", certificate=certificate) as forward, SocksProxy("a:b") as socks:
        proxy = socks.url(kind, "a:CANARY") if kind == "socks5" else forward.url("a:CANARY")
        with pytest.raises(IngestError) as raised:
            fetch(url, tmp_path, server, access=Access(proxy=proxy))
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.NEEDS_OPERATOR, "proxy_login_required")
    assert "CANARY" not in raised.value.message


# ---- PO tokens -------------------------------------------------------------------------------------------------------


def test_the_plugin_for_po_tokens_reaches_its_provider_and_nothing_else_does(
    server: SourceServer, canary: SourceServer, tmp_path: Path
) -> None:
    """`canary` is the provider here: configured, and by no exception of the policy open to others."""
    canary.add("/ping", json.dumps({"version": "1.0.0"}).encode(), content_type="application/json")
    options = FetchOptions(egress=only(server), access=Access(pot_provider_url=canary.url("/")))
    direct: dict[str, Any] = {"all": None}
    with exits(options) as out, Downloader(parameters(tmp_path, options), out) as downloader:
        with downloader.urlopen(Request(canary.url("/ping"), proxies=dict(direct))) as response:
            assert json.load(response) == {"version": "1.0.0"}
        for url, proxies in [(canary.url("/ping"), {}), (canary.url("/ping"), {"all": None, "no": "*"}),
                             ("http://127.0.0.1:9/ping", direct), ("http://localhost:1/ping", direct)]:  # fmt: skip
            with pytest.raises(Exception, match="nothing is fetched from"):
                downloader.urlopen(Request(url, proxies=dict(proxies)))
        canary.add_redirect("/moved", server.url("/clip.mp4"))
        with pytest.raises(Exception, match="nothing is fetched from"):
            downloader.urlopen(Request(canary.url("/moved"), proxies=dict(direct)))
    assert canary.requests == {"/ping": 1, "/moved": 1}
    assert not server.requests


def test_without_a_provider_its_usual_port_is_closed(
    server: SourceServer, canary: SourceServer, tmp_path: Path
) -> None:
    options = FetchOptions(egress=only(server))
    with (
        exits(options) as out,
        Downloader(parameters(tmp_path, options), out) as downloader,
        pytest.raises(Exception, match="nothing is fetched from"),
    ):
        downloader.urlopen(Request(canary.url("/ping"), proxies={"all": None}))
    assert not canary.requests
