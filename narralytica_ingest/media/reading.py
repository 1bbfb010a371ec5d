"""How a file reads from its first packet to its last: one pass, nothing decoded, memory that does not grow.

What belongs here: what the packets themselves tell. Judging it belongs to `integrity.py`.

The pass is ffprobe's: it costs 0.7 to 1.2 s of CPU for each gigabyte of video at 5 Mbit/s (a quarter of it for counting
110,000 packets here), less than the same pass of ffmpeg, and shows the packets' own times.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from narralytica_ingest.failures import failure
from narralytica_ingest.media.probe import Probe
from narralytica_ingest.media.run import INPUT_LIMITS, MAX_ALLOC, run_tool
from narralytica_ingest.media.tools import MediaTools

HOLE_SECONDS = 0.5
"""The shortest silence between two packets of sound that counts as a hole: codecs that stop sending while nobody speaks
(Opus DTX, RFC 7587) send at least every 0.4 s."""
_JUMP_SECONDS = 10.0  # ffmpeg's own `dts_delta_threshold`: beyond it the clock was set anew, and nothing is missing
_OVERTIME = 60.0  # seconds beyond the limit, by which a file may be longer than it announces
_CLOCK_MAY_JUMP = {"ts", "mpg"}  # broadcasts and discs, spliced and wrapped; elsewhere a jump ahead is a hole
# What demuxers say about broken structure, in ffmpeg 5 to 8. Decoders and parsers complain about much that is harmless
# (a recording that begins between two key frames), so they are left out.
_BROKEN = re.compile(
    r"CRC (?:mismatch|error)|Packet mismatch|Invalid track number|invalid as first byte of an EBML|"
    r"exceeds containing master|packet_(?:obj|frag)_size .*invalid"
)


@dataclass
class StreamReading:
    """One stream's packets. Times are seconds on the file's clock; `last` is where its last packet starts, `end` where
    the furthest ends, both without the jumps of a clock that was set anew.

    `may_jump`: a jump ahead of its clock is no hole either. `in_frames`: its packets last the same, more or less, so
    one that lasts long hides a hole.
    """

    may_jump: bool = False
    in_frames: bool = False
    packets: int = 0
    start: float | None = None
    last: float = 0.0
    end: float = 0.0
    corrupt: int = 0
    unplaced: int = 0
    jumps: int = 0
    holes: int = 0
    missing_seconds: float = 0.0
    longest_hole: tuple[float, float] = (0.0, 0.0)  # its length, and where it begins
    ends_corrupt: bool = False
    _shift: float = field(default=0.0, repr=False)
    _usual: float = field(default=math.inf, repr=False)
    _sound_ends: float = field(default=0.0, repr=False)

    def add(self, time: float | None, duration: float | None, flags: str) -> None:
        """Counts one packet. What an edit list cuts away has no place in time."""
        self.packets += 1
        self.ends_corrupt = "C" in flags
        self.corrupt += self.ends_corrupt
        self.unplaced += time is None
        if time is None or "D" in flags:
            return
        if self.start is None:
            self.start = self.end = self._sound_ends = time
        jump = time + self._shift - self.end
        if jump < -_JUMP_SECONDS or (self.may_jump and jump > _JUMP_SECONDS):
            self._shift -= jump
            self.jumps += 1
        place, length = time + self._shift, duration or 0.0
        self._look_for_a_hole(place)
        self.last = max(self.last, place)
        self.end = max(self.end, place + length)
        self._usual = min(self._usual, length or math.inf)
        self._sound_ends = max(self._sound_ends, place + (min(length, self._usual) if self.in_frames else length))

    @property
    def seconds(self) -> float:
        """How long it lasts, from its first packet."""
        return self.end - (self.start or 0.0)

    def _look_for_a_hole(self, place: float) -> None:
        hole = place - self._sound_ends
        if hole > HOLE_SECONDS:
            self.holes += 1
            self.missing_seconds += hole
            self.longest_hole = max(self.longest_hole, (hole, self._sound_ends))


@dataclass(frozen=True)
class Reading:
    """What one pass over a file found: its streams by ffprobe's index, and how often the container's structure is
    broken."""

    streams: dict[int, StreamReading]
    broken_places: int

    @property
    def corrupt_packets(self) -> int:
        """Packets that the demuxer calls corrupt, but for a stream's last, which is only incomplete, and those at which
        its clock was set anew: there the counters begin anew, too."""
        return sum(max(0, each.corrupt - each.ends_corrupt - each.jumps) for each in self.streams.values())


def read_through(path: Path, measured: Probe, tools: MediaTools) -> Reading:
    """Reads all packets of a file. Raises IngestError `media_timeout`, and `too_long` (permanent) as soon as it lasts
    longer than it may: some files of a kilobyte last for weeks, and announce a second."""
    longest = tools.max_seconds + _OVERTIME
    may_jump = measured.extension in _CLOCK_MAY_JUMP
    streams = {
        each["index"]: StreamReading(may_jump=may_jump, in_frames=_in_frames(each, measured.extension))
        for each in measured.raw["streams"]
        if each.get("codec_type") != "data"
    }

    def on_line(line: str) -> None:
        index, time, duration, flags, *_ = [*line.strip().split(","), "", "", ""]
        if index.isdigit() and (stream := streams.get(int(index))) is not None:
            stream.add(_seconds(time), _seconds(duration), flags)
            if stream.seconds > longest:
                raise failure("too_long", f"The video lasts longer than the limit of {tools.max_seconds:,.0f} s.")

    limits: list[str] = [part for name, value in INPUT_LIMITS.items() for part in (f"-{name}", value)]
    shared = ["-v", "error", "-max_alloc", str(MAX_ALLOC), *limits]
    wanted = ["-show_entries", "packet=stream_index,pts_time,duration_time,flags", "-of", "csv=p=0"]
    command: list[str | Path] = [tools.ffprobe, *shared, *wanted, f"file:{path.absolute()}"]
    complaints = run_tool(command, timeout=tools.timeout, on_line=on_line, reach=tools.reach(path)).stderr
    return Reading(streams, count_lines(_BROKEN, complaints))


def count_lines(wanted: re.Pattern[str], complaints: str) -> int:
    """How many of ffmpeg's lines match, with those that it abbreviates ("Last message repeated 15 times")."""
    count, matched = 0, False
    for line in complaints.splitlines():
        repeated = re.fullmatch(r"\s*Last message repeated (\d+) times", line)
        matched = matched if repeated else bool(wanted.search(line))
        count += matched * (int(repeated[1]) if repeated else 1)
    return count


def _in_frames(stream: Mapping[str, Any], extension: str) -> bool:
    """Files of MP4's family know no hole but a packet that lasts long; uncoded sound comes in pieces of any length."""
    uncoded = str(stream.get("codec_name")).startswith(("pcm_", "adpcm_"))
    return stream.get("codec_type") == "audio" and extension in {"mp4", "m4a", "mov", "3gp"} and not uncoded


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # N/A
        return None
