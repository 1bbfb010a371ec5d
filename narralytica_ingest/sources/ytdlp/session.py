"""One fetch: passes what yt-dlp tells on to whoever asked, and tells their exceptions from yt-dlp's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from narralytica_ingest.sources.fetching import FetchEvents, Progress
from narralytica_ingest.sources.identity import alias_of
from narralytica_ingest.sources.ytdlp.failures import as_ingest_error

# Extractors that name a page or a file, not a video.
_NAMELESS = {"generic", "html5mediaembed", "commonmistakes", "unicodebom"}


class Session:
    """One fetch: passes callbacks on, and tells their exceptions from yt-dlp's."""

    def __init__(self, events: FetchEvents) -> None:
        self._events = events
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
                self._events.alias(alias_of(extractor, source_id))

    def tell_progress(self, done: int, total: int | None, rate: float | None, eta: float | None = None) -> None:
        with self._remember():
            self._events.progress(Progress("download", self.done_bytes + done, total, rate, eta))

    def tell_need(self, size_bytes: int) -> None:
        """How many bytes of disk the whole fetch will need in its folder."""
        with self._remember():
            self._events.reserve(size_bytes)

    @contextmanager
    def _remember(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._raised = error
            raise
