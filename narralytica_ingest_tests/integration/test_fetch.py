"""Fetching with the real yt-dlp from a real web server on loopback."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.extractor.common import InfoExtractor

from narralytica_ingest.egress import EgressPolicy
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.media.integrity import packet_hashes, sha256_file
from narralytica_ingest.media.probe import probe
from narralytica_ingest.media.remux import join_streams
from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest.sources import ytdlp
from narralytica_ingest.sources.fetching import Fetched, FetchEvents, Progress
from narralytica_ingest.sources.ytdlp import fetch_url
from narralytica_ingest_tests.own_sites import knowing
from narralytica_ingest_tests.source_server import PUBLISHED, SAMPLE, SourceServer, lab_options

CLIP = SAMPLE.read_bytes()
SWAPPED = CLIP[:-1000] + bytes(1000)  # same size, other content


@pytest.fixture
def server(streams: Path) -> Iterator[SourceServer]:
    with SourceServer(streams) as running:
        yield running


def fetch(url: str, folder: Path, reports: list[Progress] | None = None, **options: Any) -> Fetched:
    aliases: list[str] = []
    fetched = fetch_url(
        url,
        folder,
        lab_options(**options),
        FetchEvents((reports if reports is not None else []).append, aliases.append),
    )
    assert isinstance(fetched, Fetched)
    assert aliases == [], "a page or file of no known site has no other name"
    return fetched


def failure_of(url: str, folder: Path) -> IngestError:
    with pytest.raises(IngestError) as raised:
        fetch(url, folder)
    return raised.value


def test_a_direct_file_arrives_byte_for_byte(server: SourceServer, tmp_path: Path) -> None:
    reports: list[Progress] = []
    fetched = fetch(server.url("/clip.mp4"), tmp_path, reports)
    assert fetched.byte_exact
    assert fetched.parts[0].read_bytes() == CLIP
    assert (reports[-1].stage, reports[-1].bytes, reports[-1].total) == ("download", len(CLIP), len(CLIP))
    assert "timestamp" not in fetched.info, "when a server's file changed is not when a video was published"


def test_a_page_gives_its_metadata_and_the_file_it_points_to(server: SourceServer, tmp_path: Path) -> None:
    fetched = fetch(server.add_page("/page.html", "/clip.mp4?token=secret"), tmp_path)
    assert fetched.parts[0].read_bytes() == CLIP
    info = fetched.info
    assert info["title"] == "A talk about ingestion"
    assert info["uploader"] == "Narralytica Channel"
    assert time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(info["timestamp"])) == PUBLISHED
    assert info["duration"] == pytest.approx(11.7)
    assert "secret" not in json.dumps(info)


def test_the_chapters_of_a_page_are_kept(server: SourceServer, tmp_path: Path) -> None:
    clips = [
        {"@type": "Clip", "name": "Greeting", "startOffset": 2, "endOffset": 5, "url": "https://example.com/?t=2"},
        {"@type": "Clip", "name": "Words", "startOffset": 5, "endOffset": 11, "url": "https://example.com/?t=5"},
    ]
    fetched = fetch(server.add_page("/page.html", "/clip.mp4", hasPart=clips), tmp_path)
    assert fetched.info["chapters"] == [
        {"start_time": 0, "end_time": 2, "title": None},
        {"start_time": 2, "end_time": 5, "title": "Greeting"},
        {"start_time": 5, "end_time": 11, "title": "Words"},
    ]


def test_a_video_that_says_that_it_is_too_long_is_not_fetched(server: SourceServer, tmp_path: Path) -> None:
    page = server.add_page("/page.html", "/clip.mp4", duration="PT2H")
    with pytest.raises(IngestError) as raised:
        fetch(page, tmp_path, max_duration=3600)
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.PERMANENT, "too_long")
    assert server.requests["/clip.mp4"] <= 1, "only the extraction looked at it"


@pytest.mark.parametrize("master", ["/hls/master.m3u8", "/hls-fmp4/master.m3u8", "/dash/manifest.mpd"])
def test_a_segmented_source_keeps_its_packets_and_gives_the_same_file_twice(
    server: SourceServer, tmp_path: Path, tools: MediaTools, master: str
) -> None:
    joined = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        fetched = fetch(server.url(master), folder)
        assert not fetched.byte_exact
        joined.append(join_streams(fetched.parts, folder, tools))
    assert sha256_file(joined[0]) == sha256_file(joined[1])
    assert probe(joined[0], tools).duration_seconds == pytest.approx(11.72, abs=0.05)
    assert packet_hashes(joined[0], tools) == packet_hashes(SAMPLE, tools)


@pytest.mark.parametrize(
    ("properties", "code"),
    [({}, None), ({"ranges": False}, "ranges_ignored"), ({"bodies": [None, None, SWAPPED]}, "source_changed")],
    ids=["well-behaved", "without ranges", "changed between two pieces"],
)
def test_segments_that_are_pieces_of_one_file_belong_together(
    server: SourceServer, tmp_path: Path, tools: MediaTools, properties: dict[str, Any], code: str | None
) -> None:
    options = ["-c", "copy", "-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "-hls_flags", "single_file"]
    command: list[str | Path] = [tools.ffmpeg, "-v", "error", "-i", SAMPLE, *options, tmp_path / "one.m3u8"]
    assert run_tool(command, timeout=30).returncode == 0
    media = (tmp_path / "one.ts").read_bytes()
    playlist = (tmp_path / "one.m3u8").read_bytes()
    url = server.add("/one.m3u8", playlist, content_type="application/vnd.apple.mpegurl")
    bodies = [body or media for body in properties.pop("bodies", [media])]
    server.add("/one.ts", *bodies, content_type="video/mp2t", **properties)
    if code:
        assert failure_of(url, tmp_path / "fetched").code == code
    else:
        assert packet_hashes(fetch(url, tmp_path / "fetched").parts[0], tools) == packet_hashes(SAMPLE, tools)


def test_the_best_rendition_up_to_the_wanted_height_is_fetched(server: SourceServer, tmp_path: Path) -> None:
    fetch(server.url("/hls/master.m3u8"), tmp_path, max_height=200)
    assert server.requests["/hls/low-0.ts"]
    assert not server.requests["/hls/high-0.ts"]


def test_a_cut_transfer_continues_where_it_was_cut(server: SourceServer, tmp_path: Path) -> None:
    fetched = fetch(server.add("/cut.mp4", cuts=[None, 100_000, None]), tmp_path)
    assert fetched.parts[0].read_bytes() == CLIP
    assert [path for path, _ in server.ranges] == ["/cut.mp4"]


@pytest.mark.parametrize("honours_if_range", [True, False])
@pytest.mark.parametrize("etag", [True, False])
def test_a_file_that_changes_after_a_cut_is_never_spliced(
    server: SourceServer, tmp_path: Path, etag: bool, honours_if_range: bool
) -> None:
    url = server.add(
        "/new.mp4", CLIP, CLIP, SWAPPED, cuts=[None, 100_000, None], etag=etag, honours_if_range=honours_if_range
    )
    assert fetch(url, tmp_path).parts[0].read_bytes() == SWAPPED


def test_without_any_validator_a_cut_transfer_starts_again(server: SourceServer, tmp_path: Path) -> None:
    url = server.add("/bare.mp4", CLIP, CLIP, SWAPPED, cuts=[None, 100_000, None], etag=False, dated=False)
    assert fetch(url, tmp_path).parts[0].read_bytes() == SWAPPED
    assert not server.ranges


def test_a_file_that_shrinks_after_a_cut_is_fetched_whole(server: SourceServer, tmp_path: Path) -> None:
    url = server.add("/less.mp4", CLIP, CLIP, CLIP[:50_000], cuts=[None, 100_000, None])
    assert fetch(url, tmp_path).parts[0].read_bytes() == CLIP[:50_000]


def test_a_server_without_ranges_serves_from_the_start_again(server: SourceServer, tmp_path: Path) -> None:
    fetched = fetch(server.add("/plain.mp4", cuts=[None, 100_000, None], ranges=False), tmp_path)
    assert fetched.parts[0].read_bytes() == CLIP


def test_a_transfer_that_is_cut_every_time_fails(server: SourceServer, tmp_path: Path) -> None:
    failure = failure_of(server.add("/cut.mp4", cuts=[None, 1000], ranges=False), tmp_path)
    assert (failure.failure_class, failure.code) == (FailureClass.TRANSIENT, "incomplete_read")


def test_a_transfer_whose_end_cannot_be_known_fails(server: SourceServer, tmp_path: Path) -> None:
    failure = failure_of(server.add("/endless.mp4", announced=False, cuts=[100_000]), tmp_path)
    assert failure.code == "length_unknown"


def test_a_missing_segment_is_a_failure(server: SourceServer, tmp_path: Path) -> None:
    del server.resources["/hls/high-3.ts"]
    assert failure_of(server.url("/hls/master.m3u8"), tmp_path).code == "not_found"


def test_a_cut_segment_is_fetched_again(server: SourceServer, tmp_path: Path, tools: MediaTools) -> None:
    segment = server.resources["/hls-fmp4/high-2.m4s"]
    segment.cuts, segment.etag, segment.dated = [1000, None], False, False
    fetched = fetch(server.url("/hls-fmp4/master.m3u8"), tmp_path)
    assert packet_hashes(fetched.parts[0], tools) == packet_hashes(SAMPLE, tools)


@pytest.mark.parametrize(
    ("status", "failure_class", "code"),
    [
        (401, FailureClass.NEEDS_OPERATOR, "login_required"),
        (404, FailureClass.PERMANENT, "not_found"),
        (410, FailureClass.PERMANENT, "not_found"),
        (429, FailureClass.RATE_LIMITED, "rate_limited"),
        (451, FailureClass.PERMANENT, "legally_blocked"),
        (503, FailureClass.RATE_LIMITED, "rate_limited"),
        (500, FailureClass.TRANSIENT, "server_error"),
    ],
)
@pytest.mark.parametrize("phase", ["extraction", "download"])
def test_an_error_of_the_server_has_its_verdict_in_either_phase(
    server: SourceServer, tmp_path: Path, status: int, failure_class: FailureClass, code: str, phase: str
) -> None:
    url = server.add(
        "/bad.mp4", statuses=[status] if phase == "extraction" else [200, status], headers={"Retry-After": "70"}
    )
    with pytest.raises(IngestError) as raised:
        fetch(url, tmp_path, retries=0)
    assert (raised.value.failure_class, raised.value.code) == (failure_class, code)
    assert raised.value.retry_at is not None
    assert 60 < raised.value.retry_at.timestamp() - time.time() <= 70
    assert "127.0.0.1" not in raised.value.message


def test_a_page_that_is_closed_needs_the_operator(server: SourceServer, tmp_path: Path) -> None:
    failure = failure_of(server.add_error("/closed.mp4", 403), tmp_path)
    assert (failure.failure_class, failure.code) == (FailureClass.NEEDS_OPERATOR, "access_denied")


@pytest.mark.parametrize("status", [403, 404, 410])
def test_media_that_is_refused_is_looked_up_once_more(server: SourceServer, tmp_path: Path, status: int) -> None:
    page = server.add_page("/page.html", "/expiring.mp4")
    server.add("/expiring.mp4", statuses=[200, status, 200])  # asked by the extraction, refused, fresh
    assert fetch(page, tmp_path, retries=0).parts[0].read_bytes() == CLIP
    assert server.requests["/page.html"] >= 2


@pytest.mark.parametrize(
    ("status", "failure_class", "code"),
    [(403, FailureClass.TRANSIENT, "forbidden"), (410, FailureClass.PERMANENT, "not_found")],
)
def test_media_that_is_refused_twice_fails(
    server: SourceServer, tmp_path: Path, status: int, failure_class: FailureClass, code: str
) -> None:
    page = server.add_page("/page.html", "/gone.mp4")
    server.add("/gone.mp4", statuses=[200, status])
    with pytest.raises(IngestError) as raised:
        fetch(page, tmp_path, retries=0)
    assert (raised.value.failure_class, raised.value.code) == (failure_class, code)
    assert server.requests["/page.html"] <= 4


def test_a_bare_file_that_closes_after_its_extraction_is_tried_again_later(
    server: SourceServer, tmp_path: Path
) -> None:
    failure = failure_of(server.add("/closing.mp4", statuses=[200, 403]), tmp_path)
    assert (failure.failure_class, failure.code) == (FailureClass.TRANSIENT, "forbidden")


def test_what_was_there_before_a_refusal_is_not_fetched_again(server: SourceServer, tmp_path: Path) -> None:
    page = server.add_page("/page.html", "/cut.mp4")
    # Asked by the extraction, cut, refused when the rest was asked for; then all over.
    server.add("/cut.mp4", cuts=[None, 100_000, None], statuses=[200, 200, 403, 200])
    assert fetch(page, tmp_path).parts[0].read_bytes() == CLIP
    asked = [wanted for path, wanted in server.ranges if path == "/cut.mp4"]
    assert len(asked) >= 2
    assert not asked[-1].startswith("bytes=0-"), "what was there was gone on with"


def test_a_page_without_a_video_is_an_unsupported_url(server: SourceServer, tmp_path: Path) -> None:
    url = server.add("/text.html", b"<!DOCTYPE html><html><body>Nothing</body></html>", content_type="text/html")
    failure = failure_of(url, tmp_path)
    assert (failure.failure_class, failure.code) == (FailureClass.PERMANENT, "unsupported_url")


def test_a_host_that_is_not_there_is_a_lost_connection(tmp_path: Path) -> None:
    with pytest.raises(IngestError) as raised:
        open_one = EgressPolicy(allow=frozenset({("127.0.0.1", 9)}))
        fetch("http://127.0.0.1:9/clip.mp4", tmp_path, retries=0, egress=open_one)
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.TRANSIENT, "connection_lost")


def test_a_live_stream_is_not_ingested_yet(server: SourceServer, tmp_path: Path) -> None:
    playlist = (
        server.resources["/hls/high.m3u8"].bodies[0].decode().replace("#EXT-X-ENDLIST", "").replace("VOD", "EVENT")
    )
    url = server.add("/live.m3u8", playlist.encode(), content_type="application/vnd.apple.mpegurl")
    failure = failure_of(url, tmp_path)
    assert (failure.failure_class, failure.code) == (FailureClass.NOT_YET, "live")


UNIQUE_ID = "3eac3b4561676c17df9132a9a1e62e3e"  # one that two sites cannot both have; any other is no alias


class SiteIE(InfoExtractor):  # type: ignore[misc]
    """A site that yt-dlp knows."""

    _VALID_URL = r"https?://[^/]+/site/(?P<id>\w+)"
    served = ""

    def _real_extract(self, url: str) -> dict[str, Any]:
        name = self._match_id(url)
        if name == "hidden":
            return {"id": name, "title": name, "live_status": "is_live", "is_live": True, "formats": []}
        if name == "announced":
            self.raise_no_formats("Premieres in 3 hours", expected=True)
            return {"id": name, "title": name, "live_status": "is_upcoming", "release_timestamp": 1_900_000_000}
        return {"id": name, "title": name, "url": SiteIE.served, "ext": "mp4"}


@pytest.fixture
def site(server: SourceServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(ytdlp, "Downloader", knowing(SiteIE))
    monkeypatch.setattr(SiteIE, "served", server.url("/clip.mp4"))
    return server.url("/site")


def test_the_name_that_extraction_reveals_is_told_before_any_media_byte(
    server: SourceServer, site: str, tmp_path: Path
) -> None:
    told: list[tuple[str, int]] = []
    fetched = fetch_url(
        f"{site}/{UNIQUE_ID}",
        tmp_path,
        lab_options(),
        FetchEvents(alias=lambda alias: told.append((alias, server.requests["/clip.mp4"]))),
    )
    assert isinstance(fetched, Fetched)
    assert told == [(f"site-{UNIQUE_ID}", 0)]
    assert fetched.byte_exact
    assert server.requests["/clip.mp4"] == 1


@pytest.mark.parametrize("refusal", [IngestError(FailureClass.CANCELED, "x", "x."), KeyError("x"), SystemExit(3)])
def test_what_on_alias_raises_comes_out_unchanged_and_nothing_is_fetched(
    server: SourceServer, site: str, tmp_path: Path, refusal: BaseException
) -> None:
    def refuse(_: str) -> None:
        raise refusal

    with pytest.raises(type(refusal)) as raised:
        fetch_url(f"{site}/{UNIQUE_ID}", tmp_path, lab_options(), FetchEvents(alias=refuse))
    assert raised.value is refusal
    assert not server.requests["/clip.mp4"]


def test_a_live_broadcast_that_hides_its_formats_is_waited_for(site: str, tmp_path: Path) -> None:
    failed = failure_of(f"{site}/hidden", tmp_path)
    assert (failed.failure_class, failed.code) == (FailureClass.NOT_YET, "live")


def test_an_announced_video_waits_for_its_time(site: str, tmp_path: Path) -> None:
    failure = failure_of(f"{site}/announced", tmp_path)
    assert (failure.failure_class, failure.code) == (FailureClass.NOT_YET, "upcoming")
    assert failure.retry_at is not None
    assert failure.retry_at.timestamp() > time.time()


class Stop(BaseException):
    """An interrupt, like Dagster's."""


