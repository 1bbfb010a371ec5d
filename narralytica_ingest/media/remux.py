"""One file from several streams, without touching what they hold.

What belongs here: joining what a segmented source was fetched as (picture and sound apart, or concatenated segments)
into one container that any player takes. The same streams give the same bytes.
"""

from collections.abc import Sequence
from pathlib import Path

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.media.ffmpeg import BIT_EXACT, OnProgress, untrusted_input, unwatched, write_file
from narralytica_ingest.media.probe import Probe, probe
from narralytica_ingest.media.tools import MediaTools

_MP4 = {"h264", "hevc", "av1", "mpeg4", "aac", "mp3", "ac3", "eac3", "alac"}
_WEBM = {"vp8", "vp9", "av1", "opus", "vorbis"}


def join_streams(
    parts: Sequence[Path],
    folder: Path,
    tools: MediaTools,
    progress: OnProgress = unwatched,
) -> Path:
    """Writes `original.<ext>` into `folder` with every picture and sound track of `parts`, and returns it.

    MP4 where it takes the codecs, else WebM, else Matroska. Raises IngestError: `not_media`, `undecodable_media`
    (permanent), `disk_full` (local), `media_timeout`.
    """
    probes = [probe(part, tools) for part in parts]
    extension, muxer = _container(probes)
    total = max((each.duration_seconds or 0.0 for each in probes), default=0.0) or None
    begin = min((each.start_seconds or 0.0 for each in probes), default=0.0)
    streams = []
    for part, measured in zip(parts, probes, strict=True):
        # ffmpeg lets each input begin at zero; the parts share one clock, so a part that begins later stays later.
        source = untrusted_input(part, itsoffset=f"{(measured.start_seconds or 0.0) - begin:.6f}")
        streams += [source[str(stream.index)] for stream in measured.streams]
    options = {"c": "copy", "format": muxer, **BIT_EXACT}
    if muxer == "mp4":
        options["movflags"] = "+faststart"
    target = folder / f"original.{extension}"
    result = write_file(streams, parts, target, tools, lambda seconds: progress(seconds, total), **options)
    if result.returncode != 0:
        raise _failed(result.stderr)
    return target


def _container(probes: Sequence[Probe]) -> tuple[str, str]:
    codecs = {stream.codec for each in probes for stream in each.streams}
    if codecs <= _MP4:
        return ("mp4" if any(each.video for each in probes) else "m4a"), "mp4"
    if codecs <= _WEBM:
        return "webm", "webm"
    return "mkv", "matroska"


def _failed(complaints: str) -> IngestError:
    if "No space left" in complaints:
        return failure("disk_full", "The worker's disk is full: free some space; the job waits.")
    return failure("undecodable_media", "The fetched streams cannot be joined into one file: they are damaged.")
