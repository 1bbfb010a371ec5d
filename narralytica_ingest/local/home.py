"""The home folder: its layout, and the small files that the embedded stack keeps there.

What belongs here: making the folder, small JSON files readable by the owner only, locks, and free ports. Locks are
`flock`s: the kernel frees them when their process dies, however it dies.
"""

import fcntl
import json
import os
import random
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
_PORT_RANGE = range(15000, 32000)


def prepare_home(home: Path) -> None:
    """Makes the home (mode 0700) and the folders in it that everything else expects."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("run", "logs"):
        (home / name).mkdir(mode=0o700, exist_ok=True)


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