@pytest.mark.parametrize(
    "interrupt", [Stop("now"), KeyboardInterrupt(), ValueError("from the callback"), OSError(28, "x")]
)
@pytest.mark.parametrize("path", ["/clip.mp4", "/hls/master.m3u8", "/dash/manifest.mpd"])
def test_what_progress_raises_comes_out_unchanged(
    server: SourceServer, tmp_path: Path, interrupt: BaseException, path: str
) -> None:
    def stop(_: Progress) -> None:
        raise interrupt

    with pytest.raises(type(interrupt)) as raised:
        fetch_url(server.url(path), tmp_path, lab_options(), FetchEvents(stop))
    assert raised.value is interrupt


def test_an_interrupt_ends_a_slow_download_at_once(server: SourceServer, tmp_path: Path) -> None:
    url = server.add("/slow.mp4", rate=30_000.0)
    timer = threading.Timer(0.7, signal.raise_signal, [signal.SIGINT])
    began = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fetch(url, tmp_path)
    assert time.monotonic() - began < 3
    assert server.sent["/slow.mp4"] < len(CLIP)


def test_nothing_is_left_of_an_earlier_attempt(server: SourceServer, tmp_path: Path) -> None:
    for name in ("source-0.mp4", "source-0.mp4.ytdl", "source-0.webm", "source-1.m4a", "side-captions-0.vtt"):
        (tmp_path / name).write_bytes(SWAPPED[:50_000])
    fetched = fetch(server.url("/clip.mp4"), tmp_path)
    assert fetched.parts[0].read_bytes() == CLIP
    assert fetched.side_files == ()
    assert {path.name for path in tmp_path.iterdir()} <= {"source-0.mp4", "source-0.mp4.checkpoint"}


def test_a_name_cannot_escape_its_folder(server: SourceServer, tmp_path: Path) -> None:
    url = server.add("/..%2f..%2fevil.mp4")
    fetched = fetch(url, tmp_path / "own")
    assert [path.parent for path in fetched.parts] == [tmp_path / "own"]
    assert os.listdir(tmp_path) == ["own"]


def test_local_files_are_not_a_source(tmp_path: Path) -> None:
    assert failure_of(SAMPLE.as_uri(), tmp_path).failure_class is FailureClass.PERMANENT


def test_the_light_modules_do_not_import_yt_dlp() -> None:
    code = (
        "import sys, narralytica_ingest.sources.identity, narralytica_ingest.sources.fetching;"
        "sys.exit(any(name.split('.')[0] in ('yt_dlp', 'dagster', 'boto3', 'pandas') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
