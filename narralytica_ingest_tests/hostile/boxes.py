"""The boxes of ISO base media files (ISO/IEC 14496-12) and a whole small movie of them, of which any part can lie."""

import struct
from dataclasses import dataclass

RATE = 8_000
FRAMES = 8_000  # one second


def box(name: bytes, *parts: bytes) -> bytes:
    """A box with its length."""
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, name) + body


def full(name: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    """A box with version and flags."""
    return box(name, struct.pack(">I", version << 24 | flags), *parts)


def table(name: bytes, *rows: tuple[int, ...], claimed: int | None = None) -> bytes:
    """A box with a table of 32 bit numbers, which may claim to have more rows than it has."""
    flat = [number & 0xFFFFFFFF for row in rows for number in row]
    return full(name, struct.pack(f">{1 + len(flat)}I", len(rows) if claimed is None else claimed, *flat))


@dataclass(frozen=True)
class Movie:
    """A QuickTime movie with one second of uncoded sound (8 kHz, mono, 16 bit) unless a part says otherwise."""

    scale: int = RATE
    length: int = FRAMES
    rate: int = RATE
    channels: int = 1
    bits: int = 16
    codec: bytes = b"twos"
    times: bytes = table(b"stts", (FRAMES, 1))
    sizes: bytes = full(b"stsz", struct.pack(">II", 2, FRAMES))
    chunks: bytes = table(b"stsc", (1, FRAMES, 1))
    offsets: bytes | None = None
    sources: bytes = full(b"url ", flags=1)
    edits: bytes = b""
    in_table: bytes = b""
    in_movie: bytes = b""
    tracks: int = 1
    long: bool = False

    def head(self) -> bytes:
        """The movie's box, without the sound itself."""
        version = int(self.long)
        times = struct.pack(">QQIQ" if self.long else ">4I", 0, 0, self.scale, self.length)
        matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
        movie = full(b"mvhd", times, struct.pack(">IH10x", 0x10000, 0x100), matrix, bytes(24), b"\0\0\0\2",
                     version=version)  # fmt: skip
        return box(b"moov", movie, self.track(matrix, times, version) * self.tracks, self.in_movie)

    def track(self, matrix: bytes, times: bytes, version: int) -> bytes:
        """The sound's track."""
        header = full(b"tkhd", struct.pack(">5I" if not version else ">QQIIQ", 0, 0, 1, 0, self.length), bytes(8),
                      struct.pack(">4H", 0, 0, 0x100, 0), matrix, bytes(8), flags=7, version=version)  # fmt: skip
        entry = struct.pack(">6xH8xHHII", 1, self.channels, self.bits, 0, self.rate << 16)
        described = full(b"stsd", struct.pack(">I", 1), box(self.codec, entry))
        offsets = table(b"stco", (36,)) if self.offsets is None else self.offsets
        stbl = box(b"stbl", described, self.times, self.in_table, self.chunks, self.sizes, offsets)
        data = box(b"dinf", full(b"dref", struct.pack(">I", 1), self.sources))
        media = box(b"mdia", full(b"mdhd", times, bytes(4), version=version),
                    full(b"hdlr", struct.pack(">4s4s12x", b"mhlr", b"soun"), b"\0"),
                    box(b"minf", full(b"smhd", bytes(4)), data, stbl))  # fmt: skip
        return box(b"trak", header, self.edits, media)

    def file(self) -> bytes:
        """The whole file: the sound first, so that its place is known."""
        sound = struct.pack(f">{FRAMES}h", *(((n * 330 // RATE) % 2 * 2 - 1) * 3000 for n in range(FRAMES)))
        return box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + box(b"wide") + box(b"mdat", sound) + self.head()
