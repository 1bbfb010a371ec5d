"""What each asset shows. The arguments are what stands in the tables: a probe, facts, a row of metadata."""

from collections.abc import Mapping
from typing import Any

from narralytica_ingest.shown.pictures import waveform
from narralytica_ingest.shown.tables import Shown, clock, known, tables

Facts = Mapping[str, Any]

_STREAM = {"stream": "int", "type": "string", "codec": "string", "details": "string", "language": "string"}
_STREAM |= {"title": "string", "duration": "string", "bit_rate": "int"}
_SOUND = {"stream": "int", "what": "string", "codec": "string", "channels": "int", "sample_rate": "int"}
_SOUND |= {"language": "string", "title": "string"}
_CHAPTER = {"start": "string", "end": "string", "title": "string"}
_PAIR = {"value": "string", "declared": "string", "measured": "string"}
_FIELD = {"field": "string", "value": "string", "from": "string"}
_FINDING = {"code": "string", "message": "string"}

# Shown in tables of their own, or of use to programs alone.
_NOT_FIELDS = ("video_id", "generation", "lease_epoch", "origins", "chapters")


def shown_original(probe: Facts | None, facts: Facts | None) -> Shown:
    """Length, picture and sound of the original, its streams and chapters, and what was noticed about it."""
    if not probe:
        return {}
    picture: Facts = next(iter(probe.get("video") or []), {})
    sounds = probe.get("audio") or []
    return known(
        duration_seconds=_rounded(probe.get("duration_seconds")),
        container=probe.get("container"),
        resolution=f"{picture['width']}x{picture['height']}" if picture.get("width") else None,
        video_codec=picture.get("codec"),
        audio_codec=sounds[0].get("codec") if sounds else None,
        audio_streams=len(sounds),
    ) | tables(
        streams=(_STREAM, _streams(probe)),
        chapters=(_CHAPTER, _chapters_of_file(probe)),
        findings=(_FINDING, list((facts or {}).get("findings") or [])),
    )


def shown_audio(probe: Facts | None, facts: Facts | None) -> Shown:
    """Length, picture and loudness of an audio track, which sound it was made of, and what was noticed about it."""
    sound: Facts = next(iter((probe or {}).get("audio") or []), {})
    facts = facts or {}
    loudness: Facts = facts.get("loudness") or {}
    return known(
        waveform=waveform(facts.get("waveform") or ()),
        duration_seconds=_rounded(facts.get("duration_seconds") or (probe or {}).get("duration_seconds")),
        codec=sound.get("codec"),
        sample_rate=sound.get("sample_rate"),
        channels=sound.get("channels"),
        integrated_lufs=loudness.get("integrated_lufs"),
        loudness_range_lu=loudness.get("range_lu"),
        true_peak_dbtp=loudness.get("true_peak_dbtp"),
        silence_share=facts.get("silence_share"),
        clipping_share=facts.get("clipping_share"),
        chosen=facts.get("chosen"),
    ) | tables(sounds=(_SOUND, _sounds(facts)), findings=(_FINDING, list(facts.get("findings") or [])))


def shown_metadata(row: Facts) -> Shown:
    """What the source declares against what was measured, chapters, and each value with where it is from."""
    origins: Facts = row.get("origins") or {}
    fields = [
        {"field": name, "value": value, "from": origins.get(name)}
        for name, value in row.items()
        if value is not None and name not in _NOT_FIELDS and not name.startswith(("declared_", "measured_"))
    ]
    chapters = [
        {"start": clock(each.get("start_seconds")), "end": clock(each.get("end_seconds")), "title": each.get("title")}
        for each in row.get("chapters") or []
    ]
    return tables(metadata=(_FIELD, fields), declared_and_measured=(_PAIR, _pairs(row)), chapters=(_CHAPTER, chapters))


def _pairs(row: Facts) -> list[dict[str, Any]]:
    """One line for each value that is declared or measured, in the order of the row."""
    names = dict.fromkeys(
        name.split("_", 1)[1]
        for name, value in row.items()
        if value is not None and name.startswith(("declared_", "measured_"))
    )
    return [
        {"value": name, "declared": row.get(f"declared_{name}"), "measured": row.get(f"measured_{name}")}
        for name in names
    ]


def _streams(probe: Facts) -> list[dict[str, Any]]:
    pictures = [{"type": "picture", "details": _picture(each)} | _common(each) for each in probe.get("video") or []]
    sounds = [{"type": "sound", "details": _sound(each)} | _common(each) for each in probe.get("audio") or []]
    return sorted([*pictures, *sounds], key=lambda each: each["stream"] or 0)


def _common(stream: Facts) -> dict[str, Any]:
    same = {name: stream.get(name) for name in ("codec", "language", "title", "bit_rate")}
    return same | {"stream": stream.get("index"), "duration": clock(stream.get("duration_seconds"))}


def _picture(stream: Facts) -> str:
    size = f"{stream['width']}x{stream['height']}" if stream.get("width") else None
    rate = f"{stream['frame_rate']:g} frames/s" if stream.get("frame_rate") else None
    turned = f"turned {stream['rotation']}°" if stream.get("rotation") else None
    return ", ".join(str(each) for each in (size, rate, stream.get("pixel_format"), turned) if each)


def _sound(stream: Facts) -> str:
    count = stream.get("channels")
    channels = f"{count} channel{'s' if count > 1 else ''}" if count else None
    rate = f"{stream['sample_rate']} Hz" if stream.get("sample_rate") else None
    return ", ".join(each for each in (channels, rate, "default" if stream.get("default") else None) if each)


def _sounds(facts: Facts) -> list[dict[str, Any]]:
    """The sound that was taken, then the others."""
    taken = [{"what": "taken"} | dict(facts["source_stream"])] if facts.get("source_stream") else []
    others = [{"what": each.get("kind")} | dict(each) for each in facts.get("others") or []]
    return [{"stream": each.get("index")} | each for each in [*taken, *others]]


def _chapters_of_file(probe: Facts) -> list[dict[str, Any]]:
    chapters = (probe.get("raw") or {}).get("chapters") or []
    return [
        {
            "start": clock(_seconds(each.get("start_time"))),
            "end": clock(_seconds(each.get("end_time"))),
            "title": (each.get("tags") or {}).get("title"),
        }
        for each in chapters
    ]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _seconds(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
