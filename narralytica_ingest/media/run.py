"""Running ffmpeg and ffprobe: bounded, watched, and never left behind.

What belongs here: the process, its limits and its end. What the arguments mean belongs to the modules that build them.
"""

import ctypes
import os
import re
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from narralytica_ingest.failures import failure

# For files from strangers: no demuxer that reads other files (concat, hls, image sequences), no protocol but the
# file's.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,mpegvideo,avi,flv,asf,mxf,mp3,wav,w64,flac,ogg,aac,ac3,eac3,dts,"
    "aiff,caf,amr,rm,ivf,obu,h264,hevc,m4v,dv,wtv,nut,ape,wv,tta,au"
)
INPUT_LIMITS = {"protocol_whitelist": "file,pipe", "format_whitelist": FORMATS}
MAX_ALLOC = 1 << 30  # bytes in one allocation
_ADDRESS_SPACE = 16 << 30  # bytes; generous, since threads reserve much that they never touch
# The last one is the supervisor's mark (`local/processes.py`), by which it finds what is left of a dead worker.
_ENVIRONMENT = re.compile(r"PATH|HOME|TMPDIR|LANG|LC_\w+|TZ|LD_LIBRARY_PATH|DYLD_\w+|NARRALYTICA_CHILD")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_KEPT_STDOUT = 16 << 20
_KEPT_STDERR = 16 << 10


@dataclass(frozen=True)
class ToolResult:
    """How a tool ended: its exit code (negative: the signal), its output, and the end of what it complained."""

    returncode: int
    stdout: str
    stderr: str


def run_tool(
    command: Sequence[str | Path], *, timeout: float, on_line: Callable[[str], None] | None = None
) -> ToolResult:
    """Runs a tool to its end in a process group of its own.

    `on_line` gets each line of standard output as it comes (then none is kept). The whole group is killed when
    `timeout` seconds are over and on any exception, be it an interrupt or one that `on_line` raises. Raises IngestError
    `media_timeout` (transient).
    """
    deadline = time.monotonic() + timeout
    with _process(command, timeout) as process:
        stdout, stderr, line = bytearray(), bytearray(), bytearray()
        for stream, data in _read(process, deadline):
            if stream is process.stderr:
                stderr += data
                del stderr[:-_KEPT_STDERR]
            elif on_line is None:
                stdout += data[: max(0, _KEPT_STDOUT - len(stdout))]
            else:
                *lines, rest = (bytes(line) + data).split(b"\n")
                line[:] = rest[-_KEPT_STDERR:]
                for each in lines:
                    on_line(each.decode(errors="replace"))
        returncode = process.wait(max(0.1, deadline - time.monotonic()))
    return ToolResult(returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace").strip())


@contextmanager
def _process(command: Sequence[str | Path], timeout: float) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [str(each) for each in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
        start_new_session=True,
        preexec_fn=_ends_with_us(),  # noqa: PLW1509 - see there
    )
    try:
        _limit(process.pid, timeout)
        yield process
    except subprocess.TimeoutExpired:
        raise _timed_out(timeout) from None
    finally:
        _end(process)


def _ends_with_us() -> Callable[[], None] | None:
    """What the tool's process does before it becomes the tool: it asks the kernel to be killed when we are, and goes
    at once if that has happened already, which the kernel would not tell it any more.

    The kernel looks at the thread that started the tool: `run_tool` keeps it until the tool has ended. Between fork and
    exec only two system calls are made, by what was loaded before, so that no lock of another thread is waited for.
    (`setpriv --pdeathsig` does the same, but not everywhere, and cannot tell that we died in between.)
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


def _limit(pid: int, timeout: float) -> None:
    """A tool that runs wild ends at the latest when it has used the CPU time of its wall clock."""
    if not hasattr(resource, "prlimit"):  # Linux only
        return
    cpu = int(timeout * (os.cpu_count() or 1)) + 1
    for limit, value in ((resource.RLIMIT_CPU, cpu), (resource.RLIMIT_AS, _ADDRESS_SPACE)):
        try:
            hard = resource.prlimit(pid, limit)[1]
            resource.prlimit(pid, limit, (value if hard < 0 else min(value, hard),) * 2)
        except (ProcessLookupError, PermissionError):  # it has ended already, or the machine forbids it: no limit then
            return


def _read(process: subprocess.Popen[bytes], deadline: float) -> Iterator[tuple[object, bytes]]:
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise subprocess.TimeoutExpired(process.args, 0)
            for key, _ in selector.select(min(remaining, 1.0)):
                data = os.read(key.fd, 1 << 16)
                if data:
                    yield key.fileobj, data
                else:
                    selector.unregister(key.fileobj)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills the group (its leader is not reaped before, so the number is still its own) and waits for it."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _timed_out(timeout: float) -> Exception:
    return failure("media_timeout", f"The media tool did not finish within {timeout:.0f} seconds.")
