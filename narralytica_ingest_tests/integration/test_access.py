"""What opens sources: used, never written to, and never shown."""

import json
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from narralytica_ingest.egress import EgressPolicy
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.sources.fetching import Access, Fetched, FetchOptions
from narralytica_ingest.sources.ytdlp import fetch_url
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.extract import _refuse_without_javascript
from narralytica_ingest.sources.ytdlp.options import parameters
from narralytica_ingest_tests.forward_proxy import ForwardProxy
from narralytica_ingest_tests.source_server import SAMPLE, Asked, Resource, SourceServer, lab_options

CLIP = SAMPLE.read_bytes()
HEADER = "# Netscape HTTP Cookie File\n"


@pytest.fixture
def server() -> Iterator[SourceServer]:
    with SourceServer() as running:
        yield running


def fetch(url: str, folder: Path, **access: Any) -> Fetched:
    fetched = fetch_url(url, folder, lab_options(retries=0, access=Access(**access)))
    assert isinstance(fetched, Fetched)
    assert fetched.parts[0].read_bytes() == CLIP
    return fetched


def failure_of(url: str, folder: Path, **access: Any) -> IngestError:
    with pytest.raises(IngestError) as raised:
        fetch(url, folder, **access)
    return raised.value


def needs_operator(failure: IngestError) -> str:
    assert failure.failure_class is FailureClass.NEEDS_OPERATOR
    return failure.code


def ours(failure: IngestError) -> str:
    """A fault of the worker's settings fails no job."""
    assert failure.failure_class is FailureClass.LOCAL
    return failure.code


def watched(server: SourceServer, path: str, body: bytes = CLIP, **properties: Any) -> tuple[str, list[Asked]]:
    """Serves `body` at `path`, and remembers what was asked."""
    asked: list[Asked] = []

    def answer(request: Asked) -> Resource:
        asked.append(request)
        return Resource([body], **properties)

    return server.add_answer(path, answer), asked


def header(request: Asked, name: str) -> str:
    return next((value for key, value in request.headers.items() if key.lower() == name.lower()), "")


# ---- cookies -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cookies(tmp_path: Path) -> Path:
    path = tmp_path / "cookies.txt"
    path.write_text(f"{HEADER}127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tCANARY-COOKIE\n")
    path.chmod(0o400)
    return path


def test_cookies_are_sent_to_their_domain_only_and_the_file_stays_as_it_is(
    server: SourceServer, cookies: Path, tmp_path: Path
) -> None:
    setting = {"headers": {"Set-Cookie": "session=changed; Path=/; Max-Age=1000"}}
    _, at_media = watched(server, "/clip.mp4")
    media = server.url("/clip.mp4", host="localhost")
    page = f'<html><body><video src="{media}"></video></body></html>'.encode()
    url, at_page = watched(server, "/page.html", page, content_type="text/html", **setting)
    before = cookies.read_bytes(), cookies.stat().st_mtime_ns, stat.S_IMODE(cookies.stat().st_mode)
    fetch(url, tmp_path / "video", cookies_file=cookies)
    assert header(at_page[0], "Cookie") == "session=CANARY-COOKIE"
    assert at_media
    assert not any(header(request, "Cookie") for request in at_media)
    assert (cookies.read_bytes(), cookies.stat().st_mtime_ns, stat.S_IMODE(cookies.stat().st_mode)) == before
    assert sorted(os.listdir(tmp_path)) == ["cookies.txt", "video"]


@pytest.mark.parametrize("text", [None, '[{"value": "CANARY"}]', HEADER + "CANARY\n", "CANARY"])
def test_a_cookies_file_that_is_none_needs_the_operator_and_nothing_is_asked(
    server: SourceServer, tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str | None
) -> None:
    path = tmp_path / "cookies.txt"
    if text is not None:
        path.write_text(text)
    failure = failure_of(server.add("/clip.mp4"), tmp_path / "video", cookies_file=path)
    assert ours(failure) == "cookies_unusable"
    assert "CANARY" not in "".join(traceback.format_exception(failure)) + "".join(capfd.readouterr())
    assert not server.requests


