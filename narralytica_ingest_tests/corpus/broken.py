"""Files that something is wrong with: cut off, rotten, with holes, silent, lying, or no media at all."""

import random
import struct
from collections.abc import Callable
from pathlib import Path

from narralytica_ingest_tests.corpus.containers import encoded
from narralytica_ingest_tests.corpus.model import Entry, Expected, Make, Sound
from narralytica_ingest_tests.corpus.workshop import SECONDS, Workshop

Harm = Callable[[bytearray], bytes | bytearray]

FAST_START = "-c:a aac -movflags +faststart"
_MP4 = encoded(FAST_START, "h264")
_MKV = encoded("-c:a aac", "h264")
_MP3 = encoded("-c:a libmp3lame")
_FLAC = encoded("-c:a flac")


def harmed(make: Make, harm: Harm) -> Make:
    """A whole file, and then what becomes of its bytes."""

    def make_and_harm(shop: Workshop, target: Path) -> None:
        make(shop, target)
        target.write_bytes(harm(bytearray(target.read_bytes())))

    return make_and_harm


def bytes_of(content: bytes) -> Make:
    """A file of just these bytes."""

    def make(shop: Workshop, target: Path) -> None:
        target.write_bytes(content)

    return make


def cut(share: float) -> Harm:
    """Only the first part is there."""
    return lambda content: content[: int(len(content) * share)]


