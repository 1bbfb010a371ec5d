"""ffprobe's JSON, value by value: numbers as text, fractions, tags, and facts that stand in one of several places.

What belongs here: reading one section (a stream, the format). Unknown is None; ffprobe says `N/A`, `0/0` or nothing.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Section = Mapping[str, Any]

# Of a transfer function (ITU-T H.273, 8.2, in ffmpeg's names), as yt-dlp names dynamic ranges.
_DYNAMIC_RANGES = {"smpte2084": "HDR10", "arib-std-b67": "HLG"}
_SAME_RATE = 0.005  # of the rate: timestamps in whole milliseconds (Matroska) make a constant rate look less so


def number(value: Any) -> float | None:
    """A finite number, however it is written: of tags, it may be anything."""
    try:
        read = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return read if math.isfinite(read) else None


def whole(value: Any) -> int | None:
    """A whole number, fractions cut off."""
    read = number(value)
    return None if read is None else int(read)


def fraction(value: Any) -> float | None:
    """A fraction such as `30000/1001`, to three digits."""
    above, _, below = str(value).partition("/")
    top, bottom = number(above), number(below or 1)
    return round(top / bottom, 3) if top and bottom else None


def tags(section: Section) -> dict[str, str]:
    """The tags of a section, their names in small letters."""
    return {str(name).lower(): str(value) for name, value in section.get("tags", {}).items()}


def dispositions(stream: Section) -> tuple[str, ...]:
    """The flags that are set, sorted."""
    return tuple(sorted(name for name, is_set in stream.get("disposition", {}).items() if is_set))


def duration(stream: Section) -> float | None:
    """The stream's own length (seconds). Matroska keeps its end in a tag, `00:00:10.005000000`."""
    length = number(stream.get("duration"))
    if length is None and (tagged := tags(stream).get("duration")):
        hours, _, rest = tagged.partition(":")
        minutes, _, seconds = rest.partition(":")
        parts = [number(each) for each in (hours, minutes, seconds)]
        if None not in parts:
            end = sum(each * unit for each, unit in zip(parts, (3600, 60, 1), strict=True) if each is not None)
            length = max(0.0, end - max(0.0, number(stream.get("start_time")) or 0.0))
    return length


def statistic(stream: Section, name: str, tag: str) -> int | None:
    """A count that stands in the stream, or in the tags that mkvmerge writes (`BPS`, in old files `BPS-eng`)."""
    found = tags(stream)
    return whole(stream.get(name)) or whole(found.get(tag)) or whole(found.get(f"{tag}-eng"))


def rotation(stream: Section) -> int | None:
    """Degrees by which a player turns the picture counter-clockwise. The old tag counts clockwise."""
    turned = [each["rotation"] for each in stream.get("side_data_list", []) if "rotation" in each]
    if turned:
        return whole(turned[0])
    tagged = whole(tags(stream).get("rotate"))
    return None if tagged is None else -tagged


def dynamic_range(stream: Section) -> str | None:
    """`SDR`, `HDR10`, `HLG` or `DV` (Dolby Vision, which says so beside the picture)."""
    if any("DOVI" in str(each.get("side_data_type")) for each in stream.get("side_data_list", [])):
        return "DV"
    transfer = stream.get("color_transfer")
    return None if transfer in (None, "unknown", "reserved") else _DYNAMIC_RANGES.get(str(transfer), "SDR")


def variable_frame_rate(stream: Section) -> bool | None:
    """Whether the pictures come at uneven times: the least rate that has room for them all is not the average one, nor
    twice it (which is how interlaced pictures count)."""
    average, least = fraction(stream.get("avg_frame_rate")), fraction(stream.get("r_frame_rate"))
    if average is None or least is None:
        return None
    return not any(abs(least / (average * fields) - 1) <= _SAME_RATE for fields in (1, 2))


def bit_depth(stream: Section) -> int | None:
    """Bits of a sample: as the codec states it, else after the name of the pixel format (`yuv420p10le`, `p010le`)."""
    stated = whole(stream.get("bits_per_raw_sample")) or whole(stream.get("bits_per_sample"))
    form = stream.get("pix_fmt")
    if stated or not form:
        return stated or None
    named = re.search(r"(?:p|gray|gbrp|gbrap|p0|x2rgb|x2bgr)(9|10|12|14|16)(?:le|be)?$", form)
    return int(named[1]) if named else 8


def moment(*values: str | None) -> str | None:
    """The first that is a time, as UTC in ISO 8601. 1904 and 1970 are what recorders write that have no clock."""
    for value in values:
        try:
            read = datetime.fromisoformat(value or "")
        except ValueError:
            continue
        read = read if read.tzinfo else read.replace(tzinfo=UTC)
        if 1970 < read.year < 3000:
            return read.astimezone(UTC).isoformat()
    return None
