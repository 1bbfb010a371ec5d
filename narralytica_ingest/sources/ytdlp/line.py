"""The requests for the bytes of one format, and what is told of them."""

from typing import Any

from yt_dlp.networking.common import Request, Response

from narralytica_ingest.sources.meter import Meter
from narralytica_ingest.sources.remote_file import Answer, RemoteFile, require_known_end
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.session import Session

_BLOCK = 256 << 10


class Line:
    """Asks for bytes of one format, and keeps its limits on size and slowness.

    `total` is the size of the format as far as it is known, `later` that of the formats still to come.
    """

    def __init__(self, downloader: Downloader, session: Session, chosen: dict[str, Any], later: int | None) -> None:
        self.downloader, self.session = downloader, session
        self.headers: dict[str, str] = dict(chosen.get("http_headers") or downloader._calc_headers(chosen))
        self.total: int | None = None
        self.seen: dict[str, RemoteFile] = {}  # the files of which ranges were asked for, by URL
        self._later = later
        self._data = chosen.get("request_data")
        self._extensions = _extensions(downloader, chosen)
        self._meter = Meter(session.options.min_rate, session.options.stall_seconds)

    def ask(self, url: str, start: int | None, end: int | None, first: RemoteFile | None) -> tuple[Response, Answer]:
        """The bytes from `start` to before `end` of the file that `first` was of, or a new whole file.

        The answer tells which. Raises IngestError `length_unknown`, and yt-dlp's RequestErrors.
        """
        headers = self.headers | {"Accept-Encoding": "identity"}
        if start is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
            if first is not None and first.validator is not None:
                headers["If-Range"] = first.validator
        response = self.downloader.urlopen(Request(url, self._data, headers, extensions=dict(self._extensions)))
        try:
            require_known_end(response.headers)
        except BaseException:
            response.close()
            raise
        answer = Answer.of(response.status, response.headers)
        response.fp.at_once = True
        # A part of nobody knows which file belongs to nothing: its file equals no other.
        return response, answer or Answer(RemoteFile(None, None, None), -1, None)

    def read(self, response: Response, most: int | None) -> bytes:
        """What is there now, at most so many bytes; nothing at the end."""
        data: bytes = response.read(_BLOCK if most is None else min(_BLOCK, most))
        self._meter.add(len(data))
        return data

    def announce(self, size: int) -> None:
        """The format's size, as soon as it is known and before any byte of it is written."""
        self.total = size
        self.session.check_size(size)
        self.session.tell_need(self.session.done_bytes + size + (self._later or 0))

    def tell(self, done: int) -> None:
        """How far the format is."""
        total = None if self.total is None or self._later is None else max(self.total, done)
        rate = self._meter.rate
        whole = None if total is None else self.session.done_bytes + total + (self._later or 0)
        left = None if whole is None else whole - self.session.done_bytes - done
        self.session.tell_progress(done, whole, rate, left / rate if left is not None and rate else None)


def _extensions(downloader: Downloader, chosen: dict[str, Any]) -> dict[str, Any]:
    if chosen.get("impersonate") is None:
        return {}
    target, _ = downloader._parse_impersonate_targets(chosen["impersonate"])
    return {"impersonate": target} if target else {}
