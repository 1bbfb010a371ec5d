"""Audio tracks: the sound of a file, written in the profiles that are wanted and measured on the way.

What belongs here: how a chosen sound becomes files, in one pass over the source, and whether they are whole. The sound
itself is not altered. Silence takes the place of a missing start or of a hole, so that a second in the track is that
second of the video.

The pass: one ffmpeg decodes, resamples and writes the files. What it writes first it also sends through a pipe to a
second one, which measures loudness on another core and hands the samples on to us; and it sends us the sound as it was
decoded, since only there clipping can be seen.
"""

import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ffmpeg

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.media.ffmpeg import (
    BIT_EXACT,
    ROOM,
    OnProgress,
    ffmpeg_tool,
    truthful,
    untrusted_input,
    unwatched,
)
from narralytica_ingest.media.findings import Verdict, judge
from narralytica_ingest.media.integrity import MAX_LOST_SHARE, decoding_care, track_findings
from narralytica_ingest.media.measure import ClippingMeter, TrackMeter, loudness, sound_findings
from narralytica_ingest.media.probe import AudioStream, Probe, probe
from narralytica_ingest.media.profiles import PROFILES, SAMPLE_RATE, Profile, muxer_of_copy
from narralytica_ingest.media.run import MAX_ALLOC, Pipe, Tool, ToolResult, run_tool, run_tools
from narralytica_ingest.media.tools import MediaTools, Source
from narralytica_ingest.media.tracks import ChosenTrack

RECIPE = 1
"""Grows with every change here after which the same source gives other bytes or other measures."""

# A decoded sound may change its form in the middle; what is written may not, so its form is stated.
_AS_DECODED = {"format": "s16le", "acodec": "pcm_s16le"}
# What stands before the picture by no more than this is the encoder's run-up: AAC has 1024 to 2112 samples of it, Opus
# up to 80 ms. MP4 says so; of Matroska, MPEG-TS and FLV the file's clock begins with it.
_RUN_UP_SECONDS = 0.1
_LATE_SECONDS = 0.005  # containers round times to milliseconds
_FRAME = 8192  # samples handed over at once: few enough for the caches, many enough to be worth a change of thread
_OVERTIME = 60.0  # seconds beyond the limit that are still read, by which what is longer is known
_DRIFT_SECONDS = 0.1  # by which a container rounds its length
_FLAC_CHANNELS = 8  # more are mixed down to these


@dataclass(frozen=True)
class AudioFile:
    """A track on the worker's disk. `facts` are those of docs/data-model.md; all profiles of a sound share them."""

    profile: str
    path: Path
    language: str | None
    probe: Probe
    facts: dict[str, Any]


def extract_audio(
    source: Source,
    measured: Probe,
    chosen: ChosenTrack,
    profiles: Sequence[str],
    folder: Path,
    tools: MediaTools,
    progress: OnProgress = unwatched,
    verdicts: Mapping[str, Verdict] = MappingProxyType({}),
) -> list[AudioFile]:
    """Writes the chosen sound of `source` into `folder`, one file for each profile, in their order; the same input and
    ffmpeg give the same bytes.

    `progress` gets seconds done and seconds in all (None if unknown); what it raises comes out unchanged. Raises
    IngestError: that of a finding whose verdict is "fail" (`truncated_media`, `empty_track`, … see `findings.py`),
    `undecodable_media` (permanent), `disk_full` (local), `media_timeout`, `media_out_of_memory`. Then no file is left.
    """
    stream = chosen.stream
    total = measured.duration_seconds
    with tempfile.TemporaryDirectory(prefix=".fresh-", dir=folder) as name:
        fresh = Path(name)
        opens = _opens(measured)
        late = (stream.start_seconds or 0.0) - opens
        shift = (measured.start_seconds or 0.0) - opens
        targets = [_Target(PROFILES[profile], fresh, stream, late) for profile in profiles]
        measures, complaints = _pass(source, measured, stream, shift, targets, tools, lambda at: progress(at, total))
        seconds = measures["duration_seconds"]
        found = [*track_findings(measured, stream, seconds, complaints), *sound_findings(measures)]
        recorded = [asdict(each) for each in judge(found, verdicts)]
        facts = measures | chosen.facts() | {"findings": recorded, "made_with": made_with(tools)}
        probes = [_checked(target, seconds, tools) for target in targets]
        files = []
        for target, result in zip(targets, probes, strict=True):
            path = target.path.replace(folder / f"{stream.index}-{target.profile.name}.{result.extension}")
            files.append(AudioFile(target.profile.name, path, chosen.language, result, facts))
    progress(seconds, total)
    return files


