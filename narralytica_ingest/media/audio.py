"""The audio track for speech recognition: 16 kHz, mono, 16 bit, FLAC.

What belongs here: which sound of a file is taken, how it is written, and whether it is whole. The sound itself is not
altered. Silence takes the place of a missing start or of a hole, so that a second in the track is that second of the
video.
"""

from dataclasses import dataclass
from pathlib import Path

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.media.ffmpeg import BIT_EXACT, OnProgress, untrusted_input, unwatched, write_file
from narralytica_ingest.media.integrity import demuxed_seconds, is_short, truncated
from narralytica_ingest.media.probe import AudioStream, Probe, no_audio_stream, probe
from narralytica_ingest.media.tools import MediaTools

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class AudioFacts:
    """What was extracted: from which stream (ffprobe's index) and how long it is. `complaints` is what ffmpeg said."""

    stream_index: int
    language: str | None
    duration_seconds: float
    sample_rate: int
    channels: int
    codec: str
    complaints: str


def extract_audio(
    source: Path,
    target: Path,
    source_probe: Probe,
    tools: MediaTools,
    progress: OnProgress = unwatched,
) -> AudioFacts:
    """Writes the track of `source` to `target` (a `.flac`); the same input gives the same bytes.

    `progress` gets seconds done and seconds in all (None if unknown); what it raises comes out unchanged.
    Raises IngestError: `no_audio_stream`, `undecodable_media`, `truncated_media` (permanent), `media_timeout`.
    """
    stream = choose_stream(source_probe)
    total = source_probe.duration_seconds
    sound = untrusted_input(source, vn=None, sn=None, dn=None)[str(stream.index)]
    result = write_file(
        [sound.filter("aresample", **{"async": 1, "first_pts": 0})],
        target,
        tools,
        lambda seconds: progress(seconds, total),
        ar=SAMPLE_RATE,
        ac=1,
        sample_fmt="s16",
        acodec="flac",
        format="flac",
        **BIT_EXACT,
        **{"flags:a": "+bitexact"},
    )
    if result.returncode != 0:
        raise _failed(result.stderr)
    written = _written_seconds(target, tools)
    try:
        _require_whole(source, source_probe, stream, written, tools)
    except IngestError:
        target.unlink()
        raise
    progress(written, total)
    return AudioFacts(stream.index, stream.language, written, SAMPLE_RATE, 1, "flac", result.stderr[-2000:])


def choose_stream(source_probe: Probe) -> AudioStream:
    """The one that the file marks as default, else its first. Raises IngestError `no_audio_stream`."""
    if not source_probe.audio:
        raise no_audio_stream()
    return next((each for each in source_probe.audio if each.default), source_probe.audio[0])


def _written_seconds(target: Path, tools: MediaTools) -> float:
    try:
        return probe(target, tools).duration_seconds or 0.0
    except IngestError as error:
        if error.code != "not_media":
            raise
        return 0.0


def _require_whole(source: Path, source_probe: Probe, stream: AudioStream, written: float, tools: MediaTools) -> None:
    """Compares what came out with what was announced; a container that announces nothing cannot be short."""
    if stream.duration_seconds is not None:
        start = (stream.start_seconds or 0.0) - (source_probe.start_seconds or 0.0)
        announced = max(0.0, start) + stream.duration_seconds
        if not is_short(written, announced):
            return
    elif source_probe.duration_seconds is not None:
        announced = source_probe.duration_seconds
        # The sound may simply end before the picture does: then the file itself is still as long as it says.
        if not is_short(written, announced) or not is_short(demuxed_seconds(source, tools), announced):
            return
    elif written > 0:
        return
    else:
        announced = 0.0
    raise truncated(announced, written)


def _failed(complaints: str) -> IngestError:
    if "No space left" in complaints:
        return failure("disk_full", "The worker's disk is full: free some space; the job waits.")
    if "Cannot allocate memory" in complaints:
        return failure("media_out_of_memory", "ffmpeg ran out of memory.")
    return failure("undecodable_media", "The sound of the file cannot be decoded: it is damaged; submit a whole copy.")
