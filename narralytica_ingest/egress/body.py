"""What of a stream of bytes is passed on, while it comes: the body of one request, and the answer to it.

What belongs here: `Sieve`s, which are given what came and return what goes on. Without a socket.
"""

import re
from typing import Protocol

from narralytica_ingest.egress.head import closing, is_interim, split_answer

Bytes = bytes | bytearray | memoryview
_LONGEST_LINE = 4096  # bytes, of a chunk's size with its extensions


class Sieve(Protocol):
    """Passes on what may go on."""

    def take(self, came: memoryview) -> Bytes:
        """What goes on of the bytes that came, perhaps with some that came before."""

    def end(self) -> Bytes:
        """What still goes on when nothing more comes."""


class All:
    """Everything, as in a tunnel."""

    def take(self, came: memoryview) -> Bytes:
        return came

    def end(self) -> Bytes:
        return b""


class Counted:
    """A body of so many bytes; what comes after it goes nowhere."""

    def __init__(self, length: int) -> None:
        self._left = length

    def take(self, came: memoryview) -> Bytes:
        passed = came[: self._left]
        self._left -= len(passed)
        return passed

    def end(self) -> Bytes:
        return b""


class Chunked:
    """A body in chunks, with its trailers; what comes after it, or is no chunk, goes nowhere."""

    def __init__(self) -> None:
        self._line = b""  # of a size, so far
        self._data = 0  # bytes still to come of the chunk, with its line end
        self._in_trailers = False
        self._over = False

    def take(self, came: memoryview) -> Bytes:
        at = 0
        while at < len(came) and not self._over:
            if self._data:
                step = min(self._data, len(came) - at)
                self._data -= step
                at += step
            else:
                at = self._read_line(bytes(came), at)
        return came[:at]

    def end(self) -> Bytes:
        return b""

    def _read_line(self, came: bytes, at: int) -> int:
        end = came.find(b"\n", at)
        self._line += came[at:] if end < 0 else came[at : end + 1]
        if len(self._line) > _LONGEST_LINE:
            self._over = True
            return at
        if end < 0:
            return len(came)
        line, self._line = self._line, b""
        if self._in_trailers:
            self._over = line == b"\r\n"
            return end + 1
        found = re.fullmatch(rb"(?P<size>[0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n", line)
        if found is None:
            self._over = True
            return at
        size = int(found["size"], 16)
        self._in_trailers = size == 0
        self._data = size + 2 if size else 0
        return end + 1


class Answer:
    """An answer: its head says that the connection ends with it, and all else passes unchanged."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._in_body = False

    def take(self, came: memoryview) -> Bytes:
        if self._in_body:
            return came
        self._head += came
        passed = b""
        while not self._in_body and (end := split_answer(self._head)) is not None:
            head, rest = bytes(self._head[:end]), bytes(self._head[end:])
            self._in_body = not is_interim(head)
            passed += (closing(head) if end else b"") + (rest if self._in_body else b"")
            self._head = bytearray() if self._in_body else bytearray(rest)
        return passed

    def end(self) -> Bytes:
        return bytes(self._head)
