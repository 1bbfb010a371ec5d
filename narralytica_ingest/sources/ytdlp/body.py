"""The body of an answer, read so that it can neither drip for ever nor fill the memory."""

from typing import Any

from narralytica_ingest.failures import failure
from narralytica_ingest.sources.meter import Meter

LARGEST_PAGE = 64 << 20  # bytes of a body that is not media, which yt-dlp reads whole
_SMALL_BLOCK = 4 << 10


class Body:
    """Stands before the body that yt-dlp reads from.

    Its `read` waits for as much as was asked for, as yt-dlp expects. A source that sends a byte every few seconds makes
    that last for ever, and the socket's timeout never strikes; here the meter is asked after every piece that arrives.
    With `at_once` a read gives what has arrived, and size and slowness are the reader's own concern: for media they are
    settings.
    """

    def __init__(self, body: Any, meter: Meter) -> None:
        self._body, self._meter = body, meter
        self._arrived = 0
        self.at_once = False
        self.largest: int | None = LARGEST_PAGE

    def read(self, amt: int | None = None, **options: Any) -> bytes:
        """At most `amt` bytes, all of them unless the body ends. Raises IngestError `too_slow`, `page_too_large`."""
        pieces: list[bytes] = []
        left = amt
        while left is None or left > 0:
            piece = self._piece(1 << 18 if left is None else left, options)
            pieces.append(piece)
            if not piece or self.at_once:
                break
            left = None if left is None else left - len(piece)
        return b"".join(pieces)

    def _piece(self, most: int, options: dict[str, Any]) -> bytes:
        if hasattr(self._body, "read1"):
            piece: bytes = self._body.read1(most, **options) or b""
        else:  # this one always waits for as much as was asked for
            piece = self._body.read(min(most, _SMALL_BLOCK), **options) or b""
        self._arrived += len(piece)
        if not self.at_once and self.largest is not None and self._arrived > self.largest:
            raise failure(
                "page_too_large", "What the source sends instead of a page is far too large for one: check the URL."
            )
        if not self.at_once:
            self._meter.add(len(piece))
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)
