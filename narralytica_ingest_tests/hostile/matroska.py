"""Hostile Matroska files: an EBML writer (RFC 8794) that can lie, and what it writes."""

import struct
from collections.abc import Iterable

from narralytica_ingest_tests.hostile.model import Ground, Hostile
from narralytica_ingest_tests.hostile.movies import ENDLESS, FINE, REFUSED, png, zeros_packed

UNKNOWN = b"\x01\xff\xff\xff\xff\xff\xff\xff"
"""A length that nobody knows."""


def element(name: int, *parts: bytes | int | float, size: bytes | None = None) -> bytes:
    """An element; numbers are written as Matroska's unsigned integers or floats."""
    body = b"".join(map(_value, parts))
    head = name.to_bytes((name.bit_length() + 7) // 8, "big")
    return head + (struct.pack(">Q", len(body) | 1 << 56) if size is None else size) + body


def _value(part: bytes | int | float) -> bytes:
    if isinstance(part, bytes):
        return part
    return struct.pack(">d", part) if isinstance(part, float) else struct.pack(">Q", part)


def nested(name: int, depth: int, *, unknown: bool = False) -> bytes:
    """An element in an element in an element."""
    head = name.to_bytes((name.bit_length() + 7) // 8, "big")
    unit = len(head) + 8
    lengths = (UNKNOWN if unknown else struct.pack(">Q", unit * (depth - 1 - n) | 1 << 56) for n in range(depth))
    return b"".join(head + length for length in lengths)


def track(number: int = 1, rate: float = 8_000.0, channels: int = 1, *more: bytes, uid: int = 0) -> bytes:
    """A track of uncoded sound."""
    sound = element(0xE1, element(0xB5, rate), element(0x9F, channels), element(0x6264, 16))
    facts = (element(0xD7, number), element(0x73C5, uid or number), element(0x83, 2), element(0x86, b"A_PCM/INT/LIT"))
    return element(0xAE, *facts, sound, *more)


def block(at: int, body: bytes = b"\0\1" * 800) -> bytes:
    """A tenth of a second of sound, at so many milliseconds after its cluster."""
    return element(0xA3, b"\x81" + struct.pack(">hB", at, 0x80) + body)


def cluster(at: int, *blocks: bytes) -> bytes:
    """A cluster at so many milliseconds."""
    return element(0x1F43B675, element(0xE7, at), *blocks)


SECOND = tuple(block(at) for at in range(0, 1000, 100))


def file(
    *more: bytes, tracks: Iterable[bytes] = (track(),), length: float | int | None = 1000.0, scale: int = 1_000_000,
    clusters: Iterable[bytes] = (cluster(0, *SECOND),),
) -> bytes:  # fmt: skip
    """A whole file; its parts may be others."""
    facts = [element(0x2AD7B1, scale), element(0x4D80, b"x"), element(0x5741, b"x")]
    facts += [] if length is None else [element(0x4489, length)]
    head = element(0x1A45DFA3, element(0x4282, b"matroska"), element(0x4287, 4), element(0x4285, 2))
    body = [element(0x1549A966, *facts), element(0x1654AE6B, *tracks), *more, *clusters]
    return head + element(0x18538067, *body, size=UNKNOWN)


def packed(bomb: bytes) -> bytes:
    """A file whose blocks are compressed (zlib)."""
    zlib = element(0x6D80, element(0x6240, element(0x5034, element(0x4254, 0))))
    return file(tracks=[track(1, 8_000.0, 1, zlib)], clusters=[cluster(0, block(0, bomb), *SECOND)])


def chapters(count: int) -> bytes:
    """So many chapters."""
    atoms = (
        element(0xB6, element(0x73C4, n + 1), element(0x91, n * 1_000_000), element(0x92, n * 1_000_000 + 1),
                element(0x80, element(0x85, b"![x](http://127.0.0.1/)")))
        for n in range(count)
    )  # fmt: skip
    return element(0x1043A770, element(0x45B9, *atoms))


def tags(*pairs: tuple[bytes, bytes]) -> bytes:
    """Tags of the whole file."""
    simple = (element(0x67C8, element(0x45A3, name), element(0x4487, value)) for name, value in pairs)
    return element(0x1254C367, element(0x7373, element(0x63C0), *simple))


def attached(name: bytes, kind: bytes, body: bytes) -> bytes:
    """An attachment."""
    facts = (element(0x466E, name), element(0x4660, kind), element(0x465C, body), element(0x46AE, 1))
    return element(0x1941A469, element(0x61A7, *facts))


def jumping(*hours: float) -> bytes:
    """Sound with holes: a tenth of a second at each of these hours."""
    return file(clusters=[cluster(int(hour * 3_600_000), block(0)) for hour in hours], length=None)


def styled(ground: Ground) -> bytes:
    """Subtitles that name a font and a picture elsewhere, beside a font of our own."""
    style = f"[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: {ground.url}/font.ttf\n[Graphics]\nfilename: "
    style += f"{ground.secret}\n[Events]\nDialogue: 0,0,0,Default,,0,0,0,,{{\\fn{ground.url}/x}}hello\n"
    words = element(0xAE, element(0xD7, 2), element(0x73C5, 2), element(0x83, 17), element(0x86, b"S_TEXT/ASS"),
                    element(0x63A2, style.encode()))  # fmt: skip
    return file(attached(b"../../../tmp/font.ttf", b"application/x-truetype-font", bytes(5_000)),
                tracks=[track(), words])  # fmt: skip


HOSTILE_MATROSKA = (
    Hostile("zlib-bomb.mkv", "a packet that unpacks to 300 MB", lambda _: packed(zeros_packed(300)),
            (*FINE, "undecodable_media", "empty_track", "truncated_media")),
    Hostile("void-deep.mkv", "voids 10,000 deep", lambda _: file(nested(0xEC, 10_000)), FINE),
    Hostile("tags-deep.mkv", "tags in tags, 10,000 deep", lambda _: file(nested(0x67C8, 10_000)), (*FINE, *REFUSED)),
    Hostile("chapters-deep.mkv", "chapters in chapters, 10,000 deep",
            lambda _: file(element(0x1043A770, element(0x45B9, nested(0xB6, 10_000)))), (*FINE, *REFUSED)),
    Hostile("unknown-deep.mkv", "segments without an end, 1,000 deep",
            lambda _: file(nested(0x18538067, 1_000, unknown=True)), (*FINE, *REFUSED, "empty_track")),
    Hostile("tracks.mkv", "10,000 tracks", lambda _: file(tracks=[track(1 + n) for n in range(10_000)]),
            ("not_media", "too_many_streams")),
    Hostile("chapters.mkv", "100,000 chapters", lambda _: file(chapters(100_000)), FINE),
    Hostile("tags.mkv", "200,000 tags", lambda _: file(tags(*((b"N%d" % n, b"v" * 40) for n in range(200_000)))),
            ("media_limit_exceeded", "media_timeout"), slow=True),
    Hostile("tag-large.mkv", "a title of 20 MB, and tags that are no text",
            lambda _: file(tags((b"TITLE", b"\xf0\x9f\x91\xa8" * (5 << 20)), (b"\x1b[2J\xff", b"\0\x9b\xed\xa0\x80"))),
            FINE),
    Hostile("cover.mka", "a cover of 65,535 by 65,535 pixels",
            lambda _: file(attached(b"cover.png", b"image/png", png(65_535, 65_535, zeros_packed(64)))), FINE),
    Hostile("styled.mkv", "subtitles and a font that name other files and URLs", styled, FINE),
    Hostile("length-nan.mkv", "a length that is no number", lambda _: file(length=float("nan")), FINE),
    Hostile("length-minus.mkv", "a length of minus one", lambda _: file(length=-1.0), FINE),
    Hostile("length-infinite.mkv", "an infinite length", lambda _: file(length=float("inf")), (*FINE, *ENDLESS)),
    Hostile("length-2-63.mkv", "a length of 2^63", lambda _: file(length=2.0**63), (*FINE, *ENDLESS)),
    Hostile("scale-zero.mkv", "a clock without ticks", lambda _: file(scale=0), FINE),
    Hostile("scale-large.mkv", "ticks of 2^63 nanoseconds", lambda _: file(scale=1 << 63),
            (*FINE, *ENDLESS, "empty_track")),
    Hostile("time-far.mkv", "a cluster 2^62 ticks later",
            lambda _: file(clusters=[cluster(0, *SECOND), cluster(1 << 62, *SECOND)]), (*FINE, *ENDLESS)),
    Hostile("hole-20-hours.mkv", "sound, and twenty hours later sound", lambda _: jumping(0, 20),
            ("undecodable_media",)),
    Hostile("hole-minutes.mkv", "sound, and ten minutes later sound: that much silence is filled in",
            lambda _: jumping(0, 1 / 6), FINE, seconds=601),
    Hostile("hole-29-hours.mkv", "sound, and twenty-nine hours later sound", lambda _: jumping(0, 29), ("too_long",)),
    Hostile("holes-many.mkv", "two years of silence, in holes of eight hours",
            lambda _: jumping(*(8.0 * n for n in range(2_000))), ("too_long",)),
    Hostile("back-and-forth.mkv", "a clock that jumps to and fro by hours",
            lambda _: jumping(*(10.0 * (n % 2) for n in range(2_000))), ("too_long",)),
    Hostile("rate-nan.mkv", "a rate that is no number", lambda _: file(tracks=[track(1, float("nan"))]),
            (*FINE, *REFUSED, "undecodable_media", "empty_track")),
    Hostile("rate-4-ghz.mkv", "four thousand million samples a second", lambda _: file(tracks=[track(1, 4e9)]),
            (*FINE, *REFUSED, "undecodable_media", "empty_track")),
    Hostile("channels-none.mkv", "no channels", lambda _: file(tracks=[track(1, 8e3, 0)]),
            (*FINE, *REFUSED, "undecodable_media", "empty_track")),
    Hostile("channels-many.mkv", "255 channels", lambda _: file(tracks=[track(1, 8e3, 255)]),
            (*FINE, *REFUSED, "undecodable_media", "empty_track")),
    Hostile("size-lie.mkv", "an element that claims to be 2^55 bytes long",
            lambda _: file(element(0x1254C367, size=b"\x01\x7f" + b"\xff" * 6)), (*FINE, *REFUSED, "empty_track")),
)  # fmt: skip