def without_middle(start: float, end: float, unit: int) -> Harm:
    """Whole packets of `unit` bytes are missing in the middle."""

    def harm(content: bytearray) -> bytearray:
        first, last = (int(len(content) * share) // unit * unit for share in (start, end))
        return content[:first] + content[last:]

    return harm


def rot(start: float, end: float, every: int) -> Harm:
    """One of `every` bytes between two shares of the file is another: what bad storage does."""

    def harm(content: bytearray) -> bytearray:
        dice = random.Random(1)
        first, last = int(len(content) * start), int(len(content) * end)
        for place in range(first, last, every):
            content[place + dice.randrange(min(every, last - place))] ^= 1 << dice.randrange(8)
        return content

    return harm


def zeros(start: float, end: float) -> Harm:
    """A piece in the middle is zeros: a block that was never written."""

    def harm(content: bytearray) -> bytearray:
        first, last = int(len(content) * start), int(len(content) * end)
        content[first:last] = bytes(last - first)
        return content

    return harm


def mp4_says(seconds: float) -> Harm:
    """Another duration in `mvhd`, the head of an MP4 (ISO 14496-12, 8.2.2, version 0); the tracks keep theirs."""

    def harm(content: bytearray) -> bytearray:
        head = content.index(b"mvhd") + 4
        (scale,) = struct.unpack_from(">I", content, head + 12)
        struct.pack_into(">I", content, head + 16, int(seconds * scale))
        return content

    return harm


def mp4_sound_says(seconds: float) -> Harm:
    """A last sound sample that lasts so much longer, and a track length to match (`stts`, `elst` and `mdhd` of the
    second track; ISO 14496-12, 8.6.1.2, 8.6.6 and 8.4.2)."""

    def harm(content: bytearray) -> bytearray:
        times, edits, media = (content.index(name, content.index(name) + 4) for name in (b"stts", b"elst", b"mdhd"))
        (rate,) = struct.unpack_from(">I", content, media + 16)
        claims = {
            times + 8 + 8 * _count(content, times): seconds * rate,
            edits + 12: seconds * 1000,
            media + 20: seconds * rate,
        }
        for place, more in claims.items():
            (before,) = struct.unpack_from(">I", content, place)
            struct.pack_into(">I", content, place, before + int(more))
        return content

    return harm


def _count(content: bytearray, table: int) -> int:
    (count,) = struct.unpack_from(">I", content, table + 8)
    return int(count)


def matroska_says(seconds: float) -> Harm:
    """Another `Duration` (RFC 9559, element 0x4489) in milliseconds, a float of eight bytes."""

    def harm(content: bytearray) -> bytearray:
        struct.pack_into(">d", content, content.index(b"\x44\x89\x88") + 3, seconds * 1000)
        return content

    return harm


def dropped(when: str) -> Make:
    """Sound packets are left out where `when` holds (an expression of the `noise` bitstream filter)."""

    def make(shop: Workshop, target: Path) -> None:
        whole = target.with_name(f"whole-{target.name}")
        _MKV(shop, whole)
        fragments = ("-movflags", "+frag_keyframe+empty_moov")  # an MP4 keeps a track without packets only so
        options = fragments if target.suffix == ".mp4" else ()
        shop.ffmpeg("-i", whole, "-c", "copy", "-bsf:a", f"noise=drop={when}", *options, target)
        whole.unlink()

    return make


def altered(filters: str) -> Make:
    """The sentence through audio filters."""
    return encoded(f"-af {filters} -c:a aac", "h264")


def no_sound(shop: Workshop, target: Path) -> None:
    """A picture alone."""
    shop.ffmpeg("-i", shop.picture("vp9" if target.suffix == ".webm" else "h264"), "-c", "copy", target)


_AAC = (Sound("aac"),)
_TRUNCATED = Expected(failure="truncated_media")
_REFUSED = Expected(failure="not_media", refused=True)


def _found(*codes: str, seconds: float = SECONDS, said: str | None = None) -> Expected:
    return Expected(seconds=seconds, said=said, findings=frozenset(codes))


_LIES = _found("duration_differs", said="sentence")

BROKEN = (
    Entry("cut.mp4", "index first, the second half missing", harmed(_MP4, cut(0.5)),
          "mp4", "mp4", "h264", _AAC, expected=_TRUNCATED),
    Entry("cut.mkv", "the second half missing", harmed(_MKV, cut(0.5)),
          "matroska", "mkv", "h264", _AAC, expected=_TRUNCATED),
    Entry("cut.webm", "the last third missing", harmed(encoded("-c:a libopus", "vp9"), cut(0.66)),
          "webm", "webm", "vp9", (Sound("opus"),), expected=_TRUNCATED),
    Entry("cut.wav", "the second half missing", harmed(encoded("-c:a pcm_s16le"), cut(0.5)),
          "wav", "wav", None, (Sound("pcm_s16le"),), expected=_TRUNCATED),
    Entry("cut.flac", "the second half missing", harmed(_FLAC, cut(0.5)),
          "flac", "flac", None, (Sound("flac"),), expected=_TRUNCATED),
    Entry("cut.mp3", "the second half missing", harmed(_MP3, cut(0.5)),
          "mp3", "mp3", None, (Sound("mp3"),), expected=_TRUNCATED),
    Entry("cut.ogg", "the second half missing", harmed(encoded("-c:a libopus"), cut(0.5)),
          "ogg", "ogg", None, (Sound("opus"),), expected=_TRUNCATED),
    Entry("cut.avi", "the second half missing", harmed(encoded("-c:a libmp3lame", "mpeg4"), cut(0.5)),
          "avi", "avi", "mpeg4", (Sound("mp3"),), expected=_TRUNCATED),
    Entry("cut.flv", "the second half missing", harmed(encoded("-c:a aac -ar 44100", "h264"), cut(0.5)),
          "flv", "flv", "h264", (Sound("aac", 2, 44_100),), expected=_TRUNCATED),
    Entry("cut-fragmented.mp4", "fragments, the second half missing",
          harmed(encoded("-c:a aac -movflags +frag_keyframe+delay_moov", "h264"), cut(0.5)),
          "mp4", "mp4", "h264", _AAC, expected=_TRUNCATED),
    Entry("cut.ts", "the second half missing, which the container cannot tell: only the last packet is broken",
          harmed(encoded("-c:a aac", "h264"), cut(0.5)), "mpegts", "ts", "h264", _AAC,
          expected=_found("damaged_media", seconds=1.26)),
    Entry("cut-before-index.mp4", "index last, and missing", harmed(encoded("-c:a aac", "h264"), cut(0.9)),
          expected=_REFUSED),
    Entry("rotten-sound.mp3", "a byte of every three hundred is another", harmed(_MP3, rot(0.4, 0.6, 300)),
          "mp3", "mp3", None, (Sound("mp3"),), expected=_found("damaged_media")),
    Entry("rotten-sound.mka", "a byte of every three thousand is another",
          harmed(encoded("-c:a aac"), rot(0.3, 0.7, 3000)), "matroska", "mka", None, _AAC,
          expected=_found("damaged_media")),
    Entry("rotten-sound.flac", "a few bytes are others", harmed(_FLAC, rot(0.4, 0.6, 2000)),
          "flac", "flac", None, (Sound("flac"),), expected=_found("damaged_media")),
    Entry("rotten.mp4", "picture and sound rotten in the middle", harmed(_MP4, rot(0.4, 0.6, 200)),
          "mp4", "mp4", "h264", _AAC, expected=_found("damaged_media")),
    Entry("rotten-header.mp4", "the index is rotten", harmed(_MP4, rot(0.0, 0.1, 8)), expected=_REFUSED),
    Entry("unwritten.mp4", "a block of zeros", harmed(_MP4, zeros(0.4, 0.6)),
          "mp4", "mp4", "h264", _AAC, expected=_found("damaged_media")),
    Entry("hole.mkv", "the sound of a second is missing", dropped(r"between(pts*tb\,1\,2)"),
          "matroska", "mkv", "h264", _AAC, expected=_found("gaps")),
    Entry("hole.ts", "packets are missing", harmed(encoded("-c:a ac3", "h264"), without_middle(0.3, 0.7, 188)),
          "mpegts", "ts", "h264", (Sound("ac3"),), expected=_found("gaps", "damaged_media")),
    Entry("no-sound.mp4", "a picture alone", no_sound, "mp4", "mp4", "h264",
          expected=Expected(failure="no_audio_stream")),
    Entry("no-sound.webm", "a picture alone", no_sound, "webm", "webm", "vp9",
          expected=Expected(failure="no_audio_stream")),
    Entry("silent.mp4", "digital silence", altered("volume=0"), "mp4", "mp4", "h264", _AAC,
          expected=_found("silent_track")),
    Entry("empty-track.mp4", "a sound track without a packet", dropped("1"), "mp4", "mp4", "h264", _AAC,
          expected=Expected(failure="empty_track")),
    Entry("empty-track.mkv", "a sound track without a packet", dropped("1"), "matroska", "mkv", "h264", _AAC,
          expected=Expected(failure="empty_track")),
    Entry("clipped.mp4", "overdriven", altered("volume=30dB"), "mp4", "mp4", "h264", _AAC,
          expected=_found("clipped")),
    Entry("says-too-long.mp4", "the head says twice its length, the tracks tell the truth",
          harmed(_MP4, mp4_says(2 * SECONDS)), "mp4", "mp4", "h264", _AAC),
    Entry("sound-says-too-long.mp4", "the last sound sample claims three seconds", harmed(_MP4, mp4_sound_says(3.0)),
          "mp4", "mp4", "h264", _AAC, expected=_found("duration_differs", said="sentence")),
    Entry("says-too-long.mkv", "the head says twice its length", harmed(_MKV, matroska_says(2 * SECONDS)),
          "matroska", "mkv", "h264", _AAC, expected=_LIES),
    Entry("says-too-short.mkv", "the head says half its length", harmed(_MKV, matroska_says(SECONDS / 2)),
          "matroska", "mkv", "h264", _AAC, expected=_LIES),
    Entry("nothing.mp4", "no byte", bytes_of(b""), expected=_REFUSED),
    Entry("page.mp4", "a web page", bytes_of(b"<!DOCTYPE html><html><body>Sign in</body></html>"), expected=_REFUSED),
    Entry("garbage.mp4", "random bytes", bytes_of(random.Random(1).randbytes(50_000)), expected=_REFUSED),
)  # fmt: skip
