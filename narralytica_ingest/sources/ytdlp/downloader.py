"""A YoutubeDL that remembers what its requests were answered, and never splices two files into one."""

import sys
from typing import Any

import yt_dlp
from yt_dlp.networking.common import Request, Response
from yt_dlp.networking.exceptions import HTTPError
from yt_dlp.utils import sanitize_url, timeconvert

from narralytica_ingest.failures import failure
from narralytica_ingest.sources.fetching import FetchOptions
from narralytica_ingest.sources.meter import Meter
from narralytica_ingest.sources.remote_file import require_known_end
from narralytica_ingest.sources.ytdlp.body import Body
from narralytica_ingest.sources.ytdlp.exits import Exits, refused
from narralytica_ingest.sources.ytdlp.extractor_lists import ExtractorLists
from narralytica_ingest.sources.ytdlp.handlers import answered_within, bounded
from narralytica_ingest.sources.ytdlp.programs import forbid_programs

_USUAL = FetchOptions()


class Downloader(yt_dlp.YoutubeDL):  # type: ignore[misc]
    """A YoutubeDL that never splices.

    yt-dlp continues a cut transfer with a bare `Range`: when the file has changed meanwhile, the result has the right
    size and is corrupt. Here a `Range` from the middle of a file to its end is sent only with the `If-Range` that
    `piece.py` gives it; without one it is dropped, and yt-dlp, answered with a whole file, begins it again.
    """

    def __init__(self, parameters: dict[str, Any], exits: Exits | None = None) -> None:
        """Sends its requests through `exits`; without them it reaches nothing."""
        self._exits = exits  # asked for already by yt-dlp's own beginning
        super().__init__(parameters)
        forbid_programs()
        self._lists = ExtractorLists((), ())
        self._changed_at: set[int] = set()
        self._network_error: Exception | None = None
        self._downloading = False
        self._responses: list[Response] = []

    def close(self) -> None:
        for response in self._responses:  # yt-dlp leaves those of failed requests open
            response.close()
        super().close()

    def build_request_director(self, handlers: Any, preferences: Any = None) -> Any:
        director = super().build_request_director(bounded(list(handlers)), preferences)
        for handler in director.handlers.values():
            handler.exits = self._exits
        return director

    def keep_to(self, lists: ExtractorLists) -> None:
        """Uses no extractor from now on that the lists close."""
        self._lists = lists

    def extract_info(self, url: str, download: bool = True, ie_key: str | None = None, **options: Any) -> Any:
        if self._lists:
            known = self._ies
            named = [known[ie_key]] if ie_key in known else known.values()
            self._lists.require(next((each for each in named if each.suitable(url)), None))
        return super().extract_info(url, download, ie_key, **options)

    def dl(self, name: str, info: dict[str, Any], subtitle: bool = False, test: bool = False) -> Any:
        self._downloading = True
        try:
            return super().dl(name, info, subtitle, test)
        finally:
            self._downloading = False

    def urlopen(self, req: Request | str) -> Response:
        request = Request(req) if isinstance(req, str) else req
        asked = request.headers.get("Range") or ""
        if asked.endswith("-") and asked != "bytes=0-" and "If-Range" not in request.headers:
            request.headers.pop("Range", None)
        mark = self._exits.mark() if self._exits else None
        try:
            _require_web(request.url)
            with answered_within(2 * float(self.params["socket_timeout"])):  # to connect, and to be answered
                response = super().urlopen(request)
        except Exception as error:
            if isinstance(error, HTTPError):
                _watch(error.response)  # some extractors read it
                self._responses.append(error.response)
            met = self._exits.explained(error, mark) if self._exits and mark is not None else error
            self._network_error = met
            if met is error:
                raise
            raise met from error
        body = _watch(response)
        self._responses = [*(each for each in self._responses if not each.closed), response]
        self._network_error = None
        try:
            if (when := timeconvert(response.headers.get("Last-Modified"))) is not None:
                self._changed_at.add(int(when))
        except (ValueError, OverflowError):  # a date beyond all calendars, at which yt-dlp's extractors stumble, too
            del response.headers["Last-Modified"]
        if self._downloading and request.headers.get("Accept-Encoding") == "identity":  # media, not a manifest
            body.largest = None
            try:
                require_known_end(response.headers)
            except BaseException:
                response.close()
                raise
        return response

    def changed_at(self) -> set[int]:
        """The Last-Modified times (epoch seconds) seen."""
        return self._changed_at

    def trouble(self, message: str | None = None, tb: str | None = None, is_error: bool = True) -> None:
        # After its last retry yt-dlp reports only a message; the failure behind it says more.
        if is_error and sys.exception() is None and self._network_error is not None:
            raise yt_dlp.DownloadError(message, (type(self._network_error), self._network_error, None))
        super().trouble(message, tb, is_error)


def _require_web(url: str) -> None:
    if str(sanitize_url(url)).partition(":")[0].lower() not in ("http", "https"):
        raise refused(failure("blocked_scheme"))


def _watch(response: Response) -> Body:
    body = response.fp = Body(response.fp, Meter(_USUAL.min_rate, _USUAL.stall_seconds))
    return body
