"""What a media file is, measured by ffprobe.

What belongs here: facts about a local file, as typed values. Judging them (is the sound whole, is it long enough)
belongs to the modules that need the judgement.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.media.containers import CONTENT_TYPES, container_of, looks_like_html
from narralytica_ingest.media.run import INPUT_LIMITS, MAX_ALLOC, run_tool
from narralytica_ingest.media.tools import MediaTools

_MAX_STREAMS = 100
_MAX_TEXT = 4000
_WANTED = ("-print_format", "json", "-show_format", "-show_streams", "-show_chapters")


@dataclass(frozen=True)
class VideoStream:
    """A picture track. `frame_rate` is frames per second, `rotation` degrees counter-clockwise; None is unknown."""

    index: int
    codec: str
    width: int | None
    height: int | None
    frame_rate: float | None
    rotation: int | None
    pixel_format: str | None
    bit_rate: int | None
    duration_seconds: float | None


@dataclass(frozen=True)
class AudioStream:
    """A sound track. `sample_rate` is hertz, `start_seconds` on the file's own clock; None is unknown."""

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


@dataclass(frozen=True)
class Probe:
    """What ffprobe measured. `extension` and `content_type` depend on the bytes alone, never on the file's name."""

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
    raw = _ffprobe(path, tools)
    streams = raw["streams"]
    video = tuple(_video(each) for each in streams if _is_picture(each))
    audio = tuple(_audio(each) for each in streams if each.get("codec_type") == "audio")
    if not video and not audio:
        raise failure("not_media", "The file holds neither picture nor sound: check the source.")
    if audio_needed and not audio:
        raise no_audio_stream()
    form = raw["format"]
    container, extension = container_of(path, str(form.get("format_name", "")), has_video=bool(video))
    return Probe(
        container=container,
        extension=extension,
        content_type=CONTENT_TYPES.get(extension, "application/octet-stream"),
        size_bytes=size,
        start_seconds=_number(form.get("start_time")),
        duration_seconds=_number(form.get("duration")),
        bit_rate=_whole(form.get("bit_rate")),
        video=video,
        audio=audio,
        tags=_tags(form),
        raw=raw,
    )


def no_audio_stream() -> IngestError:
    """The verdict on a file without sound."""
    return failure("no_audio_stream", "The video has no sound, so there is nothing to transcribe.")


def _ffprobe(path: Path, tools: MediaTools) -> dict[str, Any]:
    limits: list[str] = [part for name, value in INPUT_LIMITS.items() for part in (f"-{name}", value)]
    result = run_tool(
        [tools.ffprobe, "-v", "error", "-max_alloc", str(MAX_ALLOC), *limits, *_WANTED, f"file:{path.absolute()}"],
        timeout=min(tools.timeout, 120.0),
    )
    try:
        measured = json.loads(result.stdout) if result.returncode == 0 else {}
    except json.JSONDecodeError:
        measured = {}
    if not measured.get("streams") or not measured.get("format"):
        raise failure("not_media", "The file is no media file that can be read, or it is damaged: check the source.")
    return _trimmed(measured)


def _trimmed(measured: dict[str, Any]) -> dict[str, Any]:
    """Without this machine's path, and bounded."""
    measured["format"].pop("filename", None)
    measured["streams"] = measured["streams"][:_MAX_STREAMS]
    measured["chapters"] = measured.get("chapters", [])[:1000]
    for owner in (measured["format"], *measured["streams"], *measured["chapters"]):
        if "tags" in owner:
            owner["tags"] = {str(name)[:100]: str(value)[:_MAX_TEXT] for name, value in owner["tags"].items()}
    return measured


def _is_picture(stream: dict[str, Any]) -> bool:
    disposition = stream.get("disposition", {})
    still = disposition.get("attached_pic") or disposition.get("timed_thumbnails")
    return stream.get("codec_type") == "video" and not still


def _video(stream: dict[str, Any]) -> VideoStream:
    turned = [each["rotation"] for each in stream.get("side_data_list", []) if "rotation" in each]
    rotation = turned[0] if turned else _tags(stream).get("rotate")
    return VideoStream(
        index=stream["index"],
        codec=str(stream.get("codec_name", "unknown")),
        width=_whole(stream.get("width")),
        height=_whole(stream.get("height")),
        frame_rate=_fraction(stream.get("avg_frame_rate")) or _fraction(stream.get("r_frame_rate")),
        rotation=_whole(rotation),
        pixel_format=stream.get("pix_fmt"),
        bit_rate=_whole(stream.get("bit_rate")),
        duration_seconds=_duration(stream),
    )


def _audio(stream: dict[str, Any]) -> AudioStream:
    tags = _tags(stream)
    language = tags.get("language", "und").strip().lower()
    return AudioStream(
        index=stream["index"],
        codec=str(stream.get("codec_name", "unknown")),
        channels=_whole(stream.get("channels")),
        sample_rate=_whole(stream.get("sample_rate")),
        language=None if language in ("", "und", "unk") else language,
        title=tags.get("title"),
        default=bool(stream.get("disposition", {}).get("default")),
        bit_rate=_whole(stream.get("bit_rate")),
        start_seconds=_number(stream.get("start_time")),
        duration_seconds=_duration(stream),
    )


def _duration(stream: dict[str, Any]) -> float | None:
    """The track's own length. Matroska keeps its end in a tag, `00:00:10.005000000`."""
    length = _number(stream.get("duration"))
    if length is None and (tagged := _tags(stream).get("duration")):
        hours, _, rest = tagged.partition(":")
        minutes, _, seconds = rest.partition(":")
        parts = [_number(each) for each in (hours, minutes, seconds)]
        if None not in parts:
            end = sum(each * unit for each, unit in zip(parts, (3600, 60, 1), strict=True) if each is not None)
            length = max(0.0, end - max(0.0, _number(stream.get("start_time")) or 0.0))
    return length


def _tags(owner: dict[str, Any]) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in owner.get("tags", {}).items()}


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _fraction(value: Any) -> float | None:
    above, _, below = str(value).partition("/")
    top, bottom = _number(above), _number(below or 1)
    return round(top / bottom, 3) if top and bottom else None
