"""A YoutubeDL whose requests never splice two files into one."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yt_dlp
from yt_dlp.networking.common import Request, Response
from yt_dlp.networking.exceptions import HTTPError
from yt_dlp.utils import timeconvert

from narralytica_ingest.failures import IngestError
from narralytica_ingest.sources.remote_file import RemoteFile, check_piece, require_known_end


class Downloader(yt_dlp.YoutubeDL):  # type: ignore[misc]
    """A YoutubeDL that never splices.

    yt-dlp continues a cut transfer with a bare `Range`: when the file has changed meanwhile, the result has the right
    size and is corrupt. Here each continuation carries `If-Range` and is compared with the first answer; where nothing
    can prove that both belong together, the transfer starts again from its first byte (yt-dlp does so when its `Range`
    is answered with a whole file).
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self._remote: dict[str, RemoteFile] = {}
        self._network_error: Exception | None = None
        self._downloading = False
        self._responses: list[Response] = []

    def close(self) -> None:
        for response in self._responses:  # yt-dlp leaves those of failed requests open
            response.close()
        super().close()

    def dl(self, name: str, info: dict[str, Any], subtitle: bool = False, test: bool = False) -> Any:
        self._downloading = True
        try:
            return super().dl(name, info, subtitle, test)
        except BaseException as error:
            _close_left_open(error)
            raise
        finally:
            self._downloading = False

    def urlopen(self, req: Request | str) -> Response:
        request = Request(req) if isinstance(req, str) else req
        asked, first = request.headers.get("Range"), self._remote.get(request.url)
        try:
            if asked and asked.endswith("-") and asked != "bytes=0-" and first is not None:
                response = self._continue(request, first)
            else:
                response = super().urlopen(request)
                if asked and first is not None:
                    with _closed_on_failure(response):
                        check_piece(asked, response.status, response.headers, first)
        except Exception as error:
            self._network_error = error
            if isinstance(error, HTTPError):
                self._responses.append(error.response)
            raise
        self._responses = [*(each for each in self._responses if not each.closed), response]
        self._network_error = None
        if not asked or first is None or response.status == 200:
            self._remote[request.url] = RemoteFile.of(response.status, response.headers)
        if self._downloading and request.headers.get("Accept-Encoding") == "identity":  # media, not a manifest
            with _closed_on_failure(response):
                require_known_end(response.headers)
        return response

    def changed_at(self) -> set[int]:
        """The Last-Modified times (epoch seconds) seen."""
        return {int(when) for each in self._remote.values() if (when := timeconvert(each.last_modified)) is not None}

    def _continue(self, request: Request, first: RemoteFile) -> Response:
        if first.validator is not None:
            request.headers["If-Range"] = first.validator
            try:
                response = super().urlopen(request)
            except HTTPError as error:
                if error.status != 416:
                    raise
            else:
                if response.status != 206 or RemoteFile.of(206, response.headers) == first:
                    return response
                response.close()
        for header in ("Range", "If-Range"):
            request.headers.pop(header, None)
        return super().urlopen(request)

    def trouble(self, message: str | None = None, tb: str | None = None, is_error: bool = True) -> None:
        # After its last retry yt-dlp reports only a message; the failure behind it says more.
        if is_error and sys.exception() is None and self._network_error is not None:
            raise yt_dlp.DownloadError(message, (type(self._network_error), self._network_error, None))
        super().trouble(message, tb, is_error)


def _close_left_open(error: BaseException) -> None:
    """yt-dlp's segment downloader leaves its target open when it fails: nothing else still knows the file."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        context = frame.f_locals.get("ctx")
        if isinstance(context, dict) and "dest_stream" in context:
            context["dest_stream"].close()


@contextmanager
def _closed_on_failure(response: Response) -> Iterator[None]:
    try:
        yield
    except IngestError:
        response.close()
        raise
