"""yt-dlp's ways of sending a request, bounded in time and memory.

What belongs here: what the HTTP libraries under yt-dlp leave to the good will of a server. Bodies are `body.py`'s.
"""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from yt_dlp.networking._curlcffi import CurlCFFIRH
from yt_dlp.networking._requests import RequestsRH
from yt_dlp.networking.exceptions import TransportError

_MOST_WAITING = 128  # pieces (of 16 KiB at most) that curl may be ahead of who reads them
_FULL_PAUSE_SECONDS = 0.01
_AGAIN_SECONDS = 5.0


@contextmanager
def answered_within(seconds: float) -> Iterator[None]:
    """Raises TransportError (a timeout) where an answer's head takes longer. In the main thread only: others wait on.

    A socket's timeout begins anew with every byte, so a head that drips, or a chain of slow redirects, never meets it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(*_: object) -> None:
        raise TransportError("the answer did not come in time", cause=TimeoutError())

    began, before = time.monotonic(), signal.signal(signal.SIGALRM, give_up)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # whoever else set an alarm gets it
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.001), interval)


def bounded(handlers: Sequence[type]) -> list[type]:
    """The handlers, those for http by the ones below."""
    ours = {RequestsRH: BoundedRequestsRH, CurlCFFIRH: BoundedCurlCFFIRH}
    return [ours.get(each, each) for each in handlers]


class BoundedRequestsRH(RequestsRH):  # type: ignore[misc]
    """requests reads the body of a redirect to its end and into memory; there is nothing in it."""

    def _create_instance(self, *args: Any, **options: Any) -> Any:
        session = super()._create_instance(*args, **options)
        session.hooks["response"].append(_leave_body_of_redirect)
        return session


def _leave_body_of_redirect(response: Any, **_: Any) -> None:
    if response.is_redirect:
        response._content, response._content_consumed = b"", True
        response.raw.close()


class BoundedCurlCFFIRH(CurlCFFIRH):  # type: ignore[misc]
    """curl_cffi fetches in a thread of its own, and keeps in memory what nobody has read yet, however much."""

    def _send(self, request: Any) -> Any:
        response = super()._send(request)
        response.fp = _CurlReader(response.fp)
        return response


class _CurlReader:
    """Stands before yt-dlp's reader, which waits for as much as was asked for, and keeps curl's thread from getting far
    ahead."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        waiting, left = reader._response.queue, reader._response.quit_now

        def put(piece: object) -> None:
            while waiting.qsize() >= _MOST_WAITING and not left.wait(_FULL_PAUSE_SECONDS):
                pass
            waiting.put(piece)

        waiting.put_nowait = put  # what the thread calls

    def read1(self, most: int) -> bytes:
        """What has arrived, at most so many bytes; nothing at the end."""
        reader = self._reader
        if reader.closed:
            return b""
        try:
            if not reader._buffer:
                reader._buffer = next(reader._iterator, b"")
                reader.bytes_read += len(reader._buffer)
        except BaseException:
            reader.close()
            raise
        piece, reader._buffer = reader._buffer[:most], reader._buffer[most:]
        if not piece:
            reader.close()
        return bytes(piece)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)
