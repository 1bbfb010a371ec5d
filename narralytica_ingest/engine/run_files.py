"""The files of one run: its scratch folder, the unfinished downloads that it holds, its share of the disk."""

import logging
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from narralytica_ingest.config import Settings
from narralytica_ingest.engine.partials import DiskShare, PartialFolder, hold_partial


class RunFiles:
    """What the run has on the disk, until `close`."""

    def __init__(self, settings: Settings, run_id: str, log: logging.LoggerAdapter[logging.Logger]) -> None:
        self._home, self._log = settings.home, log
        self._scratch = settings.home / "scratch" / run_id
        self._partials: dict[str, PartialFolder] = {}
        self._disk = DiskShare(settings.home, run_id, settings.keep_free_bytes)

    @property
    def scratch(self) -> Path:
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._scratch

    def partial_folder(self, video_id: str) -> Path:
        """The video's folder, or one in `scratch` if another process still holds it."""
        if video_id not in self._partials and (held := hold_partial(self._home, video_id)):
            self._partials[video_id] = held
        if video_id in self._partials:
            return self._partials[video_id].path
        self._log.warning("another process holds the unfinished download of %s: this run begins anew", video_id)
        folder = self.scratch / "download"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def reserve(self, size_bytes: int) -> None:
        """Raises IngestError `disk_full` or `no_room` (local)."""
        self._disk.reserve(size_bytes, [self.scratch, *(held.path for held in self._partials.values())])

    def clear_partials(self) -> None:
        """What was downloaded is of no use: the next attempt starts from nothing."""
        for folder in self._partials.values():
            folder.clear()

    def close(self, wanted: Callable[[Collection[str]], set[str]]) -> None:
        """Removes everything but the unfinished downloads of the videos that `wanted` answers, of those that it is
        asked for. Where it raises, all stay, and upkeep sees to them."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        kept = set(self._partials)
        try:
            kept = wanted(kept) if kept else kept
        except Exception as error:
            self._log.warning("unfinished downloads are left to upkeep: %s", error)
        for video_id, folder in self._partials.items():
            if video_id not in kept:
                folder.remove()
            folder.close()
        self._partials = {}
        self._disk.release()
