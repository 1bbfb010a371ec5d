"""The disk of downloads: a folder for each video's unfinished one, under a lock, and space that is set aside.

What belongs here: what processes on one machine must agree on. They do it by locks on files, which end with their
process, whatever killed it.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from narralytica_ingest.failures import failure
from narralytica_ingest.store.database import Database

UNTOUCHED_SECONDS = 24 * 3600.0
_WAITED_FOR = """
SELECT DISTINCT video_id FROM ingest_jobs
 WHERE video_id = ANY(%s) AND status IN ('queued', 'dispatched', 'running') AND NOT cancel_requested
"""


class PartialFolder:
    """The folder of a video's unfinished download, held until `close`. The lock is on the folder itself."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self._lock = path, lock

    def remove(self) -> None:
        """Leaves nothing of it. The lock goes last, and whoever waits for it finds that its folder is gone."""
        shutil.rmtree(self.path, ignore_errors=True)

    def clear(self) -> None:
        """Empties it: what is there is of no use, but the folder is still this process's."""
        for path in self.path.iterdir():
            path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Lets another process have it."""
        os.close(self._lock)


def partials_root(home: Path) -> Path:
    """Where the folders are."""
    return home / "partial"


def hold_partial(home: Path, video_id: str) -> PartialFolder | None:
    """The folder of the video; None if another process holds it, such as a run that does not know yet that it lost its
    lease and that goes on writing."""
    path = partials_root(home) / video_id
    while True:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _locked(path)
        if lock is None:
            return None
        if _is_still(lock, path):
            return PartialFolder(path, lock)
        os.close(lock)  # removed between the opening and the lock


def waited_for(database: Database, video_ids: Collection[str]) -> set[str]:
    """The videos for which a job is under way or will be tried again: their unfinished downloads are worth keeping."""
    return {row["video_id"] for row in database.all(_WAITED_FOR, (list(video_ids),))}


def sweep_partials(home: Path, database: Database) -> list[str]:
    """Removes the folders that nobody holds and no job waits for, or that nothing was written to for a day. Returns
    the videos whose they were."""
    root = partials_root(home)
    names = [path.name for path in root.iterdir()] if root.is_dir() else []
    wanted = waited_for(database, names) if names else set()
    removed = []
    for name in names:
        with suppress(FileNotFoundError):  # its run ended just now
            lock = _locked(root / name)
            if lock is None:
                continue
            try:
                old = time.time() - _last_touched(root / name) > UNTOUCHED_SECONDS
                if _is_still(lock, root / name) and (old or name not in wanted):
                    shutil.rmtree(root / name, ignore_errors=True)
                    removed.append(name)
            finally:
                os.close(lock)
    return removed


def sweep_reservations(home: Path) -> list[str]:
    """Removes what runs have set aside whose process is gone, and returns their ids."""
    root = home / "reservations"
    if not root.is_dir():
        return []
    with _alone(root):
        return [path.name for path in root.iterdir() if _is_forsaken(path)]


def free_bytes(folder: Path, keep_free_bytes: int) -> int:
    """The free bytes of the folder's disk. Raises IngestError `disk_full` (local) if less than is to be kept free."""
    free = shutil.disk_usage(folder).free
    if free < keep_free_bytes:
        raise failure(
            "disk_full",
            f"The worker's disk has {_readable(free)} free, and {_readable(keep_free_bytes)} are kept free "
            "(NARRALYTICA_KEEP_FREE_BYTES): free some space; the jobs go on by themselves.",
        )
    return free


def downloads_here(home: Path) -> bool:
    """Whether a worker of this machine has ever set disk aside: the sensors may run on a machine of their own."""
    return _reservations(home).is_dir()


def _reservations(home: Path) -> Path:
    return home / "reservations"


class DiskShare:
    """What a run has set aside on the disk. Runs of one `home` count each other's; a dead one's counts no more.

    `folders` are those in which the run's files grow: what is there already is not counted twice.
    """

    def __init__(self, home: Path, run_id: str, keep_free_bytes: int) -> None:
        self._root, self._run_id, self._keep = _reservations(home), run_id, keep_free_bytes
        self._file: int | None = None
        self._wanted = 0

    def reserve(self, size_bytes: int, folders: Collection[Path]) -> None:
        """Sets aside what the run's files will have together; more than before, never less.

        Raises IngestError `disk_full` (local) if the disk is full already, and `no_room` (local) if it is not, but what
        is missing does not fit beside what the others have still to write.
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        wanted = max(size_bytes, self._wanted)
        with _alone(self._root):
            missing = max(0, wanted - _present(folders))
            others = sum(self._still_to_write_by_others())
            free = free_bytes(self._root, self._keep)
            if missing + others + self._keep > free:
                raise failure(
                    "no_room",
                    f"The worker's disk has {_readable(free)} free; this download needs {_readable(missing)} more, "
                    f"those at work {_readable(others)}, and {_readable(self._keep)} are kept free "
                    "(NARRALYTICA_KEEP_FREE_BYTES): free some space; the job goes on by itself.",
                )
            self._state(wanted, folders)

    def release(self) -> None:
        """Gives it back."""
        if self._file is not None:
            (self._root / self._run_id).unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def _state(self, wanted: int, folders: Collection[Path]) -> None:
        self._wanted = wanted
        if self._file is None:
            self._file = os.open(self._root / self._run_id, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        text = json.dumps({"bytes": wanted, "folders": [str(folder) for folder in folders]}).encode()
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text, 0)

    def _still_to_write_by_others(self) -> Iterator[int]:
        for path in self._root.iterdir():
            if path.name == self._run_id:
                continue
            with suppress(FileNotFoundError):
                if _is_forsaken(path):
                    continue
                stated = json.loads(path.read_bytes())
                yield max(0, stated["bytes"] - _present([Path(folder) for folder in stated["folders"]]))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    """An open descriptor with the lock on the path, or None if somebody has it. Raises FileNotFoundError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _is_forsaken(reservation: Path) -> bool:
    """Whether its process is gone; then it is removed. The caller is alone with the reservations."""
    try:
        lock = _locked(reservation)
    except FileNotFoundError:
        return False
    if lock is None:
        return False
    reservation.unlink(missing_ok=True)
    os.close(lock)
    return True


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _last_touched(folder: Path) -> float:
    """Epoch seconds of the last change in the folder."""
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


def _present(folders: Collection[Path]) -> int:
    """Bytes of the files in the folders. A file that goes away meanwhile has none."""
    total = 0
    for folder in folders:
        for path in folder.rglob("*"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size if path.is_file() else 0
    return total


def _readable(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
