"""One fetch: passes what yt-dlp tells on to whoever asked, and tells their exceptions from yt-dlp's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from narralytica_ingest.failures import failure
from narralytica_ingest.sources.fetching import FetchEvents, FetchOptions, Progress
from narralytica_ingest.sources.identity import revealed_alias
from narralytica_ingest.sources.ytdlp.exits import Exits, exits
from narralytica_ingest.sources.ytdlp.failures import as_ingest_error

# Extractors that name a page or a file, not a video.
_NAMELESS = {"generic", "html5mediaembed", "commonmistakes", "unicodebom"}


class Session:
    """One fetch: passes callbacks on, and tells their exceptions from yt-dlp's.

    `done_bytes` are those of the parts that are complete; what a part tells comes on top of them.
    """

    def __init__(self, events: FetchEvents, options: FetchOptions = FetchOptions()) -> None:  # noqa: B008 (frozen)
        self._events = events
        self._raised: BaseException | None = None
        self._need = 0
        self.options = options
        self.done_bytes = 0

    @contextmanager
    def guarded(self) -> Iterator[Exits]:
        """The way out, for the whole fetch. Whatever ends it, its contacts are told."""
        with self.verdicts(), exits(self.options) as out:
            try:
                with self.verdicts(out):
                    yield out
            finally:
                with self._remember():
                    self._events.contacted(out.contacts())

    @contextmanager
    def verdicts(self, out: Exits | None = None) -> Iterator[None]:
        """Raises what an event raised as it is, and every other exception as the IngestError that it means."""
        try:
            yield
        except Exception as error:
            if self._raised is not None:
                raise self._raised from None
            verdict = as_ingest_error(error)
            raise (out.verdict(verdict) if out else verdict) from error

    def tell_alias(self, info: dict[str, Any]) -> None:
        extractor, source_id = str(info.get("extractor_key") or "generic"), str(info.get("id") or "")
        alias = revealed_alias(extractor, source_id, info.get("webpage_url"))
        if extractor.lower() not in _NAMELESS and alias is not None:
            with self._remember():
                self._events.alias(alias)

    def tell_progress(self, done: int, total: int | None, rate: float | None, eta: float | None = None) -> None:
        with self._remember():
            self._events.progress(Progress("download", self.done_bytes + done, total, rate, eta))

    def tell_need(self, size_bytes: int) -> None:
        """How many bytes of disk the whole fetch will need in its folder. What is told first may be too little; what
        counts is the most that was told."""
        if size_bytes > self._need:
            self._need = size_bytes
            with self._remember():
                self._events.reserve(size_bytes)

    def check_size(self, part_bytes: int) -> None:
        """Raises IngestError `too_large` (permanent) if the part, with those before it, is beyond the limit."""
        limit = self.options.max_bytes
        if limit is not None and self.done_bytes + part_bytes > limit:
            raise failure(
                "too_large",
                f"The video is larger than the limit of {limit:,} bytes: raise max_bytes to take it.",
            )

    @contextmanager
    def _remember(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._raised = error
            raise
