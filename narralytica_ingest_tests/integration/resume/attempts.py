"""What tests of resuming share: a site that yt-dlp knows, and attempts at fetching from it that end midway."""

import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.extractor.common import InfoExtractor

from narralytica_ingest.sources.fetching import Fetched, FetchEvents, Progress
from narralytica_ingest.sources.ytdlp import fetch_url
from narralytica_ingest_tests.own_sites import knowing
from narralytica_ingest_tests.source_server import SourceServer, lab_options

MEDIA, PAGE = "/media.mp4", "/site/video"
SIZE = 2 << 20
BODY = random.Random(1).randbytes(SIZE)
OTHER = random.Random(2).randbytes(SIZE)
SAME_END = OTHER[:100_000] + BODY[100_000:]
SAME_ENDS = BODY[:100_000] + OTHER[100_000:800_000] + BODY[800_000:]
STEADY = {"etag": False, "dated": False, "headers": {"Last-Modified": "Sat, 14 Mar 2026 09:26:53 GMT"}}
LYING = {"etag": False, "dated": False, "headers": {"ETag": '"always"'}}
NO_PROOF = {"etag": False, "dated": False}
PLAYLIST = "application/vnd.apple.mpegurl"
SEGMENTED = ["/hls/high.m3u8", "/hls-fmp4/high.m3u8", "/dash/manifest.mpd"]
OLD = [random.Random(100 + number).randbytes(300_000) for number in range(6)]
NEW = [random.Random(200 + number).randbytes(300_000) for number in range(6)]


class Stop(Exception):
    """Ends an attempt."""


class SiteIE(InfoExtractor):  # type: ignore[misc]
    """A site that yt-dlp knows, so that nothing but the download asks for the media."""

    _VALID_URL = r"https?://[^/]+/site/(?P<id>\w+)"
    formats: tuple[dict[str, Any], ...] = ()

    def _real_extract(self, url: str) -> dict[str, Any]:
        name = self._match_id(url)
        return {"id": name, "title": name, "formats": [dict(each) for each in self.formats]}


KnowingDownloader = knowing(SiteIE)


def serve(
    server: SourceServer, *bodies: bytes, query: str = "", path: str = MEDIA, format_id: str = "1", **properties: Any
) -> str:
    """A video of the site, whose only format is a file."""
    SiteIE.formats = ({"url": server.add(path, *bodies, **properties) + query, "ext": "mp4", "format_id": format_id},)
    return server.url("/site/video")


def fetch(url: str, folder: Path, reports: list[Progress] | None = None, **options: Any) -> Fetched:
    fetched = fetch_url(url, folder, lab_options(**options), FetchEvents(([] if reports is None else reports).append))
    assert isinstance(fetched, Fetched)
    return fetched


def fetch_until(url: str, folder: Path, count: int, **options: Any) -> int:
    """An attempt that ends once so many bytes are there; returns how many they are."""
    done = 0

    def stop(now: Progress) -> None:
        nonlocal done
        done = now.bytes
        if done >= count:
            raise Stop

    with pytest.raises(Stop):
        fetch_url(url, folder, lab_options(**options), FetchEvents(stop))
    return done


def content(fetched: Fetched) -> bytes:
    return fetched.parts[0].read_bytes()


def segments(server: SourceServer, *bodies: bytes) -> str:
    for number, each in enumerate(bodies):
        server.add(f"/list/{number}.ts", each, content_type="video/mp2t")
    return playlist(server, *(f"{number}.ts" for number in range(len(bodies))))


def playlist(server: SourceServer, *lines: str) -> str:
    head = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n"
    named = "".join(f"#EXTINF:2,\n{line}\n" for line in lines)
    return server.add("/list/index.m3u8", f"{head}{named}#EXT-X-ENDLIST\n".encode(), content_type=PLAYLIST)


def partial_size(folder: Path) -> int:
    with suppress(FileNotFoundError):
        return sum(path.stat().st_size for path in folder.glob("source-*") if path.suffix != ".checkpoint")
    return 0
