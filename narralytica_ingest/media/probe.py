"""What a media file is, measured by ffprobe.

What belongs here: facts about a local file, as typed values. Judging them (is the sound whole, is it long enough)
belongs to the modules that need the judgement.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.media import ffprobe_values as values
from narralytica_ingest.media.containers import CONTENT_TYPES, container_of, looks_like_html
from narralytica_ingest.media.ffprobe_values import Section
from narralytica_ingest.media.run import INPUT_LIMITS, MAX_ALLOC, ToolResult, run_tool
from narralytica_ingest.media.tools import MediaTools

_MAX_STREAMS = 100
_MAX_CHAPTERS = 1000
_MAX_TAGS = 200  # of the file, and of each stream and chapter
_MAX_TEXT = 4000
_SECONDS = 40.0  # on the wall; half of it on a processor is a bomb. A head of some megabytes takes a tenth of one
_ESTIMATED = "Estimating duration from bitrate"
_WANTED = ("-print_format", "json", "-show_format", "-show_streams")


@dataclass(frozen=True)
class VideoStream:
    """A picture track; None is unknown. `frame_rate` is frames per second on average, `rotation` degrees by which a
    player turns it counter-clockwise, `dynamic_range` one of SDR, HDR10, HLG, DV, `frames` their number.
    """

    index: int
    codec: str
    width: int | None
    height: int | None
    frame_rate: float | None
    rotation: int | None
    pixel_format: str | None
    bit_rate: int | None
    duration_seconds: float | None
    dynamic_range: str | None = None
    color_transfer: str | None = None
    color_primaries: str | None = None
    bit_depth: int | None = None
    variable_frame_rate: bool | None = None
    frames: int | None = None
    language: str | None = None
    dispositions: tuple[str, ...] = ()


@dataclass(frozen=True)
class AudioStream:
    """A sound track; None is unknown. `sample_rate` is hertz, `start_seconds` on the file's own clock, `language` as
    the file writes it, in small letters, `channel_layout` in ffmpeg's words (`5.1(side)`).
    """

    index: int
    codec: str
    channels: int | None
    sample_rate: int | None
    language: str | None
    title: str | None
    default: bool
    bit_rate: int | None
    start_seconds: float | None
    duration_seconds: float | None
    channel_layout: str | None = None
    bit_depth: int | None = None
    dispositions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """A chapter of the file, in seconds on its own clock."""

    start_seconds: float
    end_seconds: float | None
    title: str | None


@dataclass(frozen=True)
class Probe:
    """What ffprobe measured. `extension` and `content_type` depend on the bytes alone, never on the file's name.

    `created_at` is when the recording was made, as the file says, in UTC (ISO 8601). `raw` is what ffprobe printed,
    from which all else is read. `duration_is_estimated`: from the bit rate, as nothing announces it (None: unknown).
    """

    container: str
    extension: str
    content_type: str
    size_bytes: int
    start_seconds: float | None
    duration_seconds: float | None
    bit_rate: int | None
    video: tuple[VideoStream, ...]
    audio: tuple[AudioStream, ...]
    tags: dict[str, str]
    raw: dict[str, Any] = field(repr=False)
    chapters: tuple[Chapter, ...] = ()
    created_at: str | None = None
    duration_is_estimated: bool | None = None

    @property
    def streams(self) -> list[VideoStream | AudioStream]:
        """Picture tracks, then sound tracks."""
        return [*self.video, *self.audio]


def probe(path: Path, tools: MediaTools, *, audio_needed: bool = False) -> Probe:
    """Measures a local file.

    Raises IngestError: `not_media`, and `no_audio_stream` where `audio_needed` (both permanent); `media_timeout`.
    """
    size = path.stat().st_size
    if size == 0:
        raise failure("not_media", "The file is empty: check the source.")
    if looks_like_html(path):
        raise failure("not_media", "The source sent a web page instead of a media file: check the URL.")
    raw, estimated = _ffprobe(path, tools)
    streams = raw["streams"]
    if not any(_is_picture(each) or _is_sound(each) for each in streams):
        raise failure("not_media", "The file holds neither picture nor sound: check the source.")
    if audio_needed and not any(map(_is_sound, streams)):
        raise no_audio_stream()
    has_video = any(map(_is_picture, streams))
    container, extension = container_of(path, str(raw["format"].get("format_name", "")), has_video=has_video)
    return _typed(raw, size, container, extension, estimated)


def stored_probe(stored: Mapping[str, Any]) -> Probe:
    """A probe as it stands in a media file's row (`asdict`), whatever version made it: the facts that it does not know
    are read from what ffprobe printed then. Where none said whether the duration is an estimate, an MP3's is."""
    estimated = stored.get("duration_is_estimated", True if stored["extension"] == "mp3" else None)
    return _typed(stored["raw"], stored["size_bytes"], stored["container"], stored["extension"], estimated)


