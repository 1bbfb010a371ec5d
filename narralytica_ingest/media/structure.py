"""The frame of a file: its largest parts by the lengths that they claim, read without ffmpeg.

What belongs here: what ffprobe does not say. A few seeks for each file; its content is not read.
"""

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

_ISO = {"mp4", "m4a", "mov", "3gp"}
_RIFF = {"avi", "wav", "aiff"}
_SECTOR = 2048  # bytes
_OGG_PAGE = struct.Struct("<4sBB20xB")  # RFC 3533, 6: capture pattern, version, flags, number of segments
_OGG_PAGE_BYTES = 65_307  # at most
# Two boxes a second for half a week. A file of gigabytes may be nothing but empty boxes, and keep us busy for hours.
_MOST_PARTS = 500_000
_OGG_ENDS = 0x04  # the flag of a stream's last page


class _Part(NamedTuple):
    """A part of a file: its name, where it claims to end, and its flags, if it has any."""

    name: bytes
    end: int
    flags: int = 0


def missing_bytes(path: Path, extension: str) -> int:
    """How many bytes a file lacks by its own account: how far the part that it ends in reaches beyond its end.

    0 where the container does not say, or where only padding is missing.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if extension in _ISO:
            parts = (each for each in islice(_boxes(file, size), _MOST_PARTS) if each.name in (b"mdat", b"moof"))
            return max((each.end - size for each in parts if each.end > size), default=0)
        if extension in _RIFF:
            chunks = islice(_chunks(file, size), _MOST_PARTS)
            missing = max((each.end - size for each in chunks if each.end > size), default=0)
            return missing if missing > _SECTOR else 0  # some writers count their own header or padding wrong
        if extension == "ogg":
            return max(0, _last_ogg_page(file, size).end - size)
    return 0


def lacks_its_end(path: Path, extension: str) -> bool:
    """Whether the file ends without the mark that its format puts there: it was cut, or who wrote it never came to the
    end. Of the formats that announce no length only Ogg has one."""
    if extension != "ogg":
        return False
    with path.open("rb") as file:
        return not _last_ogg_page(file, path.stat().st_size).flags & _OGG_ENDS


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


def _last_ogg_page(file: BinaryIO, size: int) -> _Part:
    """The page that begins last. A file that does not end in one, with something else behind it, has one without the
    mark of an end."""
    start = max(0, size - 2 * _OGG_PAGE_BYTES)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0 or at + _OGG_PAGE.size > len(tail):
        return _Part(b"OggS", size)
    name, _, flags, segments = _OGG_PAGE.unpack_from(tail, at)
    lengths = tail[at + _OGG_PAGE.size :][:segments]
    unread = segments - len(lengths)  # cut within its own table
    return _Part(name, start + at + _OGG_PAGE.size + segments + sum(lengths) + unread, flags)
