"""What is kept of the information that yt-dlp extracts: facts about the video, never a key to it.

What belongs here: pure functions over yt-dlp's (already sanitised) dictionary. Signed media URLs, headers, cookies and
request data are dropped by naming what is kept.
"""

import re
from collections.abc import Callable, Mapping, Set
from itertools import islice
from typing import Any, TypeGuard
from urllib.parse import urlsplit, urlunsplit

from narralytica_ingest.redaction import storable, without_keys
from narralytica_ingest.sources.formats import audio_languages, spoken_language

_FACTS = [
    "id",
    "title",
    "fulltitle",
    "alt_title",
    "display_id",
    "description",
    "channel",
    "channel_id",
    "channel_url",
    "channel_follower_count",
    "channel_is_verified",
    "uploader",
    "uploader_id",
    "uploader_url",
    "creators",
    "series",
    "season_number",
    "episode",
    "episode_number",
    "upload_date",
    "timestamp",
    "release_date",
    "release_timestamp",
    "release_year",
    "modified_date",
    "modified_timestamp",
    "duration",
    "tags",
    "categories",
    "license",
    "location",
    "age_limit",
    "availability",
    "media_type",
    "live_status",
    "was_live",
    "playable_in_embed",
    "view_count",
    "like_count",
    "dislike_count",
    "comment_count",
    "repost_count",
    "average_rating",
    "webpage_url",
    "original_url",
    "webpage_url_domain",
    "extractor",
    "extractor_key",
    "format_id",
    "ext",
    "protocol",
    "vcodec",
    "acodec",
    "width",
    "height",
    "fps",
    "dynamic_range",
    "aspect_ratio",
    "tbr",
    "vbr",
    "abr",
    "asr",
    "audio_channels",
    "filesize",
    "filesize_approx",
]
_FORMAT_FACTS = [
    "format_id",
    "ext",
    "protocol",
    "container",
    "vcodec",
    "acodec",
    "width",
    "height",
    "fps",
    "dynamic_range",
    "tbr",
    "vbr",
    "abr",
    "asr",
    "audio_channels",
    "language",
    "language_preference",
    "format_note",
    "filesize",
]


# What is kept of a value, however much a site says: far more than any real one has, and little enough to be read again.
_TEXT_CHARACTERS = 1_000_000  # of a fact, such as the description
_PART_CHARACTERS = 2_000  # of a text within a list
_PARTS = 2_000
_LAYERS = 4
_INTEGER = 2**63


def kept_info(info: Mapping[str, Any], changed_at: Set[int] = frozenset()) -> dict[str, Any]:
    """The facts worth keeping, ready for JSON. Formats shrink to their properties, captions to their languages.

    `language` is that of the chosen sound, `audio_languages` are all in which the source offers sound, and `formats`
    the chosen formats (one that holds both picture and sound stands at the top itself). Chapters have `start_time` and
    `end_time` (seconds) and a `title`.

    `changed_at` are the Last-Modified times (epoch seconds) of what was fetched: for a bare file or manifest yt-dlp
    gives that as the time of publication, of which it says nothing.

    Texts are kept up to a million characters (2,000 within lists), lists up to 2,000 items; numbers that are none or
    beyond 64 bits are left open.
    """
    kept = {name: info[name] for name in _FACTS if info.get(name) is not None}
    if info.get("extractor_key") == "Generic" and info.get("timestamp") in changed_at:
        for name in ("timestamp", "upload_date"):
            kept.pop(name, None)
    for name in ("webpage_url", "original_url", "channel_url", "uploader_url"):
        if name in kept:
            kept[name] = _if_url(without_keys, kept[name])
    if "webpage_url_domain" in kept:
        kept["webpage_url_domain"] = str(kept["webpage_url_domain"]).rpartition("@")[2]
    if (language := spoken_language(info)) is not None:
        kept["language"] = language
    if languages := audio_languages(info.get("formats") or ()):
        kept["audio_languages"] = languages
    if chapters := _chapters(info.get("chapters")):
        kept["chapters"] = chapters
    kept["formats"] = [_format_facts(each) for each in info.get("requested_formats") or ()]
    kept["subtitles"] = sorted(name for name in info.get("subtitles") or () if name != "live_chat")
    kept["automatic_captions"] = sorted(info.get("automatic_captions") or ())
    if info.get("thumbnail"):
        kept["thumbnail"] = _if_url(_without_query, info["thumbnail"])
    return {name: storable(_bounded(value)) for name, value in kept.items()}


def _bounded(value: Any, layer: int = 0) -> Any:
    """The value as JSON knows it, and no more of it than is kept."""
    if isinstance(value, str):
        return value[: _PART_CHARACTERS if layer else _TEXT_CHARACTERS]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return value if -_INTEGER < value < _INTEGER else None
    if layer >= _LAYERS:
        return None
    if isinstance(value, Mapping):
        pairs = islice(value.items(), _PARTS)
        return {str(name)[:_PART_CHARACTERS]: _bounded(each, layer + 1) for name, each in pairs}
    return [_bounded(each, layer + 1) for each in islice(value, _PARTS)] if isinstance(value, list | tuple) else None


def _if_url(change: Callable[[str], str], value: object) -> str | None:
    """A URL, changed; None where it is none."""
    try:
        return change(str(value))
    except ValueError:
        return None


def _chapters(value: object) -> list[dict[str, Any]]:
    """What of the chapters is in order: those with a start, in time, and no more than their three facts."""
    chapters = [each for each in value if isinstance(each, Mapping)] if isinstance(value, list | tuple) else []
    timed = [each for each in chapters if _is_time(each.get("start_time"))]
    return [
        {
            "start_time": each["start_time"],
            "end_time": end if _is_time(end := each.get("end_time")) and end >= each["start_time"] else None,
            "title": _title(each.get("title")),
        }
        for each in sorted(timed, key=lambda each: float(each["start_time"]))
    ]


def _title(value: object) -> str | None:
    """A chapter's title; yt-dlp fills in what has none."""
    return str(value) if value and not re.fullmatch(r"<Untitled Chapter \d+>", str(value)) else None


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _INTEGER


def _format_facts(chosen: Mapping[str, Any]) -> dict[str, Any]:
    return {name: chosen[name] for name in _FORMAT_FACTS if chosen.get(name) is not None}


def _without_query(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(query="", fragment=""))