def test_cookies_of_a_browser_are_used(server: SourceServer, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    profile.mkdir()
    with sqlite3.connect(profile / "cookies.sqlite") as database:
        database.execute("CREATE TABLE moz_cookies (host, name, value, path, expiry, isSecure, originAttributes)")
        row = ("127.0.0.1", "session", "fox", "/", int(time.time()) + 1000, 0, "")
        database.execute("INSERT INTO moz_cookies VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    database.close()
    url, asked = watched(server, "/clip.mp4")
    fetch(url, tmp_path / "video", cookies_from_browser=f"firefox:{profile}")
    assert header(asked[0], "Cookie") == "session=fox"


@pytest.mark.parametrize("browser", ["netscape", "", "firefox:/nowhere/CANARY", "chrome:/nowhere/CANARY", "a+b"])
def test_a_browser_without_cookies_needs_the_operator(tmp_path: Path, browser: str) -> None:
    failure = failure_of("http://127.0.0.1:9/clip.mp4", tmp_path, cookies_from_browser=browser)
    assert ours(failure) == "cookies_unusable"
    assert "CANARY" not in failure.message


# ---- proxies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["", "someone:p%40ss-CANARY"])
def test_every_request_goes_through_the_proxy(server: SourceServer, tmp_path: Path, login: str) -> None:
    server.add("/thumbnail.jpg", b"\xff\xd8\xff" + bytes(50), content_type="image/jpeg")
    server.add("/clip.mp4", cuts=[None, 100_000, None])
    page = server.add_page("/page.html", "/clip.mp4")
    with ForwardProxy(login.replace("%40", "@") or None) as proxy:
        found = fetch_url(page, tmp_path, lab_options(access=Access(proxy=proxy.url(login))))
    assert isinstance(found, Fetched)
    assert found.parts[0].read_bytes() == CLIP
    assert [each.kind for each in found.side_files] == ["thumbnail"]
    assert len(proxy.passed) == sum(server.requests.values())
    assert {path.rpartition("/")[2].rstrip("?") for path in proxy.passed} == {
        "page.html", "clip.mp4", "thumbnail.jpg"
    }  # fmt: skip


def test_a_proxy_that_asks_for_a_login_needs_the_operator(server: SourceServer, tmp_path: Path) -> None:
    with ForwardProxy("someone:right") as proxy:
        failure = failure_of(server.add("/clip.mp4"), tmp_path, proxy=proxy.url("someone:CANARY"))
    assert needs_operator(failure) == "proxy_login_required"
    assert not server.requests


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:CANARY@[broken", "http://user:CANARY@host:port", "ftp://user:CANARY@host", "user:CANARY@host:80",
        "http://user:CANARY@:80", "", "http://user:CANARY@host:0",
    ],
)  # fmt: skip
def test_a_proxy_without_a_valid_url_needs_the_operator(tmp_path: Path, proxy: str) -> None:
    failure = failure_of("http://127.0.0.1:9/clip.mp4", tmp_path, proxy=proxy)
    assert ours(failure) == "proxy_unusable"
    assert "CANARY" not in "".join(traceback.format_exception(failure))


# ---- nothing is shown ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h", "socks4"])
@pytest.mark.parametrize("impersonate", [None, "chrome"])
def test_nothing_that_opens_a_source_is_ever_shown(
    tmp_path: Path,
    cookies: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    impersonate: str | None,
) -> None:
    monkeypatch.setattr("narralytica_ingest.egress.guard.secrets.token_urlsafe", lambda _: "CANARY-GUARD")
    access = Access(
        cookies_file=cookies,
        proxy=f"{scheme}://CANARY-USER:CANARY-PASSWORD@127.0.0.1:9",
        impersonate=impersonate,
        extractor_args={"youtube": {"po_token": ["web.gvs+CANARY-TOKEN"]}},
    )
    options = lab_options(retries=0, access=access, egress=EgressPolicy(allow=frozenset({("127.0.0.1", 9)})))
    url = "http://127.0.0.1:9/clip.mp4?signature=CANARY-SIGNATURE"
    with caplog.at_level(logging.DEBUG), pytest.raises(IngestError) as raised:
        fetch_url(url, tmp_path / "video", options)
    assert raised.value.failure_class is FailureClass.TRANSIENT
    process = Path("/proc/self/cmdline").read_text()
    shown = [repr(options), caplog.text, *capfd.readouterr(), process, *traceback.format_exception(raised.value)]
    assert "CANARY" not in "".join(shown)


def test_nothing_that_opens_a_source_is_kept(server: SourceServer, cookies: Path, tmp_path: Path) -> None:
    server.add("/clip.mp4")
    page = server.add_page("/page.html", "/clip.mp4?signature=CANARY-SIGNATURE")
    with ForwardProxy("CANARY-USER:CANARY-PASSWORD") as proxy:
        fetched = fetch(page, tmp_path / "v", cookies_file=cookies, proxy=proxy.url("CANARY-USER:CANARY-PASSWORD"))
    assert "CANARY" not in json.dumps(fetched.info) + repr(fetched)


def test_what_yt_dlp_says_is_logged_without_secrets(
    tmp_path: Path, cookies: Path, caplog: pytest.LogCaptureFixture
) -> None:
    access = Access(cookies_file=cookies, extractor_args={"site": {"key": ["CANARY-ARGUMENT"]}})
    with Downloader(parameters(tmp_path, FetchOptions(access=access))) as downloader, caplog.at_level(logging.DEBUG):
        downloader.report_warning("Got CANARY-COOKIE and CANARY-ARGUMENT from https://example.com/?s=CANARY")
        assert downloader.params["logger"].warnings == ["Got (hidden) and (hidden) from (URL)"]
    assert "Got (hidden)" in caplog.text
    assert "CANARY" not in caplog.text


# ---- impersonation, PO tokens, plugins, JavaScript -----------------------------------------------------------------


def test_a_browser_is_impersonated_and_a_cut_transfer_still_goes_on(server: SourceServer, tmp_path: Path) -> None:
    seen: list[Asked] = []

    def answer(request: Asked) -> Resource:
        seen.append(request)
        return Resource([CLIP], cuts=[100_000 if len(seen) == 2 else None])

    fetched = fetch_url(
        server.add_answer("/clip.mp4", answer), tmp_path, lab_options(retries=1, access=Access(impersonate="chrome"))
    )
    assert isinstance(fetched, Fetched)
    assert fetched.parts[0].read_bytes() == CLIP
    assert all("Chrome/" in header(request, "User-Agent") for request in seen)
    assert any(header(request, "Sec-Ch-Ua") for request in seen)


@pytest.mark.parametrize("name", ["netscape", "chrome-1", "a:b:c:d"])
def test_a_browser_that_cannot_be_impersonated_needs_the_operator(tmp_path: Path, name: str) -> None:
    failure = failure_of("http://127.0.0.1:9/clip.mp4", tmp_path, impersonate=name)
    assert needs_operator(failure) == "impersonation_missing"


def test_the_po_token_provider_is_told_where_to_ask(tmp_path: Path) -> None:
    access = Access(pot_provider_url="http://127.0.0.1:4416/", extractor_args={"YouTube": {"player-client": ["web"]}})
    with Downloader(parameters(tmp_path, FetchOptions(access=access))) as downloader:
        extractor = downloader.get_info_extractor("Youtube")
        told = extractor._configuration_arg("base_url", ie_key="youtubepot-bgutilhttp", casesense=True)
        assert told == ["http://127.0.0.1:4416"]
        assert extractor._configuration_arg("player_client") == ["web"]
        extractor.initialize()
        providers = [each.PROVIDER_NAME for each in extractor._pot_director.providers.values()]
        assert "bgutil:http" in providers


def test_plugins_that_python_finds_are_loaded(server: SourceServer, tmp_path: Path) -> None:
    folder = tmp_path / "plugins" / "yt_dlp_plugins" / "extractor"
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(
        "from yt_dlp.extractor.common import InfoExtractor\n"
        "class MineIE(InfoExtractor):\n"
        "    _VALID_URL = r'https?://[^/]+/mine/(?P<id>\\w+)'\n"
        "    def _real_extract(self, url):\n"
        f"        return {{'id': self._match_id(url), 'title': 'Mine', 'url': {server.add('/clip.mp4')!r}}}\n"
    )
    code = (
        "import sys; from pathlib import Path\n"
        "from narralytica_ingest_tests.source_server import lab_options\n"
        "from narralytica_ingest.sources.ytdlp import fetch_url\n"
        "print(fetch_url(sys.argv[1], Path(sys.argv[2]), lab_options()).info['extractor_key'])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, server.url("/mine/abc"), str(tmp_path / "video")],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "plugins")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout.strip() == "Mine", ran.stderr


def test_youtube_without_a_javascript_runtime_needs_the_operator(tmp_path: Path) -> None:
    with Downloader(parameters(tmp_path, FetchOptions(deno=tmp_path / "none"))) as downloader:
        extractor = downloader.get_info_extractor("Youtube")
        extractor.initialize()
        _refuse_without_javascript(downloader)  # nothing was asked of it yet
        extractor._get_requested_clients("https://www.youtube.com/watch?v=abcdefghijk", {}, False)
        with pytest.raises(IngestError) as raised:
            _refuse_without_javascript(downloader)
    assert ours(raised.value) == "javascript_runtime_missing"


def test_youtube_with_a_javascript_runtime_goes_on(tmp_path: Path) -> None:
    with Downloader(parameters(tmp_path, FetchOptions())) as downloader:
        extractor = downloader.get_info_extractor("Youtube")
        extractor.initialize()
        extractor._get_requested_clients("https://www.youtube.com/watch?v=abcdefghijk", {}, False)
        _refuse_without_javascript(downloader)
        assert downloader.params["logger"].warnings == []
