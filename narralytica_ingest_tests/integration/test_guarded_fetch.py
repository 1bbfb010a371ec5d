"""All that yt-dlp does goes through the guard, whatever settings, sources and the environment say; and what the guard
refuses has its own code, where it is the reason."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.networking.common import Request
from yt_dlp.utils import ExtractorError

from narralytica_ingest.egress import Contact, EgressPolicy, parse_allow
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.sources import ytdlp
from narralytica_ingest.sources.fetching import Access, Fetched, FetchEvents, FetchOptions
from narralytica_ingest.sources.ytdlp import fetch_url, javascript_runtime
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.exits import exits
from narralytica_ingest.sources.ytdlp.options import parameters
from narralytica_ingest.sources.ytdlp.programs import forbid_programs
from narralytica_ingest_tests.forward_proxy import ForwardProxy
from narralytica_ingest_tests.own_sites import knowing
from narralytica_ingest_tests.socks_proxy import SocksProxy
from narralytica_ingest_tests.source_server import SAMPLE, Asked, Resource, SourceServer, lab_options

CLIP = SAMPLE.read_bytes()
CERTIFICATE = Path(__file__).parents[1] / "source_server" / "self_signed.pem"
BROWSERS = pytest.mark.parametrize("impersonate", [None, "chrome"])


@pytest.fixture
def canary() -> Iterator[SourceServer]:
    """A server that nobody may reach: the policies of these tests do not except it."""
    with SourceServer() as running:
        running.add("/clip.mp4")
        yield running


def only(server: SourceServer, **more: Any) -> EgressPolicy:
    return EgressPolicy(allow=parse_allow(server.url("").removeprefix("http://")), **more)


def fetch(url: str, folder: Path, server: SourceServer, **options: Any) -> Fetched:
    usual: dict[str, Any] = {"egress": only(server), "retries": 1}
    fetched = fetch_url(url, folder, FetchOptions(**usual | options))
    assert isinstance(fetched, Fetched)
    return fetched


def refusal(url: str, folder: Path, server: SourceServer, **options: Any) -> str:
    """The code of the permanent failure that the fetch must end with."""
    with pytest.raises(IngestError) as raised:
        fetch(url, folder, server, **options)
    assert raised.value.failure_class is FailureClass.PERMANENT
    return raised.value.code


# ---- nothing goes past it --------------------------------------------------------------------------------------------


@BROWSERS
@pytest.mark.parametrize(
    "environment",
    [{"NO_PROXY": "*"}, {"no_proxy": "127.0.0.1,localhost"}, {"no_proxy": "*", "NO_PROXY": "*"},
     {"HTTP_PROXY": "CANARY", "http_proxy": "CANARY", "ALL_PROXY": "CANARY", "all_proxy": "CANARY",
      "https_proxy": "CANARY"}],
)  # fmt: skip
def test_the_environment_opens_no_other_way(
    server: SourceServer,
    canary: SourceServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    impersonate: str | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value.replace("CANARY", canary.url("")))
    access = Access(impersonate=impersonate)
    assert fetch(server.url("/clip.mp4"), tmp_path / "good", server, access=access).parts[0].read_bytes() == CLIP
    assert refusal(canary.url("/clip.mp4"), tmp_path / "bad", server, access=access) == "blocked_address"
    assert not canary.requests


@BROWSERS
@pytest.mark.parametrize("proxies", [{}, {"all": None}, {"http": None}, {"all": "__noproxy__"}, {"no": "*"}, "CANARY"])
def test_a_request_that_names_proxies_of_its_own_gets_none_of_them(
    server: SourceServer, canary: SourceServer, tmp_path: Path, proxies: Any, impersonate: str | None
) -> None:
    options = FetchOptions(egress=only(server), access=Access(impersonate=impersonate))
    named = {"all": canary.url("")} if proxies == "CANARY" else proxies
    header = {"Ytdl-Request-Proxy": canary.url("")} if proxies == "CANARY" else {}
    with exits(options) as out, Downloader(parameters(tmp_path, options), out) as downloader:
        with downloader.urlopen(Request(server.url("/clip.mp4"), headers=header, proxies=dict(named))) as response:
            assert response.status == 200
        with pytest.raises(Exception, match="nothing is fetched from"):
            downloader.urlopen(Request(canary.url("/clip.mp4"), headers=header, proxies=dict(named)))
    assert not canary.requests


def test_without_a_guard_a_downloader_reaches_nothing(server: SourceServer, tmp_path: Path) -> None:
    with Downloader(parameters(tmp_path, FetchOptions())) as downloader:
        for url in (server.url("/clip.mp4"), "https://127.0.0.1:1/"):
            with pytest.raises(Exception, match="no guard"):
                downloader.urlopen(url)
        assert sorted(downloader._request_director.handlers) == ["BoundedCurlCFFI", "BoundedRequests"]
    assert not server.requests


@BROWSERS
@pytest.mark.parametrize(
    "to", ["ftp://127.0.0.1:PORT/clip.mp4", "file:///etc/passwd", "gopher://127.0.0.1:PORT/x", "data:video/mp4,x",
           "ws://127.0.0.1:PORT/", "dict://127.0.0.1:PORT/x"]
)  # fmt: skip
def test_a_redirect_to_another_scheme_is_refused(
    server: SourceServer, canary: SourceServer, tmp_path: Path, to: str, impersonate: str | None
) -> None:
    target = to.replace("PORT", canary.url("").rpartition(":")[2])
    url = server.add_redirect("/away.mp4", target)
    assert refusal(url, tmp_path, server, access=Access(impersonate=impersonate)) == "blocked_scheme"
    assert not canary.requests


@BROWSERS
def test_a_redirect_to_a_forbidden_address_is_refused_and_not_tried_again(
    server: SourceServer, canary: SourceServer, tmp_path: Path, impersonate: str | None
) -> None:
    server.add_redirect("/first.mp4", "/second.mp4")
    server.add_redirect("/second.mp4", canary.url("/clip.mp4"))
    access = Access(impersonate=impersonate)
    assert refusal(server.url("/first.mp4"), tmp_path, server, access=access) == "blocked_address"
    assert (server.requests["/first.mp4"], canary.requests) == (1, {})


def test_a_private_playlist_s_key_and_segments_are_not_fetched(
    server: SourceServer, canary: SourceServer, tmp_path: Path
) -> None:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXTINF:2,", "0.ts", "#EXT-X-ENDLIST", ""]
    server.add("/0.ts", CLIP[:1000] * 16, content_type="video/mp2t")
    key = [*lines[:2], f'#EXT-X-KEY:METHOD=AES-128,URI="{canary.url("/clip.mp4")}"', *lines[2:]]
    away = [*lines[:3], canary.url("/clip.mp4"), *lines[4:]]
    for name, text in {"/key.m3u8": key, "/away.m3u8": away}.items():
        server.add(name, "\n".join(text).encode(), content_type="application/vnd.apple.mpegurl")
        assert refusal(server.url(name), tmp_path / name[1:4], server) == "blocked_address"
    assert not canary.requests


# ---- the verdict -----------------------------------------------------------------------------------------------------


class SiteIE(InfoExtractor):  # type: ignore[misc]
    """A site whose extractor does what a test says."""

    _VALID_URL = r"https?://[^/]+/site/(?P<id>\w+)"
    act: Callable[["SiteIE", str], dict[str, Any]]

    def _real_extract(self, url: str) -> dict[str, Any]:
        return type(self).act(self, url)


@pytest.fixture
def site(server: SourceServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a video on it."""
    monkeypatch.setattr(ytdlp, "Downloader", knowing(SiteIE))
    return server.url("/site/abc")