def made_with(tools: MediaTools) -> dict[str, Any]:
    """What decides about the bytes beside the source: ffmpeg's version and our recipe."""
    return {"ffmpeg": _version(tools.ffmpeg), "recipe": RECIPE}


def _opens(measured: Probe) -> float:
    """Where the track begins on the file's clock: with the picture (else at zero) where that is a run-up's length after
    the file's start, else with the file."""
    start = measured.start_seconds or 0.0
    shown = {each.index for each in measured.video}
    streams = [each for each in measured.raw["streams"] if each["index"] in shown and "start_time" in each]
    opens = min((float(each["start_time"]) for each in streams), default=max(start, 0.0))
    return opens if 0 < opens - start <= _RUN_UP_SECONDS else start


# ---- the pass ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    """A file to write."""

    profile: Profile
    folder: Path
    stream: AudioStream
    late: float

    @property
    def path(self) -> Path:
        return self.folder / self.profile.name

    @property
    def options(self) -> dict[str, Any]:
        muxer = self.profile.muxer or muxer_of_copy(self.stream.codec, self.late)
        exact = {} if self.profile.options["acodec"] == "copy" else {"flags:a": "+bitexact"}
        large = {"rf64": "auto"} if muxer == "wav" else {}  # RF64 takes over where WAV ends, at 4 GiB
        return {"format": muxer, **BIT_EXACT, **exact, **large, **self.profile.options}


def _pass(
    source: Source,
    measured: Probe,
    stream: AudioStream,
    shift: float,
    targets: Sequence[_Target],
    tools: MediaTools,
    on_seconds: Any,
) -> tuple[dict[str, Any], str]:
    """Reads the source once, writes the targets, and returns the measures and what ffmpeg complained of."""
    meter, clipping = TrackMeter(), ClippingMeter(stream.channels or 1)
    with closing(Pipe()) as to_measure, closing(Pipe(clipping.add)) as as_decoded:
        limit = tools.max_seconds + _OVERTIME
        wanted = _outputs(source, stream, shift, targets, to_measure, as_decoded, limit)
        largest = _largest(measured.size_bytes, targets, limit)
        reach = tools.reach(source, writes=[target.path for target in targets], largest=largest)
        results = run_tools(
            [
                ffmpeg_tool(ffmpeg.merge_outputs(*wanted), tools, on_seconds, reach, writes=[to_measure, as_decoded]),
                Tool(_measuring(tools), on_bytes=meter.add, reads=to_measure, reach=tools.reach()),
            ],
            timeout=tools.timeout,
        )
    written, measuring = truthful(results[0]), results[1]
    measures = meter.result(SAMPLE_RATE)
    if measures["duration_seconds"] > tools.max_seconds + _OVERTIME / 2:
        raise failure("too_long", f"The sound lasts longer than the limit of {tools.max_seconds:.0f} seconds.")
    # Where nothing was decoded the second one has nothing to open; otherwise, if it dies, the first one does, too.
    unheard = measuring.returncode != 0
    if unheard and not (measures["duration_seconds"] == 0 and "Invalid data found" in measuring.stderr):
        raise failure("unexpected", f"The sound could not be measured: {measuring.stderr[-200:]}")
    if written.returncode != 0:
        raise _failed(written)
    heard = loudness(measuring.stderr) | {"true_peak_dbtp": measures.pop("true_peak_dbtp")}
    return measures | {"loudness": heard, "clipping_share": clipping.result()}, written.stderr


def _outputs(
    source: Source,
    stream: AudioStream,
    shift: float,
    targets: Sequence[_Target],
    to_measure: Pipe,
    as_decoded: Pipe,
    seconds: float,
) -> list[Any]:
    # What lies beyond the limit is not read: where clocks jump there, silence would fill the days in between.
    options: dict[str, Any] = {"vn": None, "sn": None, "dn": None, "itsoffset": f"{shift:.6f}", "t": f"{seconds:.3f}"}
    sound = untrusted_input(source, **options, **decoding_care(stream))[str(stream.index)]
    decoded = sound.filter("asetnsamples", n=_FRAME, p=0)
    form = {"ar": stream.sample_rate or SAMPLE_RATE, "ac": stream.channels or 1}
    outputs = [
        ffmpeg.output(decoded, as_decoded.name, max_error_rate=MAX_LOST_SHARE, **_AS_DECODED, **form),
    ]
    mono = [target for target in targets if target.profile.mono]
    lossless = next((target for target in mono if target.profile.options["acodec"] in ("flac", "pcm_s16le")), None)
    copies = iter(_one_channel(_in_time(sound, targets[0].late), len(mono) + (lossless is None)))
    if lossless is None:
        options = {"format": "flac", "acodec": "flac", "sample_fmt": "s16", "compression_level": 0}
        outputs.append(ffmpeg.output(next(copies), to_measure.name, **options))
    for target in targets:
        name, options = f"file:{target.path.absolute()}", target.options
        if target.profile.name == "original":
            outputs.append(ffmpeg.output(sound, name, **options))
        elif not target.profile.mono:
            kept = _in_time(sound, target.late, SAMPLE_RATE)
            outputs.append(ffmpeg.output(kept, name, ac=min(stream.channels or 1, _FLAC_CHANNELS), **options))
        elif target is lossless:
            outputs.append(_twice(next(copies), name, to_measure.name, options))
        else:
            outputs.append(ffmpeg.output(next(copies), name, **options))
    return outputs


