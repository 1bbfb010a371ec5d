"""Hostile files of MP4's family: tables that lie, bombs, and references to what is not theirs."""

import struct
import zlib

from narralytica_ingest_tests.hostile.boxes import FRAMES, Movie, box, full, table
from narralytica_ingest_tests.hostile.model import Ground, Hostile, Make, content

MANY = 0xFFFFFFFF
ENDLESS = ("too_long", "truncated_media", "not_media")
REFUSED = ("not_media",)
FINE = ("succeeded",)


def zeros_packed(megabytes: int) -> bytes:
    """So many megabytes of zeros, as zlib packs them: a thousandth."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(megabytes)), packer.flush()])


def packed_head(claimed: int, packed: bytes) -> bytes:
    """A QuickTime file whose index is compressed (`cmov`) and claims to have this size."""
    index = box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", struct.pack(">I", claimed), packed))
    return Movie().file()[: 36 + 2 * FRAMES] + box(b"moov", index)


def nested(name: bytes, depth: int, inner: bytes = b"") -> bytes:
    """A box in a box in a box. Made from the end, since each head knows only its length."""
    heads = [struct.pack(">I4s", 8 * (depth - level) + len(inner), name) for level in range(depth)]
    return b"".join(heads) + inner


def elsewhere(kind: bytes, target: str) -> bytes:
    """A data reference to another file: as a URL, or as an old Macintosh alias with an absolute path."""
    if kind == b"url ":
        return full(b"url ", target.encode() + b"\0")
    path = target.encode()
    alias = bytes(4) + struct.pack(">HH", 150 + 4 + len(path) + 4, 2) + bytes(142)
    tail = struct.pack(">HH", 18, len(path)) + path + b"\0" * (len(path) % 2) + struct.pack(">H", 0xFFFF)
    return full(b"alis", alias + tail)


def text(name: bytes, value: bytes) -> bytes:
    """A piece of QuickTime's user data."""
    return box(name, struct.pack(">HH", len(value) & 0xFFFF, 0), value)


def itunes(value: bytes, kind: int = 1, name: bytes = b"\xa9nam") -> bytes:
    """Tags as iTunes writes them; kind 14 is a PNG."""
    item = box(name, box(b"data", struct.pack(">II", kind, 0), value))
    handler = full(b"hdlr", struct.pack(">4s4s12x", b"", b"mdir"), b"\0")
    return box(b"udta", full(b"meta", handler, box(b"ilst", item)))


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG of this claimed size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def edits(*rows: tuple[int, int], claimed: int | None = None) -> bytes:
    """An edit list of (length, place in the sound; -1: nothing)."""
    return box(b"edts", table(b"elst", *((length, place, 0x10000) for length, place in rows), claimed=claimed))


def with_secret(ground: Ground) -> bytes:
    return Movie(sources=elsewhere(b"alis", str(ground.secret))).file()


def remote(ground: Ground) -> bytes:
    return Movie(sources=elsewhere(b"url ", ground.url + "/dref")).file()


def reference_movie(ground: Ground) -> bytes:
    """A movie that only names others (`rmra`)."""
    url = (ground.url + "/rmra").encode() + b"\0"
    local = str(ground.secret).encode() + b"\0"
    named = [box(b"rmda", full(b"rdrf", b"url ", struct.pack(">I", len(each)), each)) for each in (url, local)]
    return box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + box(b"moov", box(b"rmra", *named))


def streamed(ground: Ground) -> bytes:
    """A hint for streaming servers (`hnti`) with an address."""
    said = f"v=0\r\nc=IN IP4 127.0.0.1\r\na=control:{ground.url}/hnti\r\n".encode()
    return Movie(in_movie=box(b"udta", box(b"hnti", box(b"rtp ", b"sdp ", said)))).file()


def patched(name: bytes, offset: int, value: bytes, *options: str) -> Make:
    """An ordinary MP4 in which some bytes after a box's name are others."""

    def make(ground: Ground) -> bytes:
        whole = bytearray(ground.clip("plain.mp4", *options))
        place = whole.index(name) + 4 + offset
        whole[place : place + len(value)] = value
        return bytes(whole)

    return make


def fragments(base: int) -> Make:
    """A fragmented MP4 whose last fragment begins at this time (in samples)."""

    def make(ground: Ground) -> bytes:
        whole = bytearray(
            ground.clip("fragments.mp4", "-vn", "-c:a", "aac", "-movflags", "+empty_moov+frag_every_frame"
                        "+default_base_moof")
        )  # fmt: skip
        place = whole.rindex(b"tfdt")
        whole[place + 8 : place + 16] = struct.pack(">Q", base)
        return bytes(whole)

    return make


