"""The frame of a file: its largest parts by the lengths that they claim, read without ffmpeg.

What belongs here: what ffprobe does not say. A few seeks for each file; its content is not read.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_ISO = {"mp4", "m4a", "mov", "3gp"}
_RIFF = {"avi", "wav", "aiff"}
_SECTOR = 2048  # bytes


class _Part(NamedTuple):
    """A part of a file: its name, and where it claims to end."""

    name: bytes
    end: int


def missing_bytes(path: Path, extension: str) -> int:
    """How many bytes a file lacks by its own account: how far the part that it ends in reaches beyond its end.

    0 where the container does not say, or where only padding is missing.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if extension in _ISO:
            parts = [each for each in _boxes(file, size) if each.name in (b"mdat", b"moof")]
            return max([0, *(each.end - size for each in parts)])
        if extension in _RIFF:
            missing = max([0, *(each.end - size for each in _chunks(file, size))])
            return missing if missing > _SECTOR else 0  # some writers count their own header or padding wrong
    return 0


def _boxes(file: BinaryIO, size: int) -> Iterator[_Part]:
    """The boxes of an ISO base media file (ISO/IEC 14496-12, 4.2). Ends at rubbish, and at a box that reaches to the
    end of the file wherever that is."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
        if length < 8:
            return
        at += length
        yield _Part(name, at)


def _chunks(file: BinaryIO, size: int) -> Iterator[_Part]:
    """The outermost chunks of a RIFF or AIFF file. Recorders that never came back to their header leave 0 or a number
    near the greatest, and say nothing."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        name, length = struct.unpack(">4sI" if head.startswith(b"FORM") else "<4sI", head)
        if name not in (b"RIFF", b"FORM") or length == 0 or length % 2**31 >= 0x7FFF0000:
            return
        yield _Part(name, at + 8 + length)
        at += 8 + length + length % 2
