"""The home folder: its layout, and the small files that the embedded stack keeps there.

What belongs here: making the folder, small JSON files readable by the owner only, locks, and free ports. Locks are
`flock`s: the kernel frees them when their process dies, however it dies.
"""

import fcntl
import hashlib
import json
import os
import random
import socket
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from narralytica_ingest.failures import failure

HOST = "127.0.0.1"
_PORT_RANGE = range(15000, 32000)
_LONGEST_SOCKET = 100  # bytes of its path; the kernel takes 107
_MISREAD = set("%#?,")  # in a path that gRPC takes for a part of a URL, or for several
_FOLDERS = ("run", "logs", "endpoints", "scratch")
_CONTENTS = {*_FOLDERS, "dagster", "partial", "postgres", "reservations", "s3"}


def prepare_home(home: Path) -> None:
    """Makes the home and the folders in it that everything else expects, for the owner alone (mode 0700).

    A home that was there with a wider mode gets the right one; a folder that is somebody else's, or that holds other
    things than a home, keeps its own: then what is in it is closed, each folder for itself.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _is_only_a_home(home):
        _close(home)
    for name in _FOLDERS:
        (home / name).mkdir(mode=0o700, exist_ok=True)
        _close(home / name)


def _is_only_a_home(folder: Path) -> bool:
    return all(each.name in _CONTENTS for each in folder.iterdir())


def _close(folder: Path) -> None:
    """Nobody but the owner may enter it."""
    found = folder.stat()
    if found.st_uid == os.geteuid() and found.st_mode & 0o077:
        folder.chmod(0o700)


def log_file(home: Path, name: str) -> Path:
    """Where the process `name` writes its output."""
    return home / "logs" / f"{name}.log"


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Writes atomically, readable by the owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(data, file)
    fresh.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """What `write_json` wrote, or None if there is nothing readable."""
    try:
        data = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return data if isinstance(data, dict) else None


class Lock:
    """An open lock file. Two `Lock`s on one file exclude each other even within one process."""

    def __init__(self, path: Path) -> None:
        # Close-on-exec, which is Python's default, matters: a child must not keep the lock of a dead parent.
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def share(self) -> None:
        """Waits for a lock that others may share."""
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def take(self) -> None:
        """Waits for the lock for ourselves alone."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def try_take(self) -> bool:
        """Takes the lock for ourselves alone, if that is possible now. A refusal also gives up a shared lock."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Gives the lock back."""
        os.close(self._fd)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path` exclusively within the block."""
    lock = Lock(path)
    try:
        lock.take()
        yield
    finally:
        lock.close()


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # As servers do, so that a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def socket_path(home: Path, name: str) -> Path:
    """Where a server of this home puts its Unix socket: in the home, or, where that is too deep for the kernel or has a
    name that gRPC misreads, in a folder of this home's under the machine's temporary one. Both are the owner's alone.

    Raises IngestError `runtime_folder_taken` where another user made that folder.
    """
    path = home / "run" / f"{name}.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET and not _MISREAD & set(str(path)):
        return path
    mark = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"narralytica-{os.geteuid()}-{mark}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise failure("runtime_folder_taken", f"{folder} is not ours alone: remove it, or choose a shorter home.")
    return folder / path.name


def socket_answers(path: Path) -> bool:
    """Whether something listens on the Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def port_answers(port: int) -> bool:
    """Whether something listens on the port of 127.0.0.1."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def free_ports(count: int, *, avoid: Iterable[int] = ()) -> list[int]:
    """`count` different ports of 127.0.0.1 that nobody listens on now.

    Taken from below the range of which the kernel gives ports to outgoing connections: those would get in the way
    whenever a server is started again.
    """
    unwanted = set(avoid)
    found: list[int] = []
    for port in random.sample(_PORT_RANGE, len(_PORT_RANGE)):
        if len(found) == count:
            break
        if port not in unwanted and port_is_free(port):
            found.append(port)
    return found
