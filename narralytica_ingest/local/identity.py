"""Which process is which: by pid and time of creation, so that a reused pid is never taken for ours.

What belongs here: remembering a process in a file, finding it again, and ending processes surely. Who is started, and
when, is decided elsewhere.
"""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from narralytica_ingest.local.home import read_json, write_json

# The clock from which times of creation are worked out may be adjusted by a little between two readings.
_CLOCK_TOLERANCE = 1.5

# Detached children that we started: kept, so that their end is reaped when we look at them.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Identity:
    """A process, whatever becomes of its pid."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """Raises psutil.NoSuchProcess if there is none."""
        return cls(pid, psutil.Process(pid).create_time())

    @classmethod
    def load(cls, path: Path) -> "Identity | None":
        """What `save` wrote, whether it lives or not."""
        data = read_json(path)
        return cls(int(data["pid"]), float(data["created"])) if data else None

    def save(self, path: Path) -> None:
        """Remembers this process in the file."""
        write_json(path, {"pid": self.pid, "created": self.created})

    def process(self) -> psutil.Process | None:
        """The living process, or None. A zombie does not live; if it is our own child it is reaped."""
        exit_code(self)
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) > _CLOCK_TOLERANCE:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        if self.process() is not None:
            return True
        exit_code(self)  # takes note of the end if it was our child, so that no zombie stays
        return False

    def send(self, number: signal.Signals) -> None:
        """Sends the signal, to nobody if the process is gone."""
        process = self.process()
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Waits until it is gone; False if it still lives after `seconds`."""
        return wait_until(lambda: not self.alive, seconds)

    def end(self, steps: Sequence[tuple[signal.Signals, float]]) -> None:
        """Sends each signal in turn and waits its seconds, until it is gone; at the end kills its whole group."""
        for number, seconds in steps:
            self.send(number)
            if self.wait(seconds):
                return
        self.kill_group()
        self.wait(5)

    def kill_group(self) -> None:
        """Kills the living process with everything in the process group that it leads."""
        if self.alive:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


class _Child(subprocess.Popen[bytes]):
    """A process that may outlive us, of which Popen would warn when we end."""

    def __del__(self) -> None:
        pass


def spawn(argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Identity:
    """Starts a process in its own session, its output appended to `log`. It outlives us.

    What it writes is for the owner alone, and it leaves no memory image when it crashes, as we do not from now on: that
    would hold secrets.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with open(log, "ab", opener=_for_the_owner) as output:
        child = _Child(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
            umask=0o077,
        )
    _children[child.pid] = child
    return Identity.of(child.pid)


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def exit_code(identity: Identity) -> int | None:
    """How a child that we started ended (minus the number of the signal that ended it), if it did."""
    child = _children.get(identity.pid)
    return child.poll() if child is not None else None


def find_by_command(matches: Callable[[list[str]], bool]) -> Identity | None:
    """A living process whose command line `matches`."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.status() != psutil.STATUS_ZOMBIE and matches(process.cmdline()):
                return Identity(process.pid, process.create_time())
    return None


def wait_until(condition: Callable[[], bool], seconds: float, *, interval: float = 0.02) -> bool:
    """Whether the condition became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True
