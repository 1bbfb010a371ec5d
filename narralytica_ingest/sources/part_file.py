"""An unfinished file with its checkpoint: `NAME.part` and `NAME.checkpoint`, which become `NAME`."""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from narralytica_ingest.sources.checkpoint import Checkpoint, Mark, boot_id, load_checkpoint
from narralytica_ingest.sources.remote_file import RemoteFile

SYNC_SECONDS = 30.0  # how much of a download a restart of the machine may cost
_sync_data = getattr(os, "fdatasync", os.fsync)  # some systems have only the latter


def files_of(target: Path) -> set[str]:
    """The names that a target and its unfinished form have in their folder."""
    return {target.name, f"{target.name}.part", f"{target.name}.checkpoint"}


class PartFile:
    """Writes go straight to the file, so that a killed process loses none of them. Use as a context manager.

    `mark` is how far an earlier attempt got, as far as that can be trusted; everything after it is cut off. A target
    that an earlier attempt finished is an unfinished one again, of which nothing is missing.
    """

    def __init__(self, target: Path, source: str) -> None:
        self.target, self._source = target, source
        self._part = target.with_name(f"{target.name}.part")
        self._saved = target.with_name(f"{target.name}.checkpoint")
        self._boot = boot_id()
        self._syncing: _Sync | None = None
        self._synced_at = time.monotonic()
        if target.is_file() and not self._part.exists():
            os.replace(target, self._part)
        self.size = self._part.stat().st_size if self._part.exists() else 0
        found = load_checkpoint(self._saved)
        mark = found.trusted(source, self._boot, self.size) if found else None
        self.mark = mark or Mark()
        self._fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._checkpoint = Checkpoint(source, None, self._boot)
        if found is None or mark is None:
            self.restart(None)
            return
        self.cut(self.mark.size)
        written = None if found.written is None else self.mark
        synced = found.synced if found.synced.size <= self.mark.size else Mark()
        self._checkpoint = Checkpoint(source, found.file, self._boot, written, synced)
        self._checkpoint.save(self._saved)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    @property
    def file(self) -> RemoteFile | None:
        """What the bytes that are there were proven to belong to."""
        return self._checkpoint.file

    def restart(self, file: RemoteFile | None) -> None:
        """Empties the file for other remote bytes. First the checkpoint goes: it must never speak of the new bytes."""
        self._saved.unlink(missing_ok=True)
        self._syncing = None
        self.mark = Mark()
        self.cut(0)
        self._checkpoint = Checkpoint(self._source, file, self._boot)
        if file is not None and file.is_proof:
            self._checkpoint.save(self._saved)

    def append(self, block: bytes) -> None:
        """Writes at the end."""
        view = memoryview(block)
        while view:
            written = os.pwrite(self._fd, view, self.size)
            self.size += written
            view = view[written:]
        if self._checkpoint.file is not None and self._checkpoint.file.is_proof:
            self._sync(Mark(self.size))

    def commit(self, mark: Mark) -> None:
        """All up to `mark` is whole: what comes after it is cut off by the next attempt."""
        self.mark = mark
        self._checkpoint = replace(self._checkpoint, written=mark)
        self._checkpoint.save(self._saved)
        self._sync(mark)

    def cut(self, size: int) -> None:
        """Drops what lies beyond `size` bytes."""
        os.ftruncate(self._fd, size)
        self.size = size

    def read(self, start: int, count: int) -> bytes:
        """At most `count` bytes from `start` on."""
        return os.pread(self._fd, count, start)

    def overwrite(self, start: int, block: bytes) -> None:
        """Puts a block in the place of another of its size."""
        while block:
            written = os.pwrite(self._fd, block, start)
            start, block = start + written, block[written:]

    def finish(self) -> None:
        """Gives the file its name. The checkpoint stays: it is what lets a later attempt take the file over."""
        os.replace(self._part, self.target)

    def discard(self) -> None:
        """Leaves nothing of it."""
        for path in (self._saved, self._part, self.target):
            path.unlink(missing_ok=True)

    def _sync(self, mark: Mark) -> None:
        """Every now and then has a thread bring the file to the disk, and remembers how much is there for sure."""
        if self._syncing is not None:
            if self._syncing.is_alive():
                return
            if self._syncing.error is not None:
                raise self._syncing.error
            self._checkpoint = replace(self._checkpoint, synced=self._syncing.mark)
            self._checkpoint.save(self._saved)
            self._syncing, self._synced_at = None, time.monotonic()
        elif time.monotonic() - self._synced_at >= SYNC_SECONDS:
            self._syncing = _Sync(self._fd, mark)
            self._syncing.start()


class _Sync(threading.Thread):
    """A file that grows fast needs seconds for it, in which the transfer must not stand still."""

    def __init__(self, fd: int, mark: Mark) -> None:
        super().__init__(name="fdatasync", daemon=True)
        self._fd, self.mark = os.dup(fd), mark
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            _sync_data(self._fd)
        except OSError as error:
            self.error = error
        finally:
            os.close(self._fd)
