"""Hostile files of sound: small ones that last for days, and heads that lie."""

import struct
import zlib

from narralytica_ingest_tests.hostile.model import Ground, Hostile, Make
from narralytica_ingest_tests.hostile.movies import ENDLESS, FINE, REFUSED, zeros_packed

MANY = 0xFFFFFFFF
NOTHING = (*REFUSED, "undecodable_media", "empty_track", "truncated_media")

# ---- FLAC (RFC 9639) -------------------------------------------------------------------------------------------------


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    value = 0
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value >> (bits - 1) else 0)) & ((1 << bits) - 1)
    return value


def _number(value: int) -> bytes:
    """A frame's number, written as UTF-8 writes letters."""
    return chr(value + 0xE000 if value >= 0xD800 else value).encode()


def flac(frames: int, rate: int, said: int) -> bytes:
    """Frames of 65,535 equal samples each, in some sixteen bytes; the head says that there are `said` samples."""
    head = struct.pack(">HH3x3x", 65_535, 65_535)
    head += (rate << 44 | 15 << 36 | said & (1 << 36) - 1).to_bytes(8, "big") + bytes(16)
    made = []
    for number in range(frames):
        start = b"\xff\xf8" + b"\x70" + b"\x08" + _number(number) + struct.pack(">H", 65_534)
        start += bytes([_crc(start, 8, 0x07)])
        body = start + b"\x00" + b"\x04\x00"
        made.append(body + struct.pack(">H", _crc(body, 16, 0x8005)))
    return b"fLaC" + b"\x80\0\0\x22" + head + b"".join(made)


# ---- RIFF and friends ------------------------------------------------------------------------------------------------


def wav(channels: int = 1, rate: int = 8_000, bits: int = 16, block: int = 2, said: int | None = None, kind: int = 1,
        body: bytes = b"\0\1" * 8_000, more: bytes = b"") -> bytes:  # fmt: skip
    """A WAV whose head says this."""
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * block & MANY, block, bits)
    said = len(body) if said is None else said
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + more + b"data" + struct.pack("<I", said) + body
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


def au(rate: int, channels: int) -> bytes:
    """Sun's format, of an unknown length."""
    return b".snd" + struct.pack(">5I", 24, MANY, 3, rate, channels) + bytes(16_000)


def aiff() -> bytes:
    """A head with a rate that is infinite (ten bytes) and 2^32 frames."""
    common = struct.pack(">HIH", 1, MANY, 16) + b"\x7f\xff\x80" + bytes(7)
    chunks = b"COMM" + struct.pack(">I", 18) + common + b"SSND" + struct.pack(">I", 16_008) + bytes(16_008)
    return b"FORM" + struct.pack(">I", len(chunks) + 4) + b"AIFF" + chunks


def tta() -> bytes:
    """A head that says 2^32 samples, and next to nothing behind it."""
    head = b"TTA1" + struct.pack("<HHHII", 1, 2, 16, 8_000, MANY)
    return head + struct.pack("<I", zlib.crc32(head)) + bytes(4_000)


def wavpack() -> bytes:
    """A block that says 2^31 samples."""
    return b"wvpk" + struct.pack("<IHBBIIIII", 1_000, 0x410, 0, 0, MANY - 1, 0, 0x7FFFFFFF, 0x1804, 0) + bytes(976)


def monkey() -> bytes:
    """A Monkey's Audio file with 2^32 frames of 2^32 samples."""
    head = b"MAC " + struct.pack("<HH", 3_990, 0) + struct.pack("<7I", 52, 24, 4_000, 0, 1_000, 0, 0) + bytes(16)
    return head + struct.pack("<HHIIIHHI", 2_000, 0, MANY, MANY, MANY, 16, 2, 44_100) + bytes(8_000)


# ---- MP3 -------------------------------------------------------------------------------------------------------------


def _frame(name: bytes, body: bytes, flags: int = 0, said: int | None = None) -> bytes:
    return name + struct.pack(">IH", len(body) if said is None else said, flags) + body


def _safe(size: int) -> bytes:
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def _id3(*frames: bytes, said: int | None = None) -> bytes:
    body = b"".join(frames)
    return b"ID3\x03\0\0" + _safe(len(body) if said is None else said) + body


def tagged(*frames: bytes, said: int | None = None) -> Make:
    """An MP3 behind such tags."""
    return lambda ground: _id3(*frames, said=said) + mp3(ground)


def mp3(ground: Ground) -> bytes:
    """An MP3 of a second."""
    return ground.clip("plain.mp3", "-vn", "-c:a", "libmp3lame", "-id3v2_version", "0", "-write_xing", "0")


def chapter(number: int) -> bytes:
    """A chapter of an MP3."""
    return _frame(b"CHAP", b"c%d\0" % number + struct.pack(">4I", number, number + 1, MANY, MANY))


