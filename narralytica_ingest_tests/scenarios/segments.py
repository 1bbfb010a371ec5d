"""HLS and DASH: every way of cutting a video into pieces, and pieces that are missing, short, empty or changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from narralytica_ingest.media.tools import find_tools
from narralytica_ingest_tests.scenarios.model import Fails, Published, Scenario, Web, row
from narralytica_ingest_tests.source_server import SAMPLE
from narralytica_ingest_tests.source_server.resource import TYPES
from narralytica_ingest_tests.source_server.streams import HLS, ffmpeg


def _sample(web: Web) -> list[Path]:
    return [SAMPLE]


def _small(web: Web) -> list[Path]:
    return [web.streams / "small.mp4"]


WHOLE = Published(tracks=_sample)


def at(path: str) -> Callable[[Web], str]:
    return lambda web: web.server.url(path)


def with_piece(master: str, piece: str, **troubles: Any) -> Callable[[Web], str]:
    """A stream of which one piece has its troubles."""

    def serve(web: Web) -> str:
        for name, value in troubles.items():
            setattr(web.server.resources[piece], name, value)
        return web.server.url(master)

    return serve


def without(master: str, piece: str) -> Callable[[Web], str]:
    def serve(web: Web) -> str:
        del web.server.resources[piece]
        return web.server.url(master)

    return serve


def made(*options: str, **properties: Any) -> Callable[[Web], str]:
    """HLS that is cut from the sample for one scenario; `properties` are those of its media."""

    def serve(web: Web) -> str:
        ffmpeg(find_tools(), *HLS, *[option.format(folder=web.folder) for option in options], web.folder / "a.m3u8")
        for path in web.folder.iterdir():
            own = properties if path.suffix == ".ts" else {}
            web.server.add(
                f"/made/{path.name}", path.read_bytes(), content_type=TYPES.get(path.suffix, "text/plain"), **own
            )
        return web.server.url("/made/a.m3u8")

    return serve


def encrypted(key_is_there: bool) -> Callable[[Web], str]:
    def serve(web: Web) -> str:
        (web.folder / "a.key").write_bytes(b"0123456789abcdef")
        (web.folder / "a.keyinfo").write_text(f"a.key\n{web.folder / 'a.key'}\n")
        url = made("-hls_key_info_file", "{folder}/a.keyinfo")(web)
        if not key_is_there:
            del web.server.resources["/made/a.key"]
        return url

    return serve


def protected(web: Web) -> str:
    playlist = web.server.resources["/hls/high.m3u8"].bodies[0].decode()
    key = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://key",KEYFORMAT="com.apple.streamingkeydelivery"\n#EXTINF'
    body = playlist.replace("#EXTINF", key, 1).encode()
    return web.server.add("/hls/protected.m3u8", body, content_type=TYPES[".m3u8"])


def live(web: Web) -> str:
    text = web.server.resources["/hls/high.m3u8"].bodies[0].decode()
    body = text.replace("#EXT-X-ENDLIST", "").replace("VOD", "EVENT").encode()
    return web.server.add("/live.m3u8", body, content_type=TYPES[".m3u8"])


def sound_apart(web: Web) -> str:
    for name, options in (("picture", ("-an",)), ("sound", ("-vn",))):
        segments = ("-hls_segment_filename", str(web.folder / f"{name}-%d.ts"))
        ffmpeg(find_tools(), *options, *HLS, *segments, web.folder / f"{name}.m3u8")
    for path in web.folder.iterdir():
        web.server.add(f"/apart/{path.name}", path.read_bytes(), content_type=TYPES[path.suffix])
    master = (
        "#EXTM3U\n"
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English",LANGUAGE="en",DEFAULT=YES,URI="sound.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=240000,RESOLUTION=480x270,CODECS="avc1.640015,mp4a.40.2",AUDIO="a"\npicture.m3u8\n'
    )
    return web.server.add("/apart/master.m3u8", master.encode(), content_type=TYPES[".m3u8"])


def changed_between_attempts(web: Web) -> str:
    """The first attempt meets a piece that is away for a while; in the second all pieces are of another encoding."""
    for path, resource in list(web.server.resources.items()):
        if path.startswith("/hls/high-"):
            resource.bodies = [resource.bodies[0], web.server.resources[path.replace("high", "low")].bodies[0]]
    web.server.resources["/hls/high-3.ts"].statuses = [500, 500, 200]
    web.server.resources["/hls/high-3.ts"].bodies = web.server.resources["/hls/high-3.ts"].bodies[1:]
    for path in [path for path in web.server.resources if path.startswith("/hls/high-") and path[10] > "3"]:
        web.server.resources[path].bodies = web.server.resources[path].bodies[1:]
    return web.server.url("/hls/high.m3u8")


_TS, _FMP4, _DASH = "/hls/master.m3u8", "/hls-fmp4/master.m3u8", "/dash/manifest.mpd"
_FIRST = ("/hls/high-0.ts", "/hls/high-1.ts")  # the last one may be compared

TABLE: list[Scenario] = [
    row("HLS of MPEG-TS keeps every packet", at(_TS), WHOLE),
    row("HLS of fragmented MP4 keeps every packet", at(_FMP4), WHOLE),
    row("HLS of pieces of one file keeps every packet", made("-hls_flags", "single_file"), WHOLE),
    row(
        "HLS of pieces of one file from a server without ranges",
        made("-hls_flags", "single_file", ranges=False),
        Fails("permanent", "ranges_ignored"),
    ),
    row("HLS that is encrypted with AES-128 keeps every packet", encrypted(key_is_there=True), WHOLE),
    row("HLS whose key is missing", encrypted(key_is_there=False), Fails("permanent", "not_found")),
    row("HLS with DRM is no video for us", protected, Fails("permanent", "drm_protected")),
    row("HLS with its sound apart is joined", sound_apart, WHOLE),
    row("HLS that goes on is live", live, Fails("not_yet", "live")),
    row("DASH keeps every packet", at(_DASH), WHOLE),
    row(
        "the rendition of the wanted height is fetched",
        at(_TS),
        Published(tracks=_small, untouched=("/hls/high-0.ts",)),
        options={"max_height": 200},
    ),
    row("a missing piece is a failure", without(_TS, "/hls/high-3.ts"), Fails("permanent", "not_found")),
    row(
        "a missing piece of fragmented MP4 is a failure",
        without(_FMP4, "/hls-fmp4/high-2.m4s"),
        Fails("permanent", "not_found"),
    ),
    row("a missing beginning is a failure", without(_FMP4, "/hls-fmp4/high-init.mp4"), Fails("permanent", "not_found")),
    row(
        "a missing piece of DASH is a failure",
        without(_DASH, "/dash/chunk-stream1-00003.m4s"),
        Fails("permanent", "not_found"),
    ),
    row("a piece that fails once is fetched again", with_piece(_TS, "/hls/high-2.ts", statuses=[500, 200]), WHOLE),
    row("a piece that is cut once is fetched again", with_piece(_TS, "/hls/high-2.ts", cuts=[1000, None]), WHOLE),
    row(
        "a piece that is always cut is a failure",
        with_piece(_TS, "/hls/high-2.ts", cuts=[1000]),
        Fails("transient", "incomplete_read"),
    ),
    row(
        "a piece of unknown length is a failure",
        with_piece(_TS, "/hls/high-2.ts", announced=False),
        Fails("transient", "length_unknown"),
    ),
    row(
        "an empty piece is a failure",
        with_piece(_TS, "/hls/high-2.ts", bodies=[b""]),
        Fails("transient", "empty_response"),
    ),
    row(
        "a piece that limits is a limit",
        with_piece(_TS, "/hls/high-2.ts", statuses=[429], headers={"Retry-After": "70"}),
        Fails("rate_limited", "rate_limited", retry_in=(60, 80)),
    ),
    row(
        "pieces that are there already are not fetched again in the next attempt",
        with_piece("/hls/high.m3u8", "/hls/high-3.ts", statuses=[500, 500, 200]),
        Fails("transient", "server_error"),
        Published(tracks=_sample, sent_at_most=dict.fromkeys(_FIRST, 70_000)),
    ),
    row(
        "pieces that changed between attempts are not joined with the old ones",
        changed_between_attempts,
        Fails("transient", "server_error"),
        Published(tracks=_small),
    ),
]
