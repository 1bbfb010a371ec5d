"""The small files that come with a video: its thumbnail and its captions.

What belongs here: fetching them beside the media. A video without them is still a video, so what cannot be had is
written down and never fails the fetch.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from yt_dlp.networking.common import Request

from narralytica_ingest.failures import FailureClass, failure
from narralytica_ingest.redaction import safe_words
from narralytica_ingest.sources.captions import CONTENT_TYPES, Wanted, wanted_captions
from narralytica_ingest.sources.fetching import FetchOptions, SideFile
from narralytica_ingest.sources.formats import spoken_language
from narralytica_ingest.sources.remote_file import RemoteFile, is_compressed
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.failures import as_ingest_error

PREFIX = "side-"
LARGEST = 20 << 20  # bytes
_BLOCK = 1 << 16
_MOST_THUMBNAILS = 8  # sites list sizes that they do not have
_MOST_OFFERS = 3  # of one caption track
_LONGEST_LINE = 300  # characters
_MOST_CAPTIONS = 200  # languages
_LONGEST_SECONDS = 600.0  # for all of them: the media is there already and waits

_log = logging.getLogger(__name__)
NotFetched = dict[str, str | None]
Offer = Mapping[str, Any]  # yt-dlp's: where a side file is
Try = Callable[[], SideFile]


class Unfit(Exception):
    """What was sent is not what was asked for. `code` says why; it is only ever seen in `not_fetched`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class SideFiles:
    """The side files of one video, fetched into its folder. `tell` is called on the way; what it raises comes out."""

    downloader: Downloader
    folder: Path
    options: FetchOptions
    tell: Callable[[], None]
    files: list[SideFile] = field(default_factory=list)
    not_fetched: list[NotFetched] = field(default_factory=list)
    _told: BaseException | None = None
    _until: float = field(default_factory=lambda: time.monotonic() + _LONGEST_SECONDS)
    _limiting: set[str] = field(default_factory=set)  # hosts that asked for less

    def fetch(self, info: dict[str, Any]) -> None:
        """Fills `files` and `not_fetched` (kind, language, origin, code). Raises only what `tell` raises, and failures
        of the worker itself, such as a full disk."""
        self._clear(PREFIX)
        self._thumbnail(info)
        spoken = spoken_language(info)
        wished = wanted_captions(info, spoken, self.options.uploaded_captions, self.options.automatic_captions)
        for number, wanted in enumerate(islice(wished, _MOST_CAPTIONS)):
            self._captions(wanted, info, f"{PREFIX}captions-{number}")

    def _thumbnail(self, info: dict[str, Any]) -> None:
        offers = [each for each in reversed(info.get("thumbnails") or []) if each.get("url")]
        self._first("thumbnail", None, None, [partial(self._picture, each) for each in offers[:_MOST_THUMBNAILS]])

    def _captions(self, wanted: Wanted, info: dict[str, Any], name: str) -> None:
        tries = [partial(self._text, wanted, each, info, name) for each in wanted.offers[:_MOST_OFFERS]]
        self._first("captions", wanted.language, wanted.origin, tries)

    def _picture(self, offer: Offer) -> SideFile:
        path = self._download(offer, self.folder / f"{PREFIX}thumbnail")
        kind = _kind_of_picture(path)
        return SideFile("thumbnail", path.rename(path.with_suffix(f".{kind}")), kind, f"image/{kind}")

    def _text(self, wanted: Wanted, offer: Offer, info: dict[str, Any], name: str) -> SideFile:
        extension = str(offer["ext"])
        path = self.folder / f"{name}.{extension}"
        if offer.get("data") is not None:
            path.write_text(str(offer["data"]), encoding="utf-8")
            _require_small(path.stat().st_size)
        elif "m3u8" in str(offer.get("protocol") or "") or urlsplit(offer["url"]).path.endswith(".m3u8"):
            self._join_segments(offer, info, path)
        else:
            self._download(offer, path)
        _require_captions(path, extension)
        return SideFile("captions", path, extension, CONTENT_TYPES[extension], wanted.language, wanted.origin)

    def _first(
        self, kind: str, language: str | None, origin: str | None, tries: Sequence[Callable[[], SideFile]]
    ) -> None:
        """Keeps the first that can be had; if none can, the reason of the best one."""
        reasons = []
        for attempt in tries:
            try:
                if time.monotonic() > self._until:
                    raise failure("too_slow")
                self.files.append(attempt())
                return
            except Exception as error:
                reasons.append(self._forgiven(error))
        if reasons:
            words = " ".join(filter(None, [kind, language, origin, "not fetched:", reasons[0]]))
            _log.warning("%s", safe_words(words, _LONGEST_LINE))
            self.not_fetched.append({"kind": kind, "language": language, "origin": origin, "code": reasons[0]})

    def _forgiven(self, error: Exception) -> str:
        """The code of a failure that only concerns a side file; raises any other on."""
        if self._told is not None:
            raise self._told
        if isinstance(error, Unfit):
            return error.code
        verdict = as_ingest_error(error)
        if verdict.failure_class in (FailureClass.LOCAL, FailureClass.CANCELED):
            raise verdict from error
        return verdict.code

    def _download(self, offer: Offer, target: Path) -> Path:
        """Streams a small file to disk, with a second try where the network failed."""
        for again in range(self.options.retries, -1, -1):
            try:
                return self._stream(offer, target)
            except Exception as error:
                if isinstance(error, Unfit):
                    raise
                verdict = as_ingest_error(error)
                if verdict.failure_class is FailureClass.RATE_LIMITED:
                    self._limiting.add(_host(offer))
                if self._told is not None or not again or verdict.failure_class is not FailureClass.TRANSIENT:
                    raise
        raise AssertionError("unreachable")

    def _stream(self, offer: Offer, target: Path) -> Path:
        if urlsplit(offer["url"]).scheme not in ("http", "https"):
            raise failure("blocked_scheme")
        if _host(offer) in self._limiting:
            raise failure("rate_limited")
        request = Request(offer["url"], headers=offer.get("http_headers") or {})
        with self.downloader.urlopen(request) as response, target.open("wb") as file:
            for size in _copied(response, file):
                _require_small(size)
                self._say()
            announced = None if is_compressed(response.headers) else RemoteFile.of(200, response.headers).length
        if announced not in (None, target.stat().st_size):
            raise failure("incomplete_read")
        if not target.stat().st_size:
            raise failure("empty_response")
        return target

    def _join_segments(self, offer: Offer, info: dict[str, Any], target: Path) -> None:
        def watch(status: dict[str, Any]) -> None:
            _require_small(int(status.get("downloaded_bytes") or 0))
            self._say()

        self.downloader._progress_hooks[:] = [watch]
        headers = offer.get("http_headers") or info.get("http_headers") or {}
        about = {"id": info.get("id"), "title": info.get("title"), "http_headers": headers, "protocol": "m3u8_native"}
        succeeded, _ = self.downloader.dl(str(target), {**offer, **about, "ext": "vtt"}, subtitle=True)
        if succeeded is False or not target.is_file():  # for captions yt-dlp says nothing where all is well
            raise failure("download_incomplete")
        _require_small(target.stat().st_size)

    def _say(self) -> None:
        try:
            self.tell()
        except BaseException as raised:
            self._told = raised
            raise

    def _clear(self, prefix: str) -> None:
        for leftover in self.folder.glob(f"{prefix}*"):
            leftover.unlink()


def _copied(response: Any, file: Any) -> Iterator[int]:
    """Copies, telling the size so far."""
    size = 0
    while block := response.read(_BLOCK):
        size += file.write(block)
        yield size


def _require_small(size: int) -> None:
    if size > LARGEST:
        raise Unfit("side_file_too_large")


def _kind_of_picture(path: Path) -> str:
    """What kind of picture it is, told by its first bytes. Raises Unfit `not_a_picture`."""
    with path.open("rb") as file:
        head = file.read(32)
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp" and (b"avif" in head[8:] or b"avis" in head[8:]):
        return "avif"
    raise Unfit("not_a_picture")


def _require_captions(path: Path, extension: str) -> None:
    """Raises Unfit `not_captions` for an error page in the place of captions."""
    with path.open("rb") as file:
        head = file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    page = head.startswith((b"<!doctype html", b"<html"))
    if not head or page or (extension == "vtt" and not head.startswith(b"webvtt")):
        raise Unfit("not_captions")


def _host(offer: Offer) -> str:
    return urlsplit(str(offer.get("url"))).hostname or ""
