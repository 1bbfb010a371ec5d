"""Running ffmpeg and ffprobe: bounded, watched, and never left behind.

What belongs here: several tools side by side, the pipes between them, and their end. One process of them belongs to
`process.py`, what it may use to `limits.py`, what it may touch to `sandbox/`; what the arguments mean belongs to the
modules that build them.
"""

import fcntl
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from narralytica_ingest.failures import failure
from narralytica_ingest.media.process import Process, started
from narralytica_ingest.media.sandbox import Reach

# For files from strangers: no demuxer that reads other files (concat, hls, image sequences), no protocol but the
# file's, no more streams than a multiplex of broadcasts has, no picture larger than 16K (15360 x 8640). How much is
# read to know a file's streams is bounded by ffmpeg itself (`-probesize`, 5 MB, and `-analyzeduration`).
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,mpegvideo,avi,flv,asf,mxf,mp3,wav,w64,flac,ogg,aac,ac3,eac3,dts,"
    "aiff,caf,amr,rm,ivf,obu,h264,hevc,m4v,dv,wtv,nut,ape,wv,tta,au"
)
INPUT_LIMITS = {
    "protocol_whitelist": "file,pipe",
    "format_whitelist": FORMATS,
    "max_streams": "250",
    "max_pixels": str(1 << 27),
}
MAX_ALLOC = 1 << 30  # bytes in one allocation
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
    with neither the output is kept. It gets `reads` as standard input, and inherits `writes`. With a `reach` it can
    touch nothing else of the machine, where the machine has a sandbox; without, as for what no stranger made, all that
    we can."""

    command: Sequence[str | Path]
    on_line: Callable[[str], None] | None = None
    on_bytes: OnBytes | None = None
    reads: Pipe | None = None
    writes: Sequence[Pipe] = ()
    reach: Reach | None = None


def run_tool(
    command: Sequence[str | Path],
    *,
    timeout: float,
    on_line: Callable[[str], None] | None = None,
    reach: Reach | None = None,
) -> ToolResult:
    """Runs one tool as `run_tools` does, with `on_line` and `reach` as in `Tool`."""
    return run_tools([Tool(command, on_line, reach=reach)], timeout=timeout)[0]


def run_tools(tools: Sequence[Tool], *, timeout: float) -> list[ToolResult]:
    """Runs tools side by side until all have ended, each in a process group of its own.

    All groups are killed when `timeout` seconds are over and on any exception, be it an interrupt or one that a reader
    raises. Raises IngestError: `media_timeout` (transient); `media_limit_exceeded` (permanent) where a tool used more
    processor time than `Limits` allows, or wrote more; `sandbox_missing` (local) where one is required.
    """
    deadline = time.monotonic() + timeout
    pipes = {pipe for tool in tools for pipe in (*tool.writes, tool.reads) if pipe is not None}
    with ExitStack() as stack:
        for pipe in pipes:
            stack.callback(pipe.close)
        try:
            running = [stack.enter_context(_begun(tool, timeout)) for tool in tools]
            # Who keeps an end that belongs to a tool would never see the pipe's end, nor let the tool see it.
            for pipe in pipes:
                pipe.close(pipe.writable, *([] if pipe.on_bytes else [pipe.readable]))
            outputs = [_Output(tool, process) for tool, process in zip(tools, running, strict=True)]
            readers = {fd: reader for output in outputs for fd, reader in output.readers.items()}
            readers |= {pipe.readable: pipe.on_bytes for pipe in pipes if pipe.on_bytes}
            _read(readers, running, deadline)
            _await(running, deadline)
        except subprocess.TimeoutExpired:
            raise _timed_out(timeout) from None
    for process in running:
        process.refuse_excess()
    return [output.result() for output in outputs]


@dataclass
class _Output:
    """What one tool says, gathered or handed on."""

    tool: Tool
    process: Process
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


def _begun(tool: Tool, timeout: float) -> AbstractContextManager[Process]:
    reads = subprocess.DEVNULL if tool.reads is None else tool.reads.readable
    return started(tool.command, tool.reach, timeout, reads, [pipe.writable for pipe in tool.writes])


def _read(readers: Mapping[int, OnBytes], running: Sequence[Process], deadline: float) -> None:
    """Hands what comes on these file descriptors to their readers, until all are at their end. What a tool left behind
    when it ended goes within a second: nobody waits for pipes that it holds."""
    with selectors.DefaultSelector() as selector:
        for fd in readers:
            selector.register(fd, selectors.EVENT_READ)
        look = time.monotonic() + 1.0
        while selector.get_map():
            now = time.monotonic()
            if now >= deadline:
                raise subprocess.TimeoutExpired([], 0)
            if now >= look:
                look = now + 1.0
                for process in running:
                    if process.has_ended():
                        process.kill_group()
            for key, _ in selector.select(min(deadline, look) - now):
                data = os.read(key.fd, _PIPE_BYTES)
                if data:
                    readers[key.fd](data)
                else:
                    selector.unregister(key.fd)


def _await(running: Sequence[Process], deadline: float) -> None:
    pause = 0.0005  # seconds; mostly they end as soon as they close their output
    while not all(process.has_ended() for process in running):
        if time.monotonic() >= deadline:
            raise subprocess.TimeoutExpired([], 0)
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _timed_out(timeout: float) -> Exception:
    return failure("media_timeout", f"The media tool did not finish within {timeout:.0f} seconds.")
