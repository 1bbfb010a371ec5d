"""The ffmpeg commands of this package, built with ffmpeg-python and run within limits.

What belongs here: what every command shares (untrusted input, bit-exact output, progress, a temporary name).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ffmpeg

from narralytica_ingest.media.run import INPUT_LIMITS, MAX_ALLOC, Pipe, Tool, ToolResult, run_tools
from narralytica_ingest.media.sandbox import Reach
from narralytica_ingest.media.tools import MediaTools, Source

OnSeconds = Callable[[float], None]
"""Gets the media time (seconds) that a command has reached, about twice a second."""
OnProgress = Callable[[float, float | None], None]
"""Gets seconds done, and seconds in all or None."""

# Nothing of the input's tags, and nothing of the program's version or of the clock, in the output.
BIT_EXACT: dict[str, Any] = {"map_metadata": -1, "map_chapters": -1, "fflags": "+bitexact"}


# When the end of a file cannot be written, ffmpeg 6 says so and yet ends with 0; the file's header then announces what
# is not there.
_UNWRITTEN = re.compile(r"No space left on device|Error (?:writing|closing|muxing)")


_THREADS = 4  # of a decoder; else as many as there are cores
ROOM = 64 << 20
"""Bytes that any output may have, whatever it is made of."""


def unwatched(done: float, total: float | None) -> None:
    """An `OnProgress` that takes no notice."""


def untrusted_input(source: Source, **options: Any) -> Any:
    """An ffmpeg-python input for a file from a stranger: no other file, no network, no demuxer that leads to them.

    What is served on the loopback is read by HTTP alone.
    """
    limits = INPUT_LIMITS | {"threads": _THREADS} | options
    if isinstance(source, Path):
        return ffmpeg.input(f"file:{source.absolute()}", **limits)
    return ffmpeg.input(source, **(limits | {"protocol_whitelist": "http,tcp"}))


def write_file(
    streams: list[Any], sources: Sequence[Path], target: Path, tools: MediaTools, on_seconds: OnSeconds, **options: Any
) -> ToolResult:
    """Writes `streams` of `sources`, as they are, to `target`: under a temporary name, which becomes the final one only
    when ffmpeg succeeded.

    The result's `returncode` says whether it did; judging a failure is the caller's.
    """
    fresh = target.with_name(f".fresh-{target.name}")
    # Packets of some bytes each, the smallest that there are, grow by as much again at the most.
    reach = tools.reach(*sources, writes=[fresh], largest=ROOM + 4 * sum(each.stat().st_size for each in sources))
    try:
        result = run_ffmpeg(ffmpeg.output(*streams, f"file:{fresh.absolute()}", **options), tools, on_seconds, reach)
        result = truthful(result)
        if result.returncode == 0:
            fresh.replace(target)
        return result
    finally:
        fresh.unlink(missing_ok=True)


def truthful(result: ToolResult) -> ToolResult:
    """The result of an ffmpeg that wrote files, with an exit code of 1 where it says that it could not."""
    unwritten = result.returncode == 0 and _UNWRITTEN.search(result.stderr)
    return replace(result, returncode=1) if unwritten else result


def run_ffmpeg(output: Any, tools: MediaTools, on_seconds: OnSeconds, reach: Reach) -> ToolResult:
    """Runs one ffmpeg-python graph, that touches nothing but `reach`."""
    return run_tools([ffmpeg_tool(output, tools, on_seconds, reach)], timeout=tools.timeout)[0]


def ffmpeg_tool(
    output: Any, tools: MediaTools, on_seconds: OnSeconds, reach: Reach, writes: Sequence[Pipe] = ()
) -> Tool:
    """One ffmpeg-python graph as a tool to run, beside others."""
    shared = ["-hide_banner", "-nostdin", "-y", "-v", "error", "-max_alloc", str(MAX_ALLOC)]
    shared += ["-filter_threads", "1", "-filter_complex_threads", "1"]  # each graph would have one for every core
    watched = ["-progress", "pipe:1", "-nostats"]
    command = [tools.ffmpeg, *shared, *watched, *output.get_args()]
    return Tool(command, on_line=_reader(on_seconds), writes=writes, reach=reach)


def _reader(on_seconds: OnSeconds) -> Callable[[str], None]:
    def read(line: str) -> None:
        if match := re.fullmatch(r"out_time_us=(\d+)\s*", line):
            on_seconds(int(match[1]) / 1_000_000)

    return read
