"""One video's row of `video_metadata`. Declared and measured values stay apart; unknown is None, never 0.

Everything here is pure: what was read of a video goes in, a row comes out. What a clean value is stands in `values.py`,
what a row may hold in `columns.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from narralytica_ingest.metadata.columns import LIVE_STATUSES, NAMES
from narralytica_ingest.metadata.values import (
    BIG,
    LIST_ITEMS,
    TAG_CHARACTERS,
    URL_CHARACTERS,
    Moment,
    chapters,
    count,
    epoch,
    language,
    line,
    lines,
    moment,
    number,
    rate,
    text,
    url,
    whole,
    word,
)

Facts = Mapping[str, Any]
Row = dict[str, Any]
Candidates = list[tuple[str, Any]]


@dataclass(frozen=True)
class Reading:
    """What is known of a video: `info` as the source states it (None for an upload), `probe` and `hints` as stored.

    `file_name` of an upload is its title if nobody gives a better one. `read_at` is when the source was read,
    `spoken` the language that the file gives the sound which the audio track is made of.
    """

    video_id: str
    source: str | None = None
    source_id: str | None = None
    info: Facts | None = None
    probe: Facts = field(default_factory=dict)
    hints: Facts = field(default_factory=dict)
    file_name: str | None = None
    size_bytes: int | None = None
    read_at: datetime | None = None
    spoken: str | None = None


def normalize(read: Reading) -> Row:
    """The row of one video, with a value (or None) for every column. Times are aware, in UTC."""
    info, probe = _facts(read.info), _facts(read.probe)
    row: Row = {
        "video_id": read.video_id,
        "source": line(read.source),
        "source_id": line(read.source_id, URL_CHARACTERS),
        "read_at": read.read_at,
        **_declared(info),
        **_measured(probe, read.size_bytes),
    }
    origins: dict[str, str] = {}
    for name, candidates in _candidates(info, probe, read).items():
        origin, row[name] = next(((o, v) for o, v in candidates if v is not None), (None, None))
        if origin is not None:
            origins[name] = origin
    for name, precision in (("published_at", "published_precision"), ("uploaded_at", "uploaded_precision")):
        known: Moment | None = row[name]
        row[name], row[precision] = (known.at, known.precision) if known else (None, None)
    row["origins"] = origins
    return {name: row[name] for name in NAMES}


def _candidates(info: Facts, probe: Facts, read: Reading) -> dict[str, Candidates]:
    """Who may state a value, the most trusted first: the source, a person, and only then what an encoder wrote."""
    # yt-dlp names a bare file after its URL: better than nothing, but not what the source calls it.
    named_after_url = info.get("extractor_key") == "Generic" and not (info.get("channel") or info.get("description"))
    declared_title, hints = line(info.get("title")), _facts(read.hints)
    tags = {str(name).lower(): value for name, value in _facts(probe.get("tags")).items()}
    written = moment(probe.get("created_at") or _first(tags, "creation_time", "com.apple.quicktime.creationdate"))
    return {
        "title": [
            ("source", None if named_after_url else declared_title),
            ("hint", line(hints.get("title"))),
            ("container", line(tags.get("title"))),
            ("url", declared_title if named_after_url else None),
            ("file_name", line(PurePosixPath(read.file_name).stem) if read.file_name else None),
        ],
        "description": [
            ("source", text(info.get("description"))),
            ("container", text(_first(tags, "description", "synopsis", "comment"))),
        ],
        "channel": [
            ("source", line(info.get("channel")) or line(info.get("uploader"))),
            ("hint", line(hints.get("channel"))),
            ("container", line(_first(tags, "artist", "album_artist", "author"))),
        ],
        "language": [
            ("source", language(info.get("language"))),
            ("hint", language(hints.get("language"))),
            ("container", language(read.spoken) or _sound_language(probe)),
        ],
        "published_at": [("source", _published(info)), ("container", moment(_first(tags, "date", "date_released")))],
        "uploaded_at": [("source", _uploaded(info))],
        "recorded_at": [("container", written.at if written and written.precision == "second" else None)],
        "tags": [("source", lines(info.get("tags"))), ("container", _listed(tags.get("keywords")))],
        "categories": [("source", lines(info.get("categories"))), ("container", _listed(tags.get("genre")))],
        "chapters": [("source", chapters(info.get("chapters"))), ("container", _container_chapters(probe))],
        "license": [("source", line(info.get("license"))), ("container", line(_first(tags, "license", "copyright")))],
        "captions": [("source", _captions(info)), ("container", _container_captions(probe))],
    }


def _declared(info: Facts) -> Row:
    status = info.get("live_status") or ("was_live" if info.get("was_live") is True else None)
    return {
        "webpage_url": url(info.get("webpage_url")),
        "channel_id": line(info.get("channel_id")) or line(info.get("uploader_id")),
        "channel_url": url(info.get("channel_url")) or url(info.get("uploader_url")),
        "thumbnail_url": url(info.get("thumbnail")),
        "age_limit": count(info.get("age_limit"), 100),
        "live_status": status if status in LIVE_STATUSES else None,
        "view_count": count(info.get("view_count")),
        "like_count": count(info.get("like_count")),
        "comment_count": count(info.get("comment_count")),
        "declared_duration_seconds": number(info.get("duration")),
        "declared_size_bytes": whole(_told(info, "filesize"), BIG),
        "declared_container": word(info.get("ext")),
        "declared_bit_rate": rate(info.get("tbr")),
        "declared_width": whole(_told(info, "width")),
        "declared_height": whole(_told(info, "height")),
        "declared_frame_rate": number(_told(info, "fps")),
        "declared_dynamic_range": word(_told(info, "dynamic_range")),
        "declared_video_codec": word(_told(info, "vcodec")),
        "declared_video_bit_rate": rate(_told(info, "vbr")),
        "declared_audio_codec": word(_told(info, "acodec")),
        "declared_audio_bit_rate": rate(_told(info, "abr")),
        "declared_audio_channels": whole(_told(info, "audio_channels")),
        "declared_audio_sample_rate": whole(_told(info, "asr")),
    }


def _measured(probe: Facts, size_bytes: int | None) -> Row:
    picture, sound = _stream(probe, "video"), _stream(probe, "audio")
    turned = picture.get("rotation")
    return {
        "measured_duration_seconds": number(probe.get("duration_seconds")),
        "measured_size_bytes": whole(size_bytes or probe.get("size_bytes"), BIG),
        "measured_container": word(probe.get("container")),
        "measured_bit_rate": whole(probe.get("bit_rate"), BIG),
        "measured_width": whole(picture.get("width")),
        "measured_height": whole(picture.get("height")),
        "measured_frame_rate": number(picture.get("frame_rate")),
        "measured_dynamic_range": _dynamic_range(probe, picture),
        "measured_rotation": turned % 360 if isinstance(turned, int) else None,
        "measured_video_codec": word(picture.get("codec")),
        "measured_video_bit_rate": whole(picture.get("bit_rate"), BIG),
        "measured_audio_codec": word(sound.get("codec")),
        "measured_audio_bit_rate": whole(sound.get("bit_rate"), BIG),
        "measured_audio_channels": whole(sound.get("channels")),
        "measured_audio_sample_rate": whole(sound.get("sample_rate")),
    }


# ---- what the source states ----------------------------------------------------------------------------------------


def _published(info: Facts) -> Moment | None:
    """When the video became public: its release, if the source tells it from the upload."""
    return epoch(info.get("release_timestamp")) or moment(info.get("release_date")) or _uploaded(info)


def _uploaded(info: Facts) -> Moment | None:
    return epoch(info.get("timestamp")) or moment(info.get("upload_date"))


def _told(info: Facts, name: str) -> Any:
    """A property of what was fetched: where picture and sound came apart, one of the two may tell it."""
    owners = [info, *_sections(info.get("formats"))]
    return next((told for each in owners if (told := each.get(name)) not in (None, "none")), None)


def _captions(info: Facts) -> list[Row] | None:
    listed = [("uploaded", info.get("subtitles")), ("automatic", info.get("automatic_captions"))]
    return _unlike(
        _caption(name, name, origin)
        for origin, names in listed
        for name in (names if isinstance(names, list) else ())
        if isinstance(name, str)
    )


def _caption(tag: object, name: object, origin: str) -> Row:
    return {"language": language(tag), "name": line(name, TAG_CHARACTERS), "origin": origin}


def _unlike(found: Iterable[Row]) -> list[Row] | None:
    """Those that differ, at most so many, or None."""
    return list({tuple(each.values()): each for each in found}.values())[:LIST_ITEMS] or None


# ---- what the file states ------------------------------------------------------------------------------------------


def _sound_language(probe: Facts) -> str | None:
    """The language of the sound that a player would take."""
    sounds = _sections(probe.get("audio"))
    first = next((each for each in sounds if each.get("default")), next(iter(sounds), {}))
    return language(first.get("language"))


def _container_chapters(probe: Facts) -> list[Row] | None:
    listed = _sections(_facts(probe.get("raw")).get("chapters"))
    return chapters([{**each, "title": _facts(each.get("tags")).get("title")} for each in listed])


def _container_captions(probe: Facts) -> list[Row] | None:
    streams = [each for each in _raw_streams(probe) if each.get("codec_type") == "subtitle"]
    tags = [_facts(each.get("tags")) for each in streams]
    return _unlike(_caption(each.get("language"), each.get("title"), "container") for each in tags)


def _dynamic_range(probe: Facts, picture: Facts) -> str | None:
    """As the probe says it; of older ones, after the picture's transfer function (ITU-T H.273, 8.2: PQ, HLG)."""
    if (told := word(picture.get("dynamic_range"))) is not None:
        return told
    raw = next((each for each in _raw_streams(probe) if each.get("index") == picture.get("index")), {})
    if any(str(each.get("side_data_type")).startswith("DOVI") for each in _sections(raw.get("side_data_list"))):
        return "DV"
    transfer = raw.get("color_transfer")
    if transfer in (None, "unknown", "reserved", "unspecified"):
        return None
    return {"smpte2084": "HDR10", "arib-std-b67": "HLG"}.get(str(transfer), "SDR")


def _raw_streams(probe: Facts) -> list[Facts]:
    return _sections(_facts(probe.get("raw")).get("streams"))


def _stream(probe: Facts, kind: str) -> Facts:
    return next(iter(_sections(probe.get(kind))), {})


def _listed(value: object) -> list[str] | None:
    """A text that lists several, as encoders write them."""
    whole_text = line(value)
    return lines([part for each in whole_text.split(";") for part in each.split(",")]) if whole_text else None


def _first(values: Facts, *names: str) -> Any:
    return next((values[name] for name in names if values.get(name)), None)


def _facts(value: object) -> Facts:
    return value if isinstance(value, Mapping) else {}


def _sections(value: object) -> list[Facts]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list | tuple) else []
