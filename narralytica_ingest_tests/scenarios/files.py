"""Single files and pages: redirects, cuts, resumes, changes, lies, statuses, silence, names that want to escape."""

import gzip
import random
from collections.abc import Callable
from typing import Any

from narralytica_ingest.media.tools import find_tools
from narralytica_ingest_tests.scenarios.model import CLIP, SWAPPED, Fails, Published, Scenario, Web, row
from narralytica_ingest_tests.source_server.resource import TYPES
from narralytica_ingest_tests.source_server.streams import ffmpeg

WHOLE = Published(CLIP)
RESUMED = Published(CLIP, resumed=("/clip.mp4",))
CUT = Fails("transient", "incomplete_read")
# The first attempt gets this far, and no further when it asks again; the second meets no trouble.
HALF = [150_000, 0, 0, None]
WILD_TITLE = "../../../etc/\u202egnp\u202c \U0001f3ac \x1b[2J\x1b]0;owned\x07 \x00 <b>"
_CUTS = random.Random(3).sample(range(1, len(CLIP)), 3)


def file(*bodies: bytes, **properties: Any) -> Callable[[Web], str]:
    """A file behind its own URL. yt-dlp asks twice: first to see what it is, then for its bytes."""
    return lambda web: web.server.add("/clip.mp4", *bodies, **properties)


def behind_page(*bodies: bytes, **properties: Any) -> Callable[[Web], str]:
    """A file that a page plays: it is asked for once, for its bytes."""

    def serve(web: Web) -> str:
        web.server.add("/media.mp4", *bodies, **properties)
        player = b'<!DOCTYPE html><html><title>A talk</title><body><video src="/media.mp4"></video></body></html>'
        return web.server.add("/page.html", player, content_type=TYPES[".html"])

    return serve


def page(**properties: Any) -> Callable[[Web], str]:
    """A page that has its troubles; what it points to has none."""

    def serve(web: Web) -> str:
        url = web.server.add_page("/page.html", "/clip.mp4")
        for name, value in properties.items():
            setattr(web.server.resources["/page.html"], name, value)
        return url

    return serve


def titled(**video: Any) -> Callable[[Web], str]:
    return lambda web: web.server.add_page("/page.html", "/clip.mp4", **video)


def redirected(web: Web) -> str:
    web.server.add_redirect("/second", web.server.url("/deep/third", host="localhost"), 302)
    web.server.add_redirect("/deep/third", "../clip.mp4", 307)
    web.server.add_redirect("/deep/fourth", "/clip.mp4", 308)
    return web.server.add_redirect("/first", "/second", 301)


def moved_media(web: Web) -> str:
    web.server.add_redirect("/media.mp4", web.server.url("/clip.mp4", host="localhost"), 302)
    web.server.add("/clip.mp4", cuts=[100_000, None])
    return web.server.add_page("/page.html", "/media.mp4")


def endless_redirects(web: Web) -> str:
    web.server.add_redirect("/there", "/here")
    return web.server.add_redirect("/here", "/there")


def converted(name: str, *options: str) -> Callable[[Web], str]:
    def serve(web: Web) -> str:
        made = web.folder / name
        ffmpeg(find_tools(), *options, made)
        return web.server.add("/clip.mp4", made.read_bytes())

    return serve


def packed(web: Web) -> str:
    return web.server.add("/clip.mp4", gzip.compress(CLIP), headers={"Content-Encoding": "gzip"})


def packed_page(web: Web) -> str:
    web.server.add_page("/page.html", "/clip.mp4")
    body = gzip.compress(web.server.resources["/page.html"].bodies[0])
    headers = {"Content-Encoding": "gzip"}
    return web.server.add("/page.html", body, content_type=TYPES[".html"], headers=headers)


_PARTS = [{"@type": "Clip", "name": name, "startOffset": at} for name, at in (("One", 0), ("Two", 5))]
_CHAPTERS = [{"start_time": 0, "title": "One", "end_time": 5}, {"start_time": 5, "title": "Two", "end_time": 11.7}]
_MEDIA = "/media.mp4"

