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
from narralytica_ingest.media.tools import MediaTools

OnSeconds = Callable[[float], None]
"""Gets the media time (seconds) that a command has reached, about twice a second."""
OnProgress = Callable[[float, float | None], None]
"""Gets seconds done, and seconds in all or None."""

# Nothing of the input's tags, and nothing of the program's version or of the clock, in the output.
BIT_EXACT: dict[str, Any] = {"map_metadata": -1, "map_chapters": -1, "fflags": "+bitexact"}


# When the end of a file cannot be written, ffmpeg 6 says so and yet ends with 0; the file's header then announces what
# is not there.
_UNWRITTEN = re.compile(r"No space left on device|Error (?:writing|closing|muxing)")


def unwatched(done: float, total: float | None) -> None:
    """An `OnProgress` that takes no notice."""


Source = Path | str
"""A file, or the URL on this machine's loopback at which a stored object is served (`object_store/range_server.py`)."""


def untrusted_input(source: Source, **options: Any) -> Any:
    """An ffmpeg-python input for a file from a stranger: no other file, no network, no demuxer that leads to them.

    What is served on the loopback is read by HTTP alone.
    """
    if isinstance(source, Path):
        return ffmpeg.input(f"file:{source.absolute()}", **INPUT_LIMITS, **options)
    return ffmpeg.input(source, **(INPUT_LIMITS | {"protocol_whitelist": "http,tcp"}), **options)


def write_file(
    streams: list[Any], target: Path, tools: MediaTools, on_seconds: OnSeconds, **options: Any
) -> ToolResult:
    """Writes `streams` to `target` under a temporary name, which becomes the final one only when ffmpeg succeeded.

    The result's `returncode` says whether it did; judging a failure is the caller's.
    """
    fresh = target.with_name(f".fresh-{target.name}")
    try:
        result = run_ffmpeg(ffmpeg.output(*streams, f"file:{fresh.absolute()}", **options), tools, on_seconds)
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


def run_ffmpeg(output: Any, tools: MediaTools, on_seconds: OnSeconds) -> ToolResult:
    """Runs one ffmpeg-python graph."""
    return run_tools([ffmpeg_tool(output, tools, on_seconds)], timeout=tools.timeout)[0]


def ffmpeg_tool(output: Any, tools: MediaTools, on_seconds: OnSeconds, writes: Sequence[Pipe] = ()) -> Tool:
    """One ffmpeg-python graph as a tool to run, beside others."""
    shared = ["-hide_banner", "-nostdin", "-y", "-v", "error", "-max_alloc", str(MAX_ALLOC)]
    watched = ["-progress", "pipe:1", "-nostats"]
    return Tool([tools.ffmpeg, *shared, *watched, *output.get_args()], on_line=_reader(on_seconds), writes=writes)


def _reader(on_seconds: OnSeconds) -> Callable[[str], None]:
    def read(line: str) -> None:
        if match := re.fullmatch(r"out_time_us=(\d+)\s*", line):
            on_seconds(int(match[1]) / 1_000_000)

    return read
