"""What is to be said of a video as it is recorded: the judgement behind each asset check. Pure functions.

They judge nothing anew. Whether a file may be used at all was decided before it was committed (`media/findings.py`),
and what was only noticed then stands in its facts: a check repeats that, so that tables and UI never disagree.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from narralytica_ingest.shown.tables import known
from narralytica_ingest.store.artifacts import MediaFile
from narralytica_ingest.store.recorded import Recorded

Faults = Mapping[str, str]
"""What is wrong with objects of the bucket, by key."""

# Which findings a check repeats. Every code of `media/findings.py` stands in exactly one.
WHOLE = ("truncated_media", "damaged_media", "gaps", "no_audio_stream")
MATCHING = ("duration_differs",)
AUDIBLE = ("empty_track", "silent_track", "clipped")

# What a row always has if this version made it.
REQUIRED: tuple[str, ...] = ("title", "source", "source_id", "read_at", "measured_container", "measured_audio_codec")
REQUIRED += ("measured_duration_seconds", "measured_size_bytes")

_NOT_MEASURED = "Not measured: it was stored before this was recorded. Ingest it anew (`submit --force`) to know."


@dataclass(frozen=True)
class Verdict:
    """What a check says. `grave`: who uses the video is harmed; else it is worth a look."""

    passed: bool
    said: str
    grave: bool = False
    shown: dict[str, Any] = field(default_factory=dict)


Judge = Callable[[Recorded, Faults], Verdict]


def stored(*kinds: str) -> Judge:
    """Whether the bucket has every file of these kinds, of which the first must be there, as it was stored."""

    def judge(video: Recorded, faults: Faults) -> Verdict:
        files = video.of_kinds(*kinds)
        if not video.of_kinds(kinds[0]):
            return Verdict(False, f"The tables have no {kinds[0]} of it.", grave=True)
        wrong = [f"{file.kind} {faults[file.object_key]}" for file in files if file.object_key in faults]
        if wrong:
            return Verdict(False, f"{'; '.join(wrong)}: `narralytica-ingest verify --mend` puts it right.", grave=True)
        size = sum(file.size_bytes for file in files)
        return Verdict(True, "In the bucket, with size and SHA-256 as recorded.", shown=_objects(files, size))

    return judge


def whole(video: Recorded, _: Faults) -> Verdict:
    """Whether the original is complete and can be decoded throughout."""
    return _repeated(video.of_kinds("raw_video"), WHOLE, "Complete, and readable from end to end.")


def matches_video(video: Recorded, _: Faults) -> Verdict:
    """Whether the sound is as long as the video."""
    tracks = video.of_kinds("audio_track")
    originals = video.of_kinds("raw_video")
    verdict = _repeated([*tracks, *originals], MATCHING, "As long as the video.")
    shown = known(video_seconds=next(map(_duration, originals), None), audio_seconds=next(map(_duration, tracks), None))
    return Verdict(verdict.passed, verdict.said, verdict.grave, shown | verdict.shown)


def audible(video: Recorded, _: Faults) -> Verdict:
    """Whether there is something to hear: neither silence nor clipped throughout."""
    tracks = video.of_kinds("audio_track")
    verdict = _repeated(tracks, AUDIBLE, "There is sound, and it is not overdriven.")
    facts: Mapping[str, Any] = next((file.facts for file in tracks if file.facts), {})
    shown = known(
        integrated_lufs=(facts.get("loudness") or {}).get("integrated_lufs"),
        silence_share=facts.get("silence_share"),
        clipping_share=facts.get("clipping_share"),
    )
    return Verdict(verdict.passed, verdict.said, verdict.grave, shown | verdict.shown)


def complete(video: Recorded, _: Faults) -> Verdict:
    """Whether the row of metadata has all that can be known of any video. What only some sources state may be open."""
    row = video.metadata
    if row is None:
        return Verdict(False, "The tables have no metadata of it.", grave=True)
    missing = [name for name in REQUIRED if row.get(name) is None]
    if missing:
        return Verdict(False, f"Unknown: {', '.join(missing)}. Materialize video_metadata anew.")
    left = sorted(name for name, value in row.items() if value is None)
    return Verdict(True, "All that can be known of any video is there.", shown={"left_open": ", ".join(left)})


def _repeated(files: list[MediaFile], codes: tuple[str, ...], fine: str) -> Verdict:
    """What was noticed when these files were made, of these codes."""
    if not files:
        return Verdict(False, "The tables have no such file of it.", grave=True)
    if files[0].facts is None:
        return Verdict(False, _NOT_MEASURED)
    findings = [each for file in files for each in (file.facts or {}).get("findings") or [] if each["code"] in codes]
    if not findings:
        return Verdict(True, fine)
    # Tracks of several profiles are made of the same sound, and say the same.
    said = dict.fromkeys(str(each["message"]) for each in findings)
    return Verdict(False, " ".join(said), shown={"findings": ", ".join(sorted({each["code"] for each in findings}))})


def _duration(file: MediaFile) -> float | None:
    return (file.facts or {}).get("duration_seconds") or (file.probe or {}).get("duration_seconds")


def _objects(files: list[MediaFile], size: int) -> dict[str, Any]:
    return {"objects": len(files), "size_bytes": size}
