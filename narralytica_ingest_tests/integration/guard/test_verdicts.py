"""What the guard refuses has its own code, where it is the reason; and what is told of a fetch."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.utils import ExtractorError

from narralytica_ingest.egress import Contact, EgressPolicy
from narralytica_ingest.failures import IngestError
from narralytica_ingest.sources import ytdlp
from narralytica_ingest.sources.fetching import Access, FetchEvents, FetchOptions
from narralytica_ingest.sources.ytdlp import fetch_url
from narralytica_ingest_tests.integration.guard.guarded import BROWSERS, CLIP, fetch, only, refusal
from narralytica_ingest_tests.own_sites import knowing
from narralytica_ingest_tests.source_server import SourceServer


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