def xing(ground: Ground) -> bytes:
    """A first frame that says 2^32 frames follow."""
    whole = mp3(ground)
    head = whole[:4] + bytes(17 if whole[3] >> 6 == 3 and whole[1] & 8 else 9 if whole[3] >> 6 == 3 else 17)
    return (head + b"Xing" + struct.pack(">III", 3, MANY, MANY)).ljust(len(whole) // 20, b"\0") + whole


# ---- Ogg -------------------------------------------------------------------------------------------------------------


def _ogg_crc(page: bytes) -> int:
    return _crc(page, 32, 0x04C11DB7)


def granules(*places: int) -> Make:
    """An Opus file whose last pages end at these places (48,000 a second), each a copy of its last page but one."""

    def make(ground: Ground) -> bytes:
        options = ("-vn", "-c:a", "libopus", "-page_duration", "20000", "-t", "0.2")
        whole = ground.clip("plain.opus", *options)
        starts = [at for at in range(len(whole)) if whole.startswith(b"OggS", at)]
        page = bytearray(whole[starts[-2] : starts[-1]])
        (number,) = struct.unpack_from("<I", page, 18)
        made = [whole[: starts[-2]]]
        for place in places:
            struct.pack_into("<QII", page, 6, place, *struct.unpack_from("<I", page, 14), number)
            struct.pack_into("<I", page, 22, 0)
            struct.pack_into("<I", page, 22, _ogg_crc(bytes(page)))
            made.append(bytes(page))
            number += 1
        return b"".join(made)

    return make


HOSTILE_SOUNDS = (
    Hostile("days.flac", "a kilobyte that lasts 54 days at one sample a second", lambda _: flac(72, 1, 8_000),
            ("undecodable_media", "too_long")),
    Hostile("hours.flac", "28 kB that last a day and a half, and say two seconds", lambda _: flac(1_900, 1_000, 2_000),
            ("too_long",)),
    Hostile("said.flac", "a head that says 2^36 samples", lambda _: flac(2, 8_000, (1 << 36) - 1),
            ("too_long", "truncated_media")),
    Hostile("fast.flac", "a head that says 2^36 samples at once", lambda _: flac(2, 655_350, (1 << 36) - 1),
            ("too_long", "truncated_media")),
    Hostile("endless.wav", "a head that says 4 GB", lambda _: wav(said=MANY), (*FINE, *ENDLESS)),
    Hostile("channels.wav", "65,535 channels", lambda _: wav(channels=0xFFFF, block=0xFFFF), NOTHING),
    Hostile("no-block.wav", "blocks of nothing", lambda _: wav(block=0, bits=0), (*FINE, *NOTHING)),
    Hostile("rate-zero.wav", "no samples a second", lambda _: wav(rate=0), (*FINE, *NOTHING)),
    Hostile("rate-one.wav", "one sample a second for two days", lambda _: wav(rate=1, body=bytes(400_000)),
            ("too_long",)),
    Hostile("rate-max.wav", "2^32 samples a second", lambda _: wav(rate=MANY), (*FINE, *NOTHING)),
    Hostile("codec.wav", "two bits a sample, of a codec that grows them", lambda _: wav(kind=0x11, bits=4, block=0xFFF0,
            body=bytes(200_000)), (*FINE, *NOTHING), seconds=60),
    Hostile("list.wav", "a list of tags that claims 4 GB", lambda _: wav(more=b"LIST\xff\xff\xff\xffINFO"),
            (*FINE, *NOTHING)),
    Hostile("unknown.au", "an unknown length at 2^31 samples a second", lambda _: au(0x7FFFFFFF, 1),
            ("undecodable_media",)),
    Hostile("channels.au", "2^31 channels", lambda _: au(8_000, 0x7FFFFFFF), NOTHING),
    Hostile("infinite.aiff", "an infinite rate", lambda _: aiff(), (*FINE, *ENDLESS, *NOTHING)),
    Hostile("days.tta", "a head that says 2^32 samples", lambda _: tta(), (*ENDLESS, *NOTHING)),
    Hostile("block.wv", "a block that says 2^31 samples", lambda _: wavpack(), (*ENDLESS, *NOTHING)),
    Hostile("frames.ape", "2^32 frames of 2^32 samples", lambda _: monkey(), (*ENDLESS, *NOTHING)),
    Hostile("id3-claim.mp3", "tags that claim 256 MB", tagged(said=(1 << 28) - 1), (*FINE, *NOTHING)),
    Hostile("id3-bomb.mp3", "a packed tag that unpacks to 200 MB",
            tagged(_frame(b"TIT2", struct.pack(">I", 200 << 20) + zeros_packed(200), 0x80)), FINE),
    Hostile("id3-chapters.mp3", "20,000 chapters", tagged(*map(chapter, range(20_000))), FINE),
    Hostile("id3-private.mp3", "100,000 tags",
            tagged(*(_frame(b"TXXX", b"\0N%d\0value" % n) for n in range(100_000))),
            ("media_limit_exceeded", "media_timeout"), slow=True),
    Hostile("xing.mp3", "a head that says 2^32 frames", xing, (*FINE, *ENDLESS, "duration_differs")),
    Hostile("jump.ogg", "a place 2^62 samples later", granules(20_000, 1 << 62), (*FINE, *ENDLESS)),
    Hostile("holes.ogg", "a hole of twenty hours on every page",
            granules(*(n * 72_000 * 48_000 for n in range(1, 40))), ("too_long",)),
    Hostile("minus.ogg", "a place before the beginning", granules(20_000, (1 << 64) - 2), (*FINE, *ENDLESS)),
)  # fmt: skip
