"""Running ffmpeg and ffprobe: bounded, watched, and never left behind.

What belongs here: the processes, the pipes between them, their limits and their end. What the arguments mean belongs to
the modules that build them.
"""

import ctypes
import fcntl
import os
import re
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
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
_PIPE_BYTES = 1 << 20  # what Linux lets anybody have (fs.pipe-max-size): fewer changes between reader and writer

OnBytes = Callable[[bytes], None]


@dataclass(frozen=True)
class ToolResult:
    """How a tool ended: its exit code (negative: the signal), its output, and the end of what it complained."""

    returncode: int
    stdout: str
    stderr: str


class Pipe:
    """A pipe that a tool writes, and that another one or, with `on_bytes`, this process reads. `name` is ffmpeg's name
    of the end that is written. It belongs to the `run_tools` that it is given to, which closes it."""

    def __init__(self, on_bytes: OnBytes | None = None) -> None:
        self.on_bytes = on_bytes
        self.readable, self.writable = os.pipe()
        self.name = f"pipe:{self.writable}"
        self._open = {self.readable, self.writable}
        if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux only
            with suppress(OSError):  # the machine allows less: that is slower, and as right
                fcntl.fcntl(self.readable, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def close(self, *ends: int) -> None:
        """Closes this process's copies of these ends, else of both. Once closed, an end stays so."""
        for end in self._open & set(ends or self._open):
            self._open.remove(end)
            os.close(end)


@dataclass(frozen=True)
class Tool:
    """A command, and where its bytes go. `on_line` gets each line of standard output as it comes, `on_bytes` its bytes;
    with neither the output is kept. It gets `reads` as standard input, and inherits `writes`."""

    command: Sequence[str | Path]
    on_line: Callable[[str], None] | None = None
    on_bytes: OnBytes | None = None
    reads: Pipe | None = None
    writes: Sequence[Pipe] = ()


def run_tool(
    command: Sequence[str | Path], *, timeout: float, on_line: Callable[[str], None] | None = None
) -> ToolResult:
    """Runs one tool as `run_tools` does, with `on_line` as in `Tool`."""
    return run_tools([Tool(command, on_line)], timeout=timeout)[0]


def run_tools(tools: Sequence[Tool], *, timeout: float) -> list[ToolResult]:
    """Runs tools side by side until all have ended, each in a process group of its own.

    All groups are killed when `timeout` seconds are over and on any exception, be it an interrupt or one that a reader
    raises. Raises IngestError `media_timeout` (transient).
    """
    deadline = time.monotonic() + timeout
    pipes = {pipe for tool in tools for pipe in (*tool.writes, tool.reads) if pipe is not None}
    with ExitStack() as stack:
        for pipe in pipes:
            stack.callback(pipe.close)
        try:
            running = [stack.enter_context(_process(tool, timeout)) for tool in tools]
            # Who keeps an end that belongs to a tool would never see the pipe's end, nor let the tool see it.
            for pipe in pipes:
                pipe.close(pipe.writable, *([] if pipe.on_bytes else [pipe.readable]))
            outputs = [_Output(tool, process) for tool, process in zip(tools, running, strict=True)]
            readers = {fd: reader for output in outputs for fd, reader in output.readers.items()}
            readers |= {pipe.readable: pipe.on_bytes for pipe in pipes if pipe.on_bytes}
            _read(readers, deadline)
            for process in running:
                process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise _timed_out(timeout) from None
    return [output.result() for output in outputs]


@dataclass
class _Output:
    """What one tool says, gathered or handed on."""

    tool: Tool
    process: subprocess.Popen[bytes]
    _stdout: bytearray = field(default_factory=bytearray)
    _stderr: bytearray = field(default_factory=bytearray)

    @property
    def readers(self) -> dict[int, OnBytes]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        out = self.tool.on_bytes or (self._keep if self.tool.on_line is None else self._cut)
        return {self.process.stdout.fileno(): out, self.process.stderr.fileno(): self._complain}

    def result(self) -> ToolResult:
        stdout = "" if self.tool.on_line else self._stdout.decode(errors="replace")
        return ToolResult(self.process.returncode, stdout, self._stderr.decode(errors="replace").strip())

    def _keep(self, data: bytes) -> None:
        self._stdout += data[: max(0, _KEPT_STDOUT - len(self._stdout))]

    def _cut(self, data: bytes) -> None:
        assert self.tool.on_line is not None
        *lines, rest = (bytes(self._stdout) + data).split(b"\n")
        self._stdout[:] = rest[-_KEPT_STDERR:]
        for each in lines:
            self.tool.on_line(each.decode(errors="replace"))

    def _complain(self, data: bytes) -> None:
        self._stderr += data
        del self._stderr[:-_KEPT_STDERR]


@contextmanager
def _process(tool: Tool, timeout: float) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [str(each) for each in tool.command],
        stdin=subprocess.DEVNULL if tool.reads is None else tool.reads.readable,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[pipe.writable for pipe in tool.writes],
        env=_environment(),
        start_new_session=True,
        preexec_fn=_ends_with_us(),  # noqa: PLW1509 - see there
    )
    try:
        _limit(process.pid, timeout)
        yield process
    finally:
        _end(process)


def _ends_with_us() -> Callable[[], None] | None:
    """What the tool's process does before it becomes the tool: it asks the kernel to be killed when we are, and goes
    at once if that has happened already, which the kernel would not tell it any more.

    The kernel looks at the thread that started the tool: `run_tools` keeps it until the tool has ended. Between fork
    and exec only two system calls are made, by what was loaded before, so that no lock of another thread is waited for.
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


def _read(readers: Mapping[int, OnBytes], deadline: float) -> None:
    """Hands what comes on these file descriptors to their readers, until all are at their end."""
    with selectors.DefaultSelector() as selector:
        for fd in readers:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise subprocess.TimeoutExpired([], 0)
            for key, _ in selector.select(min(remaining, 1.0)):
                data = os.read(key.fd, _PIPE_BYTES)
                if data:
                    readers[key.fd](data)
                else:
                    selector.unregister(key.fd)


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
