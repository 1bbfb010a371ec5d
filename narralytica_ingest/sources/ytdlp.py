"""The adapter to yt-dlp, and the only file that imports it.

What belongs here: how yt-dlp is set up, asked and watched. It extracts, says what it found, then downloads from that
same information. It never joins or repairs streams (that is `media/`), and no postprocessor of yt-dlp ever touches a
file.
"""

import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yt_dlp
from yt_dlp.networking.common import Request, Response
from yt_dlp.networking.exceptions import HTTPError
from yt_dlp.utils import timeconvert

from narralytica_ingest.failures import IngestError, permanent, transient
from narralytica_ingest.sources.fetching import Fetched, FetchOptions, Progress
from narralytica_ingest.sources.identity import alias_of
from narralytica_ingest.sources.remote_file import RemoteFile, check_piece, require_known_end
from narralytica_ingest.sources.source_info import kept_info
from narralytica_ingest.sources.ytdlp_failures import as_ingest_error, refuse_unfinished

# Extractors that name a page or a file, not a video.
_NAMELESS = {"generic", "html5mediaembed", "commonmistakes", "unicodebom"}
_WHOLE_FILE = {"http", "https"}
_PREFIX = "source-"


def fetch_url(
    url: str,
    folder: Path,
    options: FetchOptions,
    progress: Callable[[Progress], None],
    on_alias: Callable[[str], None],
) -> Fetched:
    """Fetches the video behind `url` into `folder`, which must be the video's own.

    Calls `on_alias` with the id that extraction revealed before any media byte is read. What `progress` or `on_alias`
    raise comes out unchanged; every other failure is an IngestError along the failure taxonomy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{_PREFIX}*"):  # nothing proves yet that they are the same remote bytes
        leftover.unlink()
    session = _Session(progress, on_alias)
    with session.verdicts(), _Downloader(_parameters(folder, options)) as downloader:
        info = _extract(downloader, url)
        session.tell_alias(info)
        formats: list[dict[str, Any]] = info.get("requested_formats") or [info]
        parts = tuple(
            _download(downloader, session, {**info, **chosen}, folder / f"{_PREFIX}{number}{_suffix(chosen)}")
            for number, chosen in enumerate(formats)
        )
        byte_exact = len(formats) == 1 and formats[0].get("protocol") in _WHOLE_FILE
        return Fetched(parts, byte_exact, kept_info(downloader.sanitize_info(info), downloader.changed_at()))


def javascript_runtime() -> Path | None:
    """The deno that the environment brings with it, which yt-dlp needs for YouTube."""
    deno = Path(sys.executable).parent / "deno"
    return deno if deno.is_file() else None


def _parameters(folder: Path, options: FetchOptions) -> dict[str, Any]:
    deno = options.deno or javascript_runtime()
    pause = dict.fromkeys(("http", "fragment", "file_access", "extractor"), _pause)
    return {
        # The shorter side counts as height, so that a portrait video keeps its sharpness. `lang` first: the original
        # language before every quality.
        "format": "bv*+ba/b",
        "format_sort": ["lang", f"res:{options.max_height}"],
        "noplaylist": True,
        "playlist_items": "1:2",  # enough to know that there is more than one
        "retries": options.retries,
        "fragment_retries": options.retries,
        "extractor_retries": options.retries,
        "file_access_retries": options.retries,
        "retry_sleep_functions": pause,
        "skip_unavailable_fragments": False,
        "socket_timeout": options.socket_timeout,
        "continuedl": False,
        "overwrites": True,
        "updatetime": False,
        "fixup": "never",
        "cachedir": False,
        "enable_file_urls": False,
        "js_runtimes": {"deno": {"path": str(deno)} if deno else {}},
        "remote_components": [],
        # None: an ffmpeg run by yt-dlp (for encrypted or live HLS) would go around all that is guarded here.
        "ffmpeg_location": str(folder / "no-ffmpeg"),
        "logger": _Log(),
        "noprogress": True,
        "buffersize": 1 << 16,
        "color": "never",
    }


def _pause(n: int) -> float:
    return float(min(2**n, 8)) / 2


class _Downloader(yt_dlp.YoutubeDL):  # type: ignore[misc]
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


class _Session:
    """One fetch: passes callbacks on, and tells their exceptions from yt-dlp's."""

    def __init__(self, progress: Callable[[Progress], None], on_alias: Callable[[str], None]) -> None:
        self._progress = progress
        self._on_alias = on_alias
        self._raised: BaseException | None = None
        self.done_bytes = 0

    @contextmanager
    def verdicts(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if self._raised is not None:
                raise self._raised from None
            raise as_ingest_error(error) from error

    def tell_alias(self, info: dict[str, Any]) -> None:
        extractor, source_id = str(info.get("extractor_key") or "generic"), str(info.get("id") or "")
        if extractor.lower() not in _NAMELESS and source_id:
            with self._remember():
                self._on_alias(alias_of(extractor, source_id))

    def tell_progress(self, done: int, total: int | None, rate: float | None) -> None:
        with self._remember():
            self._progress(Progress("download", self.done_bytes + done, total, rate))

    @contextmanager
    def _remember(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._raised = error
            raise


def _extract(downloader: _Downloader, url: str) -> dict[str, Any]:
    """What yt-dlp knows of the one video behind `url`, with its formats chosen. Refuses lists, live and upcoming."""
    info = _extract_any(downloader, url)
    while info is not None and info.get("_type", "video") in ("playlist", "multi_video"):
        entries = [entry for entry in info.get("entries") or () if entry]
        if len(entries) > 1:
            raise permanent(
                "playlist_not_supported", "This URL holds several videos: submit the URLs of its videos one by one."
            )
        info = entries[0] if entries else None
    if info is None:
        raise permanent("no_video_found", "No video was found behind this URL: check that it is the page of a video.")
    refuse_unfinished(info)
    return info


def _extract_any(downloader: _Downloader, url: str) -> dict[str, Any] | None:
    try:
        info: dict[str, Any] | None = downloader.extract_info(url, download=False)
    except yt_dlp.DownloadError as error:
        if as_ingest_error(error).code != "upcoming":
            raise
        downloader.params["ignore_no_formats_error"] = True  # asked again, yt-dlp tells when instead of raising
        info = downloader.extract_info(url, download=False)
        if info is None or info.get("live_status") != "is_upcoming":
            raise
    return info


def _download(downloader: _Downloader, session: _Session, chosen: dict[str, Any], target: Path) -> Path:
    def watch(status: dict[str, Any]) -> None:
        total = status.get("total_bytes") or status.get("total_bytes_estimate")
        whole = session.done_bytes + int(total) if total else None
        session.tell_progress(int(status.get("downloaded_bytes") or 0), whole, status.get("speed"))

    chosen.pop("requested_formats", None)
    downloader._progress_hooks[:] = [watch]
    succeeded, _ = downloader.dl(str(target), chosen)
    if not succeeded or not target.is_file():
        raise transient("download_incomplete", "The download ended without a complete file: it is tried again.")
    session.done_bytes += target.stat().st_size
    return target


def _suffix(chosen: dict[str, Any]) -> str:
    extension = str(chosen.get("ext") or "")
    return f".{extension}" if extension.isalnum() and len(extension) <= 8 else ".media"


class _Log:
    """yt-dlp's own words go to our log, at debug level: they may hold signed URLs."""

    _log = logging.getLogger("narralytica_ingest.yt_dlp")

    def debug(self, message: str) -> None:
        self._log.debug("%s", message)

    info = warning = error = debug
