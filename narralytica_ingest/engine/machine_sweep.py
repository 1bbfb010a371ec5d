"""The sweep of a worker's own disk: what runs that were killed left there. A run that ends removes its own."""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from narralytica_ingest.config import Settings
from narralytica_ingest.engine.partials import sweep_partials, sweep_reservations
from narralytica_ingest.store import upkeep
from narralytica_ingest.store.database import Database

# A run that lost its lease a moment ago may still be at work in its folder.
SCRATCH_AGE_SECONDS = 120.0


def sweep_files(settings: Settings, database: Database) -> list[str]:
    """Removes scratch folders and unfinished downloads that no run uses, and disk space set aside by dead runs.

    Says what was removed, a sentence each. Raises IngestError `database_away`; then the rest stays for the next time.
    """
    said = [
        f"the scratch folder of run {run_id} is removed, {size:,} bytes: no such run is at work"
        for run_id, size in _sweep_scratch(settings.home / "scratch", database)
    ]
    said += [
        f"the unfinished download of video {video_id} is removed: no job waits for it"
        for video_id in sweep_partials(settings.home, database)
    ]
    said += [
        f"the disk space that run {run_id} had set aside is free again: its process is gone"
        for run_id in sweep_reservations(settings.home)
    ]
    return said


def _sweep_scratch(root: Path, database: Database) -> Iterator[tuple[str, int]]:
    """Folders whose run holds no lease and that nothing was added to for two minutes: there may be a whole original.
    Gives the run and the bytes of each."""
    folders = list(root.iterdir()) if root.is_dir() else []
    if not folders:
        return
    with database.transaction() as connection:
        alive = upkeep.leased_runs(connection)
    for folder in folders:
        with suppress(FileNotFoundError):  # its run ended just now
            if folder.name not in alive and time.time() - folder.stat().st_mtime > SCRATCH_AGE_SECONDS:
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                shutil.rmtree(folder, ignore_errors=True)
                yield folder.name, size