HOSTILE_MOVIES = (
    Hostile("cmov-bomb.mov", "an index that unpacks to 300 MB",
            lambda _: packed_head(300 << 20, zeros_packed(300)), REFUSED),
    Hostile("cmov-claim.mov", "a packed index that claims 4 GB", lambda _: packed_head(MANY, zeros_packed(1)), REFUSED),
    Hostile("stts-eternity.mov", "samples that last 2^31 each",
            lambda _: Movie(times=table(b"stts", (FRAMES, 0x7FFFFFFF)), length=0x7FFFFFFF).file(), ENDLESS),
    Hostile("stts-rows.mov", "a time table that claims 2^32 rows",
            lambda _: Movie(times=table(b"stts", (FRAMES, 1), claimed=MANY)).file(), (*FINE, *REFUSED)),
    Hostile("stsz-claim.mov", "2^32 samples in a tiny file",
            lambda _: Movie(sizes=full(b"stsz", struct.pack(">II", 2, MANY)), times=table(b"stts", (MANY, 1)),
                            chunks=table(b"stsc", (1, MANY, 1))).file(), (*ENDLESS, "empty_track")),
    Hostile("index-bomb.mov", "an index of forty million packets in a tiny file",
            lambda _: Movie(codec=b"mp4a", sizes=full(b"stsz", struct.pack(">II", 1, 40_000_000)),
                            times=table(b"stts", (40_000_000, 1)), chunks=table(b"stsc", (1, 40_000_000, 1))).file(),
            ("truncated_media", "too_long", "not_media", "undecodable_media", "empty_track", "media_out_of_memory")),
    Hostile("ctts.mov", "times moved by 2^31",
            lambda _: Movie(in_table=table(b"ctts", (FRAMES, 0x7FFFFFFF))).file(), (*FINE, *ENDLESS, "empty_track")),
    Hostile("edits-wait.mov", "an edit list that begins with 500 days of nothing",
            lambda _: Movie(edits=edits((0x7FFFFFFF, -1), (FRAMES, 0))).file(), (*FINE, *ENDLESS)),
    Hostile("edits-many.mov", "100,000 edits that repeat the sound: 28 hours of it",
            lambda _: Movie(edits=edits(*[(FRAMES, 0)] * 100_000)).file(), (*FINE, *ENDLESS)),
    Hostile("edits-claim.mov", "an edit list that claims 2^32 rows",
            lambda _: Movie(edits=edits((FRAMES, 0), claimed=MANY)).file(), (*FINE, *REFUSED)),
    Hostile("edits-far.mov", "an edit list that begins behind the end",
            lambda _: Movie(edits=edits((MANY, 0x7FFFFFFF))).file(),
            (*FINE, *ENDLESS, "empty_track", "undecodable_media")),
    Hostile("dref-alias.mov", "the sound is in somebody else's file", with_secret,
            ("truncated_media", "not_media", "empty_track", "succeeded")),
    Hostile("dref-url.mov", "the sound is at a URL", remote,
            ("truncated_media", "not_media", "empty_track", "succeeded")),
    Hostile("rmra.mov", "a movie that only names others, remote and local", reference_movie, REFUSED),
    Hostile("hnti.mov", "an address for streaming servers", streamed, FINE),
    Hostile("deep.mov", "boxes in boxes, 10,000 deep",
            lambda _: box(b"ftyp", b"qt  ", bytes(4)) + nested(b"moov", 10_000), REFUSED),
    Hostile("deep-inside.mov", "10,000 boxes deep, within a sound file",
            lambda _: Movie(in_movie=nested(b"udta", 10_000)).file(), (*FINE, *REFUSED)),
    Hostile("size-zero.mov", "boxes with a length of 0, 1 and 2^63",
            lambda _: Movie().file() + struct.pack(">I4sQ", 1, b"free", 1 << 63) + struct.pack(">I4s", 0, b"moov"),
            (*FINE, *REFUSED)),
    Hostile("scale-zero.mov", "a clock without ticks", lambda _: Movie(scale=0).file(),
            (*FINE, *REFUSED, "media_limit_exceeded"), seconds=8_000, slow=True),
    Hostile("length-2-63.mov", "2^63 samples long", lambda _: Movie(long=True, length=1 << 63).file(),
            (*FINE, *ENDLESS)),
    Hostile("tracks.mov", "10,000 tracks", lambda _: Movie(tracks=10_000).file(), ("not_media", "too_many_streams")),
    Hostile("rate-one.mov", "one sample a second", lambda _: Movie(rate=1).file(), ("undecodable_media",)),
    Hostile("rate-zero.mov", "no samples a second", lambda _: Movie(rate=0).file(),
            (*FINE, *REFUSED, "undecodable_media", "empty_track"), seconds=8_100),
    Hostile("channels.mov", "65,535 channels", lambda _: Movie(channels=0xFFFF).file(),
            ("not_media", "undecodable_media", "empty_track", "truncated_media")),
    Hostile("no-channels.mov", "no channels", lambda _: Movie(channels=0, codec=b"sowt").file(),
            ("not_media", "undecodable_media", "empty_track", "truncated_media", "succeeded")),
    Hostile("cover-bomb.m4a", "a cover of 65,535 by 65,535 pixels",
            lambda _: Movie(in_movie=itunes(png(65_535, 65_535, zeros_packed(64)), 14, b"covr")).file(), FINE),
    Hostile("tags.mov", "eight megabytes of title", lambda _: Movie(in_movie=itunes(b"T" * (8 << 20))).file(), FINE),
    Hostile("tags-odd.mov", "control characters, escapes, and bytes that are no text",
            lambda _: Movie(in_movie=itunes(b"\x1b]52;c;aGk=\x07\xff\xfe\xc3(\x9b31m\r\n\xed\xa0\x80")).file(), FINE),
    Hostile("dimensions.mp4", "a picture of 65,535 by 65,535", patched(b"avc1", 24, b"\xff\xff\xff\xff"), FINE),
    Hostile("no-dimensions.mp4", "a picture of 0 by 0", patched(b"avc1", 24, bytes(4)), FINE),
    Hostile("fragment-far.mp4", "a fragment three years later", fragments(1 << 40),
            ("too_long", "truncated_media", "not_media")),
    Hostile("fragment-hours.mp4", "a fragment twenty hours later: a hole that silence would have to fill",
            fragments(20 * 3600 * 16_000), ("undecodable_media",)),
    Hostile("only-head.mov", "a head without a body", content(box(b"ftyp", b"qt  ", bytes(4)) + Movie().head()),
            ("truncated_media", "not_media", "empty_track")),
)  # fmt: skip
