"""yt-dlp's ways of sending a request, bounded in time and memory, and none of them past the guard.

What belongs here: what the HTTP libraries under yt-dlp leave to the good will of a server, and to the environment.
Bodies are `body.py`'s.
"""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from curl_cffi import CurlECode, CurlOpt
from yt_dlp.networking._curlcffi import CurlCFFIRH
from yt_dlp.networking._requests import RequestsRH
from yt_dlp.networking.exceptions import RequestError, TransportError

from narralytica_ingest.failures import failure
from narralytica_ingest.sources.ytdlp.exits import Exits, refused

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
    """Of the handlers those for http, by the ones below. All others (urllib, websockets) would go ways of their own."""
    ours = {RequestsRH: BoundedRequestsRH, CurlCFFIRH: BoundedCurlCFFIRH}
    return [ours[each] for each in handlers if each in ours]


class _Guarded:
    """A handler that sends everything through a guard, whatever request, settings or environment say. It has no other
    way out: without `exits` it reaches nothing."""

    exits: Exits | None = None

    def _check_proxies(self, proxies: Any) -> None:
        """Those that a request names are not used."""

    def _get_proxies(self, request: Any) -> dict[str, str]:
        if self.exits is None:
            raise RequestError("there is no guard to send this through")
        # Never with a key `no`: yt-dlp then asks the environment, too.
        return {"all": self.exits.proxy_for(request.url, request.proxies)}


class BoundedRequestsRH(_Guarded, RequestsRH):  # type: ignore[misc]
    """requests reads the body of a redirect to its end and into memory; there is nothing in it."""

    def _create_instance(self, *args: Any, **options: Any) -> Any:
        session = super()._create_instance(*args, **options)
        session.hooks["response"].append(_leave_body_of_redirect)
        return session


def _leave_body_of_redirect(response: Any, **_: Any) -> None:
    if response.is_redirect:
        response._content, response._content_consumed = b"", True
        response.raw.close()


class BoundedCurlCFFIRH(_Guarded, CurlCFFIRH):  # type: ignore[misc]
    """curl_cffi fetches in a thread of its own, and keeps in memory what nobody has read yet, however much.

    curl asks the environment for exceptions from proxies unless it is told that there are none, and it can speak more
    protocols than these.
    """

    def _get_instance(self, **options: Any) -> Any:
        session = super()._get_instance(**options)
        for name, value in ((CurlOpt.NOPROXY, ""), (CurlOpt.PROTOCOLS_STR, "http,https"),
                            (CurlOpt.REDIR_PROTOCOLS_STR, "http,https")):  # fmt: skip
            session.curl.setopt(name, value)
        return session

    def _send(self, request: Any) -> Any:
        try:
            response = super()._send(request)
        except TransportError as error:
            if getattr(error.cause, "code", None) == CurlECode.UNSUPPORTED_PROTOCOL:
                raise refused(failure("blocked_scheme")) from error
            raise
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