TABLE: list[Scenario] = [
    row("a plain file arrives byte for byte", file(), WHOLE),
    row("redirects across paths and hosts lead to the file", redirected, WHOLE),
    row("a redirected transfer that is cut goes on", moved_media, WHOLE),
    row("redirects without end are a failure", endless_redirects, Fails("permanent", "redirect_loop")),
    *(row(f"a transfer cut at byte {at} goes on there", file(cuts=[None, at, None]), RESUMED) for at in _CUTS),
    row("a transfer cut before its first byte goes on", file(cuts=[None, 0, None]), WHOLE),
    row("a transfer cut one byte before its end goes on", file(cuts=[None, len(CLIP) - 1, None]), RESUMED),
    row(
        "a transfer cut every time goes on in the next attempt",
        behind_page(cuts=HALF),
        CUT,
        Published(CLIP, resumed=(_MEDIA,), sent_at_most={_MEDIA: len(CLIP) + 140_000}),
    ),
    row(
        "a server without ranges sends a cut file from its start", file(cuts=[None, 100_000, None], ranges=False), WHOLE
    ),
    row("a server without ranges that always cuts never gives a file", file(cuts=[None, 9000], ranges=False), CUT, CUT),
    row(
        "without validators a cut transfer starts again",
        file(CLIP, CLIP, SWAPPED, cuts=[None, 100_000, None], etag=False, dated=False),
        Published(SWAPPED),
    ),
    row(
        "a file that changed after a cut is fetched from its start",
        file(CLIP, CLIP, SWAPPED, cuts=[None, 100_000, None]),
        Published(SWAPPED),
    ),
    row(
        "a file that changed after a cut is seen though If-Range is ignored",
        file(CLIP, CLIP, SWAPPED, cuts=[None, 100_000, None], honours_if_range=False),
        Published(SWAPPED),
    ),
    row(
        "a file that changed between attempts at the same size is fetched from its start",
        behind_page(CLIP, CLIP, CLIP, SWAPPED, cuts=HALF),
        CUT,
        Published(SWAPPED),
    ),
    row(
        "a file of which only the date changed between attempts is fetched from its start",
        behind_page(CLIP, CLIP, CLIP, SWAPPED, cuts=HALF, etag=False, honours_if_range=False),
        CUT,
        Published(SWAPPED),
    ),
    row(
        "a file without validators is never continued in the next attempt",
        behind_page(CLIP, CLIP, CLIP, SWAPPED, cuts=HALF, etag=False, dated=False),
        CUT,
        Published(SWAPPED),
    ),
    row(
        "a file that became shorter than the partial is fetched from its start",
        behind_page(SWAPPED + CLIP, SWAPPED + CLIP, SWAPPED + CLIP, CLIP, cuts=[400_000, 0, 0, None]),
        CUT,
        WHOLE,
    ),
    row("a file that is shorter than announced is never whole", file(lie=1000), CUT),
    row("a file that is longer than announced is cut off", file(lie=-100_000), Fails("permanent", "truncated_media")),
    row("a file of unknown length is refused", file(announced=False), Fails("transient", "length_unknown")),
    row(
        "a file of unknown length that is cut is refused",
        behind_page(announced=False, cuts=[99]),
        Fails("transient", "length_unknown"),
    ),
    row("a file that arrives packed is refused", packed, Fails("transient", "length_unknown")),
    row("a packed page is read", packed_page, WHOLE),
    row("an empty file is a failure", file(b""), Fails("transient", "empty_response")),
    row("an empty file behind a page is a failure", behind_page(b""), Fails("transient", "empty_response")),
    row(
        "a page that is named like a video is no media",
        file(b"<!DOCTYPE html><html><body>Log in</body></html>"),
        Fails("permanent", "not_media"),
    ),
    row(
        "a page behind a page is no media",
        behind_page(b"<!DOCTYPE html><html></html>", content_type="text/html"),
        Fails("permanent", "not_media"),
    ),
    row(
        "a Matroska file that is named .mp4 is stored as what it is",
        converted("a.mkv", "-c", "copy"),
        Published(extension="mkv"),
    ),
    row(
        "a video without sound is refused",
        converted("mute.mp4", "-an", "-c", "copy"),
        Fails("permanent", "no_audio_stream"),
    ),
    row("half a file is never published", file(CLIP[:200_000]), Fails("permanent", "truncated_media")),
    # ---- statuses ----
    *(
        row(f"a page that answers {status} every time: {code}", page(statuses=[status]), Fails(kind, code))
        for status, kind, code in (
            (401, "needs_operator", "login_required"),
            (403, "needs_operator", "access_denied"),
            (404, "permanent", "not_found"),
            (410, "permanent", "not_found"),
            (416, "restart", "range_refused"),
            (451, "permanent", "legally_blocked"),
            (500, "transient", "server_error"),
            (503, "rate_limited", "rate_limited"),
        )
    ),
    *(
        row(f"media that answers {status} every time: {code}", behind_page(statuses=[status]), Fails(kind, code))
        for status, kind, code in (
            (401, "needs_operator", "login_required"),
            (403, "transient", "forbidden"),
            (404, "permanent", "not_found"),
            (410, "permanent", "not_found"),
            (451, "permanent", "legally_blocked"),
            (500, "transient", "server_error"),
            (503, "rate_limited", "rate_limited"),
        )
    ),
    row(
        "a page that limits says when to come back",
        page(statuses=[429, 200], headers={"Retry-After": "70"}),
        Fails("rate_limited", "rate_limited", retry_in=(60, 80)),
        WHOLE,
    ),
    row(
        "media that limits says when to come back",
        behind_page(statuses=[429, 200], headers={"Retry-After": "70"}),
        Fails("rate_limited", "rate_limited", retry_in=(60, 80)),
        WHOLE,
    ),
    row("media that fails once is asked again", behind_page(statuses=[500, 200]), WHOLE),
    row("media that is forbidden once is extracted again", behind_page(statuses=[403, 200]), WHOLE),
    row(
        "media that says 416 once is fetched in the next attempt",
        behind_page(statuses=[416, 200]),
        Fails("restart", "range_refused"),
        WHOLE,
    ),
    row(
        "a page that fails once is read in the next attempt",
        page(statuses=[500, 200]),
        Fails("transient", "server_error"),
        WHOLE,
    ),
    # ---- time, connections, names ----
    row("a drip is given up", behind_page(rate=400.0), Fails("transient", "too_slow"), stall_seconds=1.0),
    row(
        "silence in the middle is given up and fetched from there",
        behind_page(stalls=[100_000, None]),
        Published(CLIP, resumed=(_MEDIA,)),
        settings={"socket_timeout_seconds": 1.0},
    ),
    row(
        "silence every time is a failure",
        behind_page(stalls=[50_000, 0]),
        Fails("transient", "timed_out"),
        settings={"socket_timeout_seconds": 0.5},
    ),
    row(
        "a certificate that nobody trusts is refused",
        lambda web: web.secure.add("/clip.mp4"),
        Fails("needs_operator", "tls_verification"),
    ),
    row(
        "a port where nobody listens", lambda web: "http://127.0.0.1:9/clip.mp4", Fails("transient", "connection_lost")
    ),
    row("a host that does not exist", lambda web: "http://nobody.invalid/clip.mp4", Fails("permanent", "no_such_host")),
    row("a path that wants to escape", lambda web: web.server.add("/..%2f..%2f..%2fevil%00.mp4"), WHOLE),
    row("a title that wants to escape", titled(name=WILD_TITLE, author={"name": "\u202e\x1b[1m/../"}), WHOLE),
    row(
        "a page gives title, channel and chapters",
        titled(hasPart=_PARTS),
        Published(CLIP, info={"title": "A talk about ingestion", "chapters": _CHAPTERS}),
    ),
    row(
        "a page without a video",
        lambda web: web.server.add(
            "/text.html", b"<!DOCTYPE html><html><body>Words</body></html>", content_type="text/html"
        ),
        Fails("permanent", "unsupported_url"),
    ),
    row(
        "a file larger than allowed by its length", file(), Fails("permanent", "too_large"), options={"max_bytes": 9999}
    ),
]