def _largest(size_bytes: int, targets: Sequence[_Target], seconds: float) -> int:
    """The most bytes of a file: uncoded samples and a tenth; of a copy, whose packets may be tiny, four times them."""
    channels = 1 if all(target.profile.mono for target in targets) else _FLAC_CHANNELS
    copied = 4 * size_bytes if any(target.profile.name == "original" for target in targets) else 0
    return ROOM + max(copied, int(1.1 * seconds * SAMPLE_RATE * 2 * channels))


def _in_time(sound: Any, late: float, *rate: int) -> Any:
    """Silence takes the place of a missing start and of holes; what is before the start is cut off.

    Where a sound changes its form in the middle (broadcasts do, between stereo and surround), ffmpeg makes its filters
    anew, and one that pads from zero would pad again, by all that went before. So only a missing start is padded.
    """
    padding = {"first_pts": 0} if late > _LATE_SECONDS else {}
    return sound.filter("aresample", *rate, **{"async": 1}, **padding).filter("atrim", start=0)


def _one_channel(sound: Any, copies: int) -> list[Any]:
    resampled = sound.filter("aformat", sample_fmts="s16", sample_rates=SAMPLE_RATE, channel_layouts="mono")
    if copies == 1:
        return [resampled]
    split = resampled.filter_multi_output("asplit", copies)
    return [split[number] for number in range(copies)]


def _twice(sound: Any, name: str, pipe: str, options: Mapping[str, Any]) -> Any:
    """Encoded once, written to a file and to a pipe."""
    kept = {key: value for key, value in options.items() if key not in ("format", "rf64")}
    own = "".join(f":{key}={options[key]}" for key in ("rf64",) if key in options)
    quoted = name.replace("'", r"'\''")
    slaves = f"[f={options['format']}{own}]'{quoted}'|[f={options['format']}]{pipe}"
    return ffmpeg.output(sound, slaves, format="tee", **kept)


def _measuring(tools: MediaTools) -> list[str | Path]:
    """The second ffmpeg: it reads the track, says its loudness at the end, and hands the samples on."""
    return [
        *(tools.ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-v", "info", "-max_alloc", str(MAX_ALLOC)),
        *("-protocol_whitelist", "pipe", "-format_whitelist", "flac,wav", "-threads", "1", "-i", "pipe:0"),
        *("-af", "ebur128=framelog=verbose", "-ar", str(SAMPLE_RATE), "-ac", "1", "-f", "s16le", "pipe:1"),
    ]


# ---- what came out -------------------------------------------------------------------------------------------------


def _checked(target: _Target, seconds: float, tools: MediaTools) -> Probe:
    """Measures a written file, which must be as long as the sound that was decoded."""
    result = probe(target.path, tools)
    length = result.duration_seconds
    if target.profile.name != "original" and (length is None or abs(length - seconds) > _DRIFT_SECONDS):
        raise failure(
            "unexpected", f"The {target.profile.name} track has {length} s where {seconds:.2f} s were decoded."
        )
    return result


@cache
def _version(program: Path) -> str:
    said = run_tool([program, "-version"], timeout=10).stdout.split()
    return said[2] if len(said) > 2 else "unknown"


def _failed(result: ToolResult) -> IngestError:
    if "No space left" in result.stderr:
        return failure("disk_full", "The worker's disk is full: free some space; the job waits.")
    # The kernel kills what takes the machine's last memory.
    if "Cannot allocate memory" in result.stderr or result.returncode == -signal.SIGKILL:
        return failure("media_out_of_memory", "ffmpeg ran out of memory.")
    return failure("undecodable_media", "The sound of the file cannot be decoded: it is damaged; submit a whole copy.")
