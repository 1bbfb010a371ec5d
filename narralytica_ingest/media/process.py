"""One media tool as a process: how it is begun with what it may have, and how it ends with all that it began.

What belongs here: the moment between fork and exec, the process group, and what the kernel says of its end.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from narralytica_ingest.failures import failure
from narralytica_ingest.media.limits import Limits
from narralytica_ingest.media.sandbox import Reach, calls, entrance

# The last one is the supervisor's mark (`local/processes.py`), by which it finds what is left of a dead worker.
_ENVIRONMENT = re.compile(r"PATH|HOME|TMPDIR|LANG|LC_\w+|TZ|LD_LIBRARY_PATH|DYLD_\w+|NARRALYTICA_CHILD")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Process(subprocess.Popen[bytes]):
    """A tool at work, the leader of its group. Once it has ended, `cpu_seconds` is what it used, with those of its
    children that it waited for."""

    limits: Limits
    cpu_seconds: float = 0.0

    def has_ended(self) -> bool:
        """Looks, and does not reap: until then the number of the group is its own."""
        if hasattr(os, "waitid"):
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        import psutil  # macOS

        return psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE

    def kill_group(self) -> None:
        """Kills it, and what it may have left behind."""
        with suppress(PermissionError):  # macOS says so of a group that has ended and is not reaped
            os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kills the group and waits for its leader."""
        self.kill_group()
        _, status, used = os.wait4(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = used.ru_utime + used.ru_stime
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()

    def refuse_excess(self) -> None:
        """Raises IngestError `media_limit_exceeded` where the kernel ended it for what it used."""
        spun = self.returncode == -signal.SIGKILL and self.cpu_seconds >= self.limits.cpu_seconds - 1
        if spun or self.returncode == -signal.SIGXCPU:
            what = f"used {self.limits.cpu_seconds} seconds of processor time"
        elif self.returncode == -signal.SIGXFSZ:
            what = "wrote more than can be in the file"
        else:
            return
        raise failure("media_limit_exceeded", f"The media tool {what}, and was ended: the file is not what it seems.")


@contextmanager
def started(
    command: Sequence[str | Path], reach: Reach | None, timeout: float, reads: int, writes: Sequence[int]
) -> Iterator[Process]:
    """The tool at work until the block ends, in a group of its own: with `reads` as standard input and `writes` open,
    confined to its `reach`, within the limits for `timeout` seconds.

    Raises IngestError `sandbox_missing` (local); OSError.
    """
    limits = Limits.of(timeout, None if reach is None else reach.largest)
    program = Path(shutil.which(command[0]) or command[0])
    with entrance(program, reach or Reach("off")) as enter:
        process = Process(
            [str(each) for each in command],
            stdin=reads,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=writes,
            env=_environment(),
            start_new_session=True,
            preexec_fn=_preparation(writes, limits, enter),
        )
        try:
            process.limits = limits
            yield process
        finally:
            process.end()


def ends_with_us() -> Callable[[], None] | None:
    """What the tool's process does first: it asks the kernel to be killed when we are, and goes at once if that has
    happened already, which the kernel would not tell it any more. None: this system has no such thing.

    The kernel looks at the thread that started the tool: `run_tools` keeps it until the tool has ended. (`setpriv
    --pdeathsig` does the same, but not everywhere, and cannot tell that we died in between.)
    """
    prctl = _prctl()
    if prctl is None:
        return None
    us = os.getpid()

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != us:
            os._exit(1)

    return prepare


def _preparation(writes: Sequence[int], limits: Limits, enter: Callable[[], None] | None) -> Callable[[], None] | None:
    """What the process does between fork and exec: a few system calls, by what was loaded before, so that no lock of
    another thread is waited for."""
    end_with_us = ends_with_us()
    if end_with_us is None:
        return None
    set_limits = limits.preparation()

    def prepare() -> None:
        end_with_us()
        if enter is not None:
            # Inside, `subprocess` cannot see any more which files are open: all close at exec, but for these.
            calls.call(calls.CLOSE_RANGE, 3, (1 << 32) - 1, calls.CLOSE_RANGE_CLOEXEC)
            for each in writes:
                os.set_inheritable(each, True)
            enter()
        set_limits()

    return prepare


@cache
def _prctl() -> Callable[[int, int], int] | None:
    if sys.platform != "linux":
        return None
    found = ctypes.CDLL(None).prctl
    found.argtypes, found.restype = (ctypes.c_int, ctypes.c_ulong), ctypes.c_int
    prctl: Callable[[int, int], int] = found
    return prctl


def _environment() -> dict[str, str]:
    """No secret of ours, and no way to the machine's character set modules: a statically linked ffmpeg that finds them
    loads them and crashes (the bundled 6.0 does, on every MPEG-TS).
    """
    kept = {name: value for name, value in os.environ.items() if _ENVIRONMENT.fullmatch(name)}
    return kept | {"GCONV_PATH": os.devnull}
