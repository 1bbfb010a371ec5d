"""A disk for downloads that can be filled: a small file system of its own, or where none may be mounted, a reservation.

The second way is as true as the first for what it reaches: the worker's own check before a download counts what others
have set aside, and here somebody has set everything aside. It cannot interrupt a write, as the first does.
"""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SIZE_BYTES = 1 << 30
LEFT_BYTES = 64 << 10
_FOLDERS = ("partial", "scratch", "reservations")


@dataclass(frozen=True)
class SmallDisk:
    """A tmpfs that holds the downloads: full is full, in the middle of a write."""

    mount: Path
    way = "ENOSPC on a small file system, mounted for this"
    stages = ("fetch", "audio")
    interrupts = True

    def fill(self) -> None:
        """Leaves no room, whoever writes meanwhile."""
        with self._ballast.open("ab") as file:
            while (free := shutil.disk_usage(self.mount).free) > LEFT_BYTES:
                with suppress(OSError):  # a download took some of it just now
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), max(free // 2, LEFT_BYTES))

    def clear(self) -> None:
        """Gives the room back."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.mount / "ballast"


@dataclass(frozen=True)
class Reservation:
    """All of the machine's disk is set aside for somebody else's download."""

    folder: Path
    way = "a reservation of the whole disk, since nothing may be mounted here"
    stages = ("fetch",)
    interrupts = False

    def fill(self) -> None:
        """Sets everything aside, for as long as this process holds the lock."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.pwrite(descriptor, json.dumps({"bytes": 1 << 60, "folders": []}).encode(), 0)
        _held[self._file] = descriptor

    def clear(self) -> None:
        """Gives it back."""
        descriptor = _held.pop(self._file, None)
        self._file.unlink(missing_ok=True)
        if descriptor is not None:
            os.close(descriptor)

    @property
    def _file(self) -> Path:
        return self.folder / "chaos"


_held: dict[Path, int] = {}
Disk = SmallDisk | Reservation


@contextmanager
def small_disk(home: Path) -> Iterator[Disk]:
    """The disk of a home whose stack has not been started yet."""
    mount = home / "disk"
    mount.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=0700", "chaos", str(mount)]
    may = os.geteuid() == 0 and shutil.which("mount") is not None
    if not may or subprocess.run(["mount", *options], capture_output=True, check=False).returncode != 0:
        disk = Reservation(home / "reservations")
        try:
            yield disk
        finally:
            disk.clear()
        return
    try:
        for name in _FOLDERS:
            (mount / name).mkdir(mode=0o700)
            (home / name).symlink_to(mount / name)
        yield SmallDisk(mount)
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)
