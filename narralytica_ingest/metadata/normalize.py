"""One video's row of `video_metadata`. Declared and measured values stay apart; unknown is None, never 0.

Everything here is pure. Text of strangers is data: it is normalized (NFC), freed of control characters and cut to a
limit, and nothing is ever made of it but a value.
"""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

TITLE_CHARACTERS = 1_000
TEXT_CHARACTERS = 20_000
LIST_ITEMS = 500

# Everything in Unicode's category C but tab and newline: control and format characters, which hide or reorder text.
# The two joiners stay, since several scripts are written with them.
_KEPT = {"\t", "\n", "\u200c", "\u200d"}
_LANGUAGE = re.compile(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$")


def normalize(
    video_id: str,
    info: Mapping[str, Any] | None,
    probe: Mapping[str, Any],
    hints: Mapping[str, Any],
    file_name: str | None = None,
) -> dict[str, Any]:
    """The row of one video: `info` as the source states it (None for an upload), `probe` and `hints` as stored.

    `file_name` of an upload is its title if nobody gives a better one.
    """
    info = info or {}
    tags = {str(name).lower(): value for name, value in (probe.get("tags") or {}).items()}
    row: dict[str, Any] = {"video_id": video_id}
    origins: dict[str, str] = {}
    for name, candidates in _candidates(info, tags, hints, file_name).items():
        origin, row[name] = next(((o, v) for o, v in candidates if v is not None), (None, None))
        if origin is not None:
            origins[name] = origin
    row |= _declared(info) | _measured(probe)
    row["origins"] = origins
    return row


def _candidates(
    info: Mapping[str, Any], tags: Mapping[str, Any], hints: Mapping[str, Any], file_name: str | None
) -> dict[str, list[tuple[str, Any]]]:
    """Who may state a value, the most trusted first: the source, a person, and only then what an encoder wrote."""
    # yt-dlp names a bare file after its URL: better than nothing, but not what the source calls it.
    named_after_url = info.get("extractor_key") == "Generic" and not (info.get("channel") or info.get("description"))
    declared_title = line(info.get("title"))
    return {
        "title": [
            ("source", None if named_after_url else declared_title),
            ("hint", line(hints.get("title"))),
            ("container", line(tags.get("title"))),
            ("url", declared_title if named_after_url else None),
            ("file_name", line(PurePosixPath(file_name).stem) if file_name else None),
        ],
        "description": [
            ("source", text(info.get("description"))),
            ("container", text(_first(tags, "description", "comment"))),
        ],
        "channel": [
            ("source", line(info.get("channel") or info.get("uploader"))),
            ("hint", line(hints.get("channel"))),
            ("container", line(_first(tags, "artist", "author"))),
        ],
        "language": [("source", language(info.get("language"))), ("hint", language(hints.get("language")))],
        "published_at": [("source", published(info)), ("container", moment(_first(tags, "creation_time", "date")))],
    }


def _declared(info: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "channel_id": line(info.get("channel_id") or info.get("uploader_id")),
        "channel_url": url(info.get("channel_url") or info.get("uploader_url")),
        "tags": lines(info.get("tags")),
        "categories": lines(info.get("categories")),
        "chapters": chapters(info.get("chapters")),
        "thumbnail_url": url(info.get("thumbnail")),
        "webpage_url": url(info.get("webpage_url")),
        "declared_duration_seconds": number(info.get("duration")),
        "declared_width": whole(info.get("width")),
        "declared_height": whole(info.get("height")),
    }


def _measured(probe: Mapping[str, Any]) -> dict[str, Any]:
    picture: Mapping[str, Any] = next(iter(probe.get("video") or []), {})
    sound: Mapping[str, Any] = next(iter(probe.get("audio") or []), {})
    return {
        "measured_container": probe.get("container"),
        "measured_duration_seconds": number(probe.get("duration_seconds")),
        "measured_size_bytes": whole(probe.get("size_bytes"), 2**62),
        "measured_bit_rate": whole(probe.get("bit_rate"), 2**62),
        "measured_width": whole(picture.get("width")),
        "measured_height": whole(picture.get("height")),
        "measured_frame_rate": number(picture.get("frame_rate")),
        "measured_video_codec": picture.get("codec"),
        "measured_audio_codec": sound.get("codec"),
        "measured_audio_channels": whole(sound.get("channels")),
        "measured_audio_sample_rate": whole(sound.get("sample_rate")),
    }


# ---- values -------------------------------------------------------------------------------------------------------


def text(value: object, limit: int = TEXT_CHARACTERS) -> str | None:
    """Clean text of several lines, at most `limit` characters; None if nothing is left."""
    if not isinstance(value, str):
        return None
    # Cut first: a description of tens of megabytes must not be normalized whole.
    value = unicodedata.normalize("NFC", value[: limit * 2].replace("\r\n", "\n").replace("\r", "\n"))
    kept = "".join(c for c in value if c in _KEPT or not unicodedata.category(c).startswith("C"))
    return kept.strip()[:limit] or None


def line(value: object, limit: int = TITLE_CHARACTERS) -> str | None:
    """Clean text on one line."""
    cleaned = text(value, limit)
    return None if cleaned is None else " ".join(cleaned.split()) or None


def lines(value: object) -> list[str] | None:
    """A list of one-line texts, without repetitions; None if there is none."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    cleaned = dict.fromkeys(kept for each in value[:LIST_ITEMS] if (kept := line(each)) is not None)
    return list(cleaned) or None


def url(value: object) -> str | None:
    """An http(s) URL, or None."""
    cleaned = line(value, 2_000)
    return cleaned if cleaned is not None and cleaned.lower().startswith(("http://", "https://")) else None


def number(value: object) -> float | None:
    """A finite number above 0; sources write 0 where they do not know."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        return None
    return parsed if math.isfinite(parsed) and parsed > 0 else None


def whole(value: object, limit: int = 2**31) -> int | None:
    """A whole number above 0 and below `limit`, by default what an integer column can hold."""
    parsed = number(value)
    return None if parsed is None or not 1 <= parsed < limit else int(parsed)


def language(value: object) -> str | None:
    """A language tag with the usual case (`en-US`), or None. `und` means unknown."""
    cleaned = line(value, 35)
    if cleaned is None or not _LANGUAGE.match(cleaned) or cleaned.lower().startswith(("und", "mis", "zxx")):
        return None
    head, *rest = cleaned.split("-")
    return "-".join([head.lower(), *(part.upper() if len(part) == 2 else part for part in rest)])


def chapters(value: object) -> list[dict[str, Any]] | None:
    """Chapters as title, start and end in seconds; None if there is none."""
    if not isinstance(value, list):
        return None
    kept = [
        {
            "title": line(each.get("title")),
            "start_seconds": number(each.get("start_time")) or 0.0,
            "end_seconds": number(each.get("end_time")),
        }
        for each in value[:LIST_ITEMS]
        if isinstance(each, Mapping)
    ]
    return kept or None


def published(info: Mapping[str, Any]) -> str | None:
    """When the video was published, in UTC: a time if the source states one, else the start of its day."""
    for name in ("release_timestamp", "timestamp"):
        seconds = number(info.get(name))
        if seconds is not None and seconds < 32_503_680_000:  # the year 3000
            return datetime.fromtimestamp(seconds, UTC).isoformat()
    return moment(info.get("release_date")) or moment(info.get("upload_date"))


def moment(value: object) -> str | None:
    """A date or time in ISO 8601 (`20261122` too) as UTC; None if it is not one, or only a year."""
    cleaned = line(value, 40)
    if cleaned is None or len(cleaned) < 8:
        return None
    try:
        parsed = datetime.fromisoformat(cleaned.replace("Z", "+00:00"))
    except ValueError:
        return None
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    # 1904 and 1970 are what cameras and muxers write when they do not know.
    return parsed.astimezone(UTC).isoformat() if 1970 < parsed.year < 3000 else None


def _first(values: Mapping[str, Any], *names: str) -> Any:
    return next((values[name] for name in names if values.get(name)), None)