def _typed(raw: dict[str, Any], size: int, container: str, extension: str, estimated: bool | None) -> Probe:
    form, streams = raw["format"], raw["streams"]
    found = values.tags(form)
    return Probe(
        container=container,
        extension=extension,
        content_type=CONTENT_TYPES.get(extension, "application/octet-stream"),
        size_bytes=size,
        start_seconds=values.number(form.get("start_time")),
        duration_seconds=values.number(form.get("duration")),
        bit_rate=values.whole(form.get("bit_rate")),
        video=tuple(_video(each) for each in streams if _is_picture(each)),
        audio=tuple(_audio(each) for each in streams if _is_sound(each)),
        tags=found,
        raw=raw,
        chapters=tuple(_chapter(each) for each in raw.get("chapters", [])),
        created_at=values.moment(found.get("creation_time"), found.get("com.apple.quicktime.creationdate")),
        duration_is_estimated=estimated,
    )


def no_audio_stream() -> IngestError:
    """The verdict on a file without sound."""
    return failure("no_audio_stream", "The video has no sound, so there is nothing to transcribe.")


def _ffprobe(path: Path, tools: MediaTools) -> tuple[dict[str, Any], bool]:
    """What ffprobe prints, and whether it says that the duration is an estimate. Where the chapters alone are more than
    `run_tool` keeps, the rest is asked for without them."""
    for wanted in ((*_WANTED, "-show_chapters"), _WANTED):
        result = _printed(path, tools, wanted)
        try:
            measured = json.loads(result.stdout) if result.returncode == 0 else {}
            break
        except json.JSONDecodeError:
            measured = {}
    if not measured.get("streams") or not measured.get("format"):
        raise failure("not_media", "The file is no media file that can be read, or it is damaged: check the source.")
    return _trimmed(measured), _ESTIMATED in result.stderr


def _printed(path: Path, tools: MediaTools, wanted: Sequence[str]) -> ToolResult:
    limits: list[str] = [part for name, value in INPUT_LIMITS.items() for part in (f"-{name}", value)]
    return run_tool(
        [tools.ffprobe, "-v", "warning", "-max_alloc", str(MAX_ALLOC), *limits, *wanted, f"file:{path.absolute()}"],
        timeout=min(tools.timeout, _SECONDS),
        reach=tools.reach(path),
    )


def _trimmed(measured: dict[str, Any]) -> dict[str, Any]:
    """Without this machine's path, and bounded."""
    measured["format"].pop("filename", None)
    measured["streams"] = measured["streams"][:_MAX_STREAMS]
    measured["chapters"] = measured.get("chapters", [])[:_MAX_CHAPTERS]
    for owner in (measured["format"], *measured["streams"], *measured["chapters"]):
        if "tags" in owner:
            kept = islice(owner["tags"].items(), _MAX_TAGS)
            owner["tags"] = {str(name)[:100]: str(value)[:_MAX_TEXT] for name, value in kept}
    return measured


def _is_picture(stream: Section) -> bool:
    disposition = stream.get("disposition", {})
    still = disposition.get("attached_pic") or disposition.get("timed_thumbnails")
    return stream.get("codec_type") == "video" and not still


def _is_sound(stream: Section) -> bool:
    return stream.get("codec_type") == "audio"


def _video(stream: Section) -> VideoStream:
    return VideoStream(
        index=stream["index"],
        codec=str(stream.get("codec_name", "unknown")),
        width=values.whole(stream.get("width")),
        height=values.whole(stream.get("height")),
        frame_rate=values.fraction(stream.get("avg_frame_rate")) or values.fraction(stream.get("r_frame_rate")),
        rotation=values.rotation(stream),
        pixel_format=stream.get("pix_fmt"),
        bit_rate=values.statistic(stream, "bit_rate", "bps"),
        duration_seconds=values.duration(stream),
        dynamic_range=values.dynamic_range(stream),
        color_transfer=stream.get("color_transfer"),
        color_primaries=stream.get("color_primaries"),
        bit_depth=values.bit_depth(stream),
        variable_frame_rate=values.variable_frame_rate(stream),
        frames=values.statistic(stream, "nb_frames", "number_of_frames"),
        language=_language(stream),
        dispositions=values.dispositions(stream),
    )


def _audio(stream: Section) -> AudioStream:
    return AudioStream(
        index=stream["index"],
        codec=str(stream.get("codec_name", "unknown")),
        channels=values.whole(stream.get("channels")),
        sample_rate=values.whole(stream.get("sample_rate")),
        language=_language(stream),
        title=values.tags(stream).get("title"),
        default=bool(stream.get("disposition", {}).get("default")),
        bit_rate=values.statistic(stream, "bit_rate", "bps"),
        start_seconds=values.number(stream.get("start_time")),
        duration_seconds=values.duration(stream),
        channel_layout=stream.get("channel_layout"),
        bit_depth=values.bit_depth(stream),
        dispositions=values.dispositions(stream),
    )


def _chapter(section: Section) -> Chapter:
    return Chapter(
        start_seconds=values.number(section.get("start_time")) or 0.0,
        end_seconds=values.number(section.get("end_time")),
        title=values.tags(section).get("title"),
    )


def _language(stream: Section) -> str | None:
    language = values.tags(stream).get("language", "und").strip().lower()
    return None if language in ("", "und", "unk") else language
