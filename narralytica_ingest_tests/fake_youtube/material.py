"""The files that the fake YouTube serves: pictures of several sizes, sound in several languages, and both in one.

Each is made with ffmpeg from the bundled clip, and no two have the same packets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest_tests.source_server.streams import HLS, ffmpeg

SECONDS = 4.0
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "36", "-pix_fmt", "yuv420p", "-g", "25", "-an")
_PICTURES = {"1440": "2560:1440", "1080": "1920:1080", "720": "1280:720", "144": "256:144", "tall": "1080:1920"}
_SOUNDS = {"original": "1.0", "dubbed": "0.5", "described": "0.25", "other": "0.125"}


@dataclass(frozen=True)
class Stream:
    """A format as the site offers it: a file of the material, and what the site says about it."""

    itag: str
    file: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def make_material(folder: Path, tools: MediaTools) -> Path:
    """Writes `picture-<size>.mp4`, `sound-<kind>.m4a`, `sound-opus.webm`, `both.mp4`, `hls/` and `thumbnail.jpg`."""
    seconds = ("-t", str(SECONDS))
    for size, scale in _PICTURES.items():
        ffmpeg(tools, *seconds, "-vf", f"scale={scale}", *_H264, folder / f"picture-{size}.mp4")
    for kind, volume in _SOUNDS.items():
        ffmpeg(tools, *seconds, "-vn", "-af", f"volume={volume}", "-c:a", "aac", folder / f"sound-{kind}.m4a")
    ffmpeg(tools, *seconds, "-vn", "-c:a", "libopus", folder / "sound-opus.webm")
    both = folder / "both.mp4"
    ffmpeg(tools, *seconds, *_H264[:-1], "-vf", "scale=640:360", "-c:a", "aac", "-movflags", "+faststart", both)
    (folder / "hls").mkdir()
    segments = ["-hls_segment_filename", str(folder / "hls" / "%d.ts")]
    ffmpeg(tools, *HLS, *segments, folder / "hls" / "index.m3u8", source=both)
    ffmpeg(tools, "-frames:v", "1", "-q:v", "5", folder / "thumbnail.jpg")
    return folder


def picture(itag: str, size: str, **facts: Any) -> Stream:
    """A picture without sound."""
    width, height = (int(part) for part in _PICTURES[size].split(":"))
    quality = {"1440": 10, "1080": 9, "720": 8, "144": 0, "tall": 9}[size]
    declared = {"ext": "mp4", "container": "mp4_dash", "vcodec": "avc1.640028", "acodec": "none", "fps": 25}
    declared |= {"width": width, "height": height, "quality": quality, "format_note": f"{min(width, height)}p"}
    return Stream(itag, f"picture-{size}.mp4", declared | facts)


def sound(kind: str = "original", language: str | None = None, itag: str = "140", **facts: Any) -> Stream:
    """Sound without picture, marked as the real site's formats are: `kind` says whose voice it is."""
    preference = {"original": 10, "dubbed": -1, "described": -10, "other": 5}[kind]
    note = {"original": "original", "dubbed": "dubbed-auto", "described": "descriptive", "other": "(default)"}[kind]
    declared: dict[str, Any] = {"ext": "m4a", "container": "m4a_dash", "vcodec": "none", "acodec": "mp4a.40.2"}
    declared |= {"quality": 3, "tbr": 128, "format_note": f"{language} {note}, medium" if language else "medium"}
    if language is not None:
        tag = f"{language}-desc" if kind == "described" else language
        declared |= {"language": tag, "language_preference": preference}
    return Stream(itag, f"sound-{kind}.m4a", declared | facts)


def opus(language: str | None = None) -> Stream:
    """The original sound as Opus in WebM, which the real site offers for nearly every video."""
    facts = {"ext": "webm", "container": "webm_dash", "acodec": "opus", "tbr": 130}
    stream = sound("original", language, "251", **facts)
    return Stream(stream.itag, "sound-opus.webm", stream.facts)


def both(**facts: Any) -> Stream:
    """Picture and sound in one small file, the site's format 18."""
    declared = {"ext": "mp4", "vcodec": "avc1.42001E", "acodec": "mp4a.40.2", "width": 640, "height": 360}
    return Stream("18", "both.mp4", declared | {"quality": 6, "format_note": "360p", "fps": 25} | facts)


USUAL = (picture("137", "1080"), picture("136", "720"), picture("160", "144"), sound(), both())