def acting(monkeypatch: pytest.MonkeyPatch, act: Callable[[SiteIE, str], dict[str, Any]]) -> None:
    monkeypatch.setattr(SiteIE, "act", staticmethod(act), raising=False)


def clip(url: str, **more: Any) -> dict[str, Any]:
    return {"id": "abc", "title": "A clip", "ext": "mp4", "url": url} | more


def test_an_extractor_goes_on_where_it_can_do_without_what_is_refused(
    server: SourceServer, canary: SourceServer, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(extractor: SiteIE, _: str) -> dict[str, Any]:
        assert extractor._download_webpage(canary.url("/clip.mp4"), "abc", fatal=False) is False
        return clip(server.url("/clip.mp4"))

    acting(monkeypatch, act)
    assert fetch(site, tmp_path, server).parts[0].read_bytes() == CLIP
    assert not canary.requests


@pytest.mark.parametrize(
    ("words", "code"),
    [("No video found", "blocked_address"), ("No video formats found!", "blocked_address"),
     ("Something else", "blocked_address"), ("Private video", "private"), ("Video removed", "blocked_address"),
     ("This video has been removed", "removed")],
)  # fmt: skip
def test_a_refusal_is_the_verdict_where_the_extractor_knows_nothing_better(
    server: SourceServer,
    canary: SourceServer,
    site: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    code: str,
) -> None:
    def act(extractor: SiteIE, _: str) -> dict[str, Any]:
        extractor._download_webpage(canary.url("/clip.mp4"), "abc", fatal=False)
        raise ExtractorError(words, expected=True)

    acting(monkeypatch, act)
    assert refusal(site, tmp_path, server) == code
    assert not canary.requests


def test_refused_side_files_are_written_down_and_the_video_is_taken(
    server: SourceServer, canary: SourceServer, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions = {"en": [{"url": canary.url("/en.vtt"), "ext": "vtt"}]}
    more = {"thumbnail": canary.url("/thumbnail.jpg"), "subtitles": captions}
    acting(monkeypatch, lambda _, __: clip(server.url("/clip.mp4"), **more))
    fetched = fetch(site, tmp_path, server)
    assert {each["kind"]: each["code"] for each in fetched.info["not_fetched"]} == {
        "thumbnail": "blocked_address", "captions": "blocked_address",
    }  # fmt: skip
    assert not canary.requests


@pytest.mark.parametrize("protocol", ["rtmp", "rtmp_ffmpeg", "websocket_frag", "niconico_live", "fc2_live"])
def test_protocols_that_need_a_program_or_a_socket_of_their_own_are_refused(
    server: SourceServer, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    acting(monkeypatch, lambda _, __: clip("http://127.0.0.1/live", protocol=protocol))
    assert refusal(site, tmp_path, server) == "stream_unsupported"


@pytest.mark.parametrize(
    "url",
    ["mms://127.0.0.1/x", "rtsp://127.0.0.1/x", "rtmp://127.0.0.1/x", "ws://127.0.0.1/x", "ftp://127.0.0.1/x",
     "file:///etc/passwd"],
)  # fmt: skip
def test_media_of_another_scheme_are_refused(
    server: SourceServer, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    acting(monkeypatch, lambda _, __: clip(url))
    assert refusal(site, tmp_path, server) == "blocked_scheme"


def test_a_playlist_that_an_extractor_made_up_is_read_without_a_request(
    server: SourceServer, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("/0.ts", CLIP[:1000] * 16, content_type="video/mp2t")
    text = f"#EXTM3U%0A#EXT-X-TARGETDURATION:2%0A#EXTINF:2,%0A{server.url('/0.ts')}%0A#EXT-X-ENDLIST%0A"
    made_up = f"data:application/x-mpegurl,{text}".replace("#", "%23")
    acting(monkeypatch, lambda _, __: clip(made_up, protocol="m3u8_native"))
    assert fetch(site, tmp_path, server).parts[0].read_bytes() == CLIP[:1000] * 16


@pytest.mark.parametrize(
    ("lists", "code"),
    [
        ({"denied_extractors": ("site",)}, "blocked_extractor"),
        ({"allowed_extractors": ("vimeo",)}, "blocked_extractor"),
        ({"denied_extractors": ("generic",)}, None), ({"allowed_extractors": ("site",)}, None),
    ],
)  # fmt: skip
def test_extractors_are_closed_by_their_lists_and_another_does_not_take_over(
    server: SourceServer,
    site: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lists: dict[str, Any],
    code: str | None,
) -> None:
    acting(monkeypatch, lambda _, __: clip(server.url("/clip.mp4")))
    server.add_page("/site/abc", "/clip.mp4")
    if code is None:
        assert fetch(site, tmp_path, server, **lists).parts[0].read_bytes() == CLIP
    else:
        assert refusal(site, tmp_path, server, **lists) == code
        assert not server.requests


def test_the_generic_extractor_can_be_closed_too(server: SourceServer, tmp_path: Path) -> None:
    url = server.url("/clip.mp4")
    assert refusal(url, tmp_path, server, denied_extractors=("generic",)) == "blocked_extractor"
    assert not server.requests


def test_hosts_and_ports_are_closed_by_their_lists(server: SourceServer, tmp_path: Path) -> None:
    lists = EgressPolicy(denied_hosts=("denied.invalid",))
    for policy, url, code in [
        (EgressPolicy(allowed_hosts=("a.example",)), "http://8.8.8.8/clip.mp4", "blocked_host"),
        (EgressPolicy(denied_hosts=("8.8.8.8",)), "http://8.8.8.8/clip.mp4", "blocked_host"),
        (EgressPolicy(), "http://8.8.8.8:8080/clip.mp4", "blocked_port"),
        (EgressPolicy(), "https://8.8.8.8:22/clip.mp4", "blocked_port"),
        (lists, "http://127.0.0.1:22/clip.mp4", "blocked_address"),
    ]:
        assert refusal(url, tmp_path / "video", server, egress=policy) == code


@BROWSERS
@pytest.mark.parametrize("limit", [{"max_bytes": 100_000}, {"max_connections": 1}, {"max_seconds": 1.0}])
def test_a_fetch_beyond_its_limits_ends_for_good(
    server: SourceServer, tmp_path: Path, limit: dict[str, Any], impersonate: str | None
) -> None:
    server.add("/slow.mp4", rate=200_000.0 if "max_seconds" in limit else None)
    access, policy = Access(impersonate=impersonate), only(server, **limit)
    assert refusal(server.url("/slow.mp4"), tmp_path, server, access=access, egress=policy) == "egress_exceeded"


# ---- what is told of it ----------------------------------------------------------------------------------------------


def test_whom_a_fetch_contacted_is_told_however_it_ends(
    server: SourceServer, canary: SourceServer, tmp_path: Path
) -> None:
    told: list[list[Contact]] = []
    events = FetchEvents(contacted=lambda found: told.append(list(found)))
    options = FetchOptions(egress=only(server), retries=0)
    fetch_url(server.url("/clip.mp4"), tmp_path / "whole", options, events)
    with pytest.raises(IngestError, match="blocked_address"):
        fetch_url(server.add_redirect("/x.mp4", canary.url("/clip.mp4")), tmp_path / "refused", options, events)
    with pytest.raises(IngestError, match="no_such_host"):
        fetch_url("http://nobody.invalid/clip.mp4", tmp_path / "unknown", options, events)
    server.add("/slow.mp4", rate=50_000.0)
    timer = threading.Timer(1.5, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fetch_url(server.url("/slow.mp4"), tmp_path / "interrupted", options, events)
    whole, refused, unknown, interrupted = told
    port = int(server.url("").rpartition(":")[2])
    assert [(each.host, each.port, each.refused) for each in whole] == [("127.0.0.1", port, None)]
    assert len(CLIP) < whole[0].bytes_received < 2 * len(CLIP) + 10_000
    assert [each.refused for each in refused] == [None, "blocked_address"]
    assert (refused[1].connections, refused[1].bytes_received) == (0, 0)
    assert unknown == [Contact("nobody.invalid", 80, 0, 0, None)]
    assert interrupted[0].connections >= 1


@BROWSERS
def test_an_interrupt_ends_the_connections_though_a_library_has_threads_of_its_own(
    server: SourceServer, tmp_path: Path, impersonate: str | None
) -> None:
    server.add("/slow.mp4", rate=100_000.0)
    threading.Timer(1.5, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        fetch(server.url("/slow.mp4"), tmp_path, server, access=Access(impersonate=impersonate))
    assert not [each for each in threading.enumerate() if each.name.startswith("egress")]
    time.sleep(0.3)  # for what is on its way
    sent = server.sent["/slow.mp4"]
    time.sleep(0.7)
    assert server.sent["/slow.mp4"] == sent


# ---- through the operator's proxy ------------------------------------------------------------------------------------


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


# ---- programs --------------------------------------------------------------------------------------------------------


FORBIDDEN_TO_SCRIPTS = {
    "the network": "await Deno.connect({hostname: '127.0.0.1', port: PORT})",
    "the network, by fetch": "await fetch('http://127.0.0.1:PORT/')",
    "a web socket": """await new Promise((yes, no) => {
        const s = new WebSocket('ws://127.0.0.1:PORT/'); s.onopen = yes; s.onerror = no })""",
    "a file": "Deno.readTextFileSync('/etc/passwd')",
    "a folder": "Array.from(Deno.readDirSync('/'))",
    "a new file": "Deno.writeTextFileSync('FOLDER/written', 'x')",
    "the environment": "Deno.env.get('CANARY')",
    "the whole environment": "Deno.env.toObject()",
    "a program": "new Deno.Command('true').outputSync()",
    "another script": "await import('file://FOLDER/' + 'script.js')",
    "a script of the network": "await import('http://127.0.0.1:PORT/' + 'script.js')",
    "node's files": "(await import('node:' + 'fs')).readFileSync('/etc/passwd')",
    "a worker thread": """await new Promise((yes, no) => {
        const code = 'postMessage(Deno.readTextFileSync("/etc/passwd"))';
        const w = new Worker('data:text/javascript,' + code, {type: 'module'});
        w.onmessage = yes; w.onerror = e => { e.preventDefault(); no(e) } })""",
}  # fmt: skip


def run_script(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> subprocess.CompletedProcess[str]:
    """Runs a script as yt-dlp runs the site's: its own command and environment, the script within a function."""
    from yt_dlp.extractor.youtube.jsc._builtin.deno import DenoJCP

    monkeypatch.setenv("CANARY", "CANARY-VALUE")
    forbid_programs()
    code = "Object.getPrototypeOf(async function () {}).constructor(" + json.dumps(script) + ")"
    source = (
        f"try {{ await ({code})(); console.log('DONE') }} catch (error) {{ console.log('REFUSED', String(error)) }}"
    )
    deno = javascript_runtime()
    assert deno is not None
    options = [*DenoJCP._DENO_BASE_OPTIONS, "--no-npm", "--cached-only"]
    return subprocess.run(
        [deno, "run", *options, "-"],
        input=source,
        env=DenoJCP._get_env_options(None),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("what", FORBIDDEN_TO_SCRIPTS)
def test_a_site_s_script_reaches_nothing(
    canary: SourceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    (tmp_path / "script.js").write_text("export default 1")
    script = FORBIDDEN_TO_SCRIPTS[what].replace("PORT", canary.url("").rpartition(":")[2])
    ran = run_script(script.replace("FOLDER", str(tmp_path)), tmp_path, monkeypatch)
    assert ran.stdout.startswith("REFUSED"), ran
    assert not canary.requests
    assert os.listdir(tmp_path) == ["script.js"]


def test_a_site_s_script_may_reckon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run_script("if (6 * 7 !== 42) throw 1", tmp_path, monkeypatch)
    assert (ran.stdout, ran.returncode) == ("DONE\n", 0), ran


def test_deno_is_given_nothing_of_the_worker_s_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from yt_dlp.extractor.youtube.jsc._builtin.deno import DenoJCP

    monkeypatch.setenv("NARRALYTICA_POSTGRES_URL", "CANARY")
    monkeypatch.setenv("HTTPS_PROXY", "http://CANARY")
    with Downloader(parameters(tmp_path, FetchOptions(access=Access(proxy="http://u:CANARY@h:1")))):
        assert "CANARY" not in str(DenoJCP._get_env_options(None))


def test_phantomjs_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "phantomjs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\necho 2.1.1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with Downloader(parameters(tmp_path, FetchOptions())) as downloader:
        from yt_dlp.extractor.openload import PhantomJSwrapper

        with pytest.raises(ExtractorError, match="PhantomJS not found"):
            PhantomJSwrapper(downloader.get_info_extractor("Generic"))
    assert not (tmp_path / "ran").exists()


def test_a_whole_fetch_needs_nothing_but_the_hosts_of_its_source(server: SourceServer, tmp_path: Path) -> None:
    """The control of all of the above: a page, its media and its picture."""
    server.add("/thumbnail.jpg", b"\xff\xd8\xff" + bytes(50), content_type="image/jpeg")
    fetched = fetch_url(server.add_page("/page.html", "/clip.mp4"), tmp_path, lab_options())
    assert isinstance(fetched, Fetched)
    assert fetched.parts[0].read_bytes() == CLIP
    assert [each.kind for each in fetched.side_files] == ["thumbnail"]


def watched(server: SourceServer, path: str) -> list[Asked]:
    """What is asked for at `path`."""
    seen: list[Asked] = []

    def answer(asked: Asked) -> Resource:
        seen.append(asked)
        return Resource([CLIP])

    server.add_answer(path, answer)
    return seen


@BROWSERS
def test_no_source_sees_the_guard_s_password(server: SourceServer, tmp_path: Path, impersonate: str | None) -> None:
    seen = watched(server, "/watched.mp4")
    server.add_redirect("/first.mp4", "/watched.mp4")
    fetch(server.url("/first.mp4"), tmp_path, server, access=Access(impersonate=impersonate))
    assert seen
    assert not [name for asked in seen for name in asked.headers if "proxy" in name.lower()]
