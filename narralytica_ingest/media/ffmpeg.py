"""The ffmpeg commands of this package, built with ffmpeg-python and run within limits.

What belongs here: what every command shares (untrusted input, bit-exact output, progress, a temporary name).
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ffmpeg

from narralytica_ingest.media.run import INPUT_LIMITS, MAX_ALLOC, ToolResult, run_tool
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


def untrusted_input(path: Path, **options: Any) -> Any:
    """An ffmpeg-python input for a file from a stranger: no other file, no network, no demuxer that leads to them."""
    return ffmpeg.input(f"file:{path.absolute()}", **INPUT_LIMITS, **options)


def write_file(
    streams: list[Any], target: Path, tools: MediaTools, on_seconds: OnSeconds, **options: Any
) -> ToolResult:
    """Writes `streams` to `target` under a temporary name, which becomes the final one only when ffmpeg succeeded.

    The result's `returncode` says whether it did; judging a failure is the caller's.
    """
    fresh = target.with_name(f".fresh-{target.name}")
    try:
        result = run_ffmpeg(ffmpeg.output(*streams, f"file:{fresh.absolute()}", **options), tools, on_seconds)
        if result.returncode == 0 and _UNWRITTEN.search(result.stderr):
            return replace(result, returncode=1)
        if result.returncode == 0:
            fresh.replace(target)
        return result
    finally:
        fresh.unlink(missing_ok=True)


def run_ffmpeg(output: Any, tools: MediaTools, on_seconds: OnSeconds) -> ToolResult:
    """Runs one ffmpeg-python graph."""
    arguments = output.get_args()
    shared = ["-hide_banner", "-nostdin", "-y", "-v", "error", "-max_alloc", str(MAX_ALLOC)]
    watched = ["-progress", "pipe:1", "-nostats"]
    return run_tool([tools.ffmpeg, *shared, *watched, *arguments], timeout=tools.timeout, on_line=_reader(on_seconds))


def _reader(on_seconds: OnSeconds) -> Callable[[str], None]:
    def read(line: str) -> None:
        if match := re.fullmatch(r"out_time_us=(\d+)\s*", line):
            on_seconds(int(match[1]) / 1_000_000)

    return read
