"""Which sounds of a file are taken: the original language's, and those of further languages that are wanted.

What belongs here: pure decisions over what ffprobe measured and what the source says. The order of trust:

1. what the track is: the sound of the picture before any dub, and commentary or effects last (`track_kinds.py`); a
   track that stops before half of the longest one is not the sound of the picture;
2. the track's own word that it is the original;
3. the language that the source calls the original;
4. the file's default;
5. more channels, then a bit rate that is not far below another's: translations and compatibility mixes have less;
6. the place in the file.

The same words as for formats at the download (`sources/formats.py`): never a dub where the original is there, audio
description and commentary only where nothing else is. There a missing original fails, since the next extraction may
bring it; here nothing else will come, so the best is taken and the facts say what it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from narralytica_ingest.media.probe import AudioStream, Probe, no_audio_stream
from narralytica_ingest.media.track_kinds import Kind, is_original, kind_of

OtherKind = Literal["dub", "commentary", "description", "other"]

# How far a kind is from what is said in the original; `partial` is what stops early, `absent` what never came.
_DISTANCE = {
    "plain": 0,
    "clear": 1,
    "description": 2,
    "dub": 3,
    "partial": 4,
    "commentary": 5,
    "wordless": 6,
    "absent": 7,
}
_IN_WORDS: dict[Kind, str] = {
    "clear": "a mix for the hard of hearing",
    "description": "an audio description",
    "dub": "a dub",
    "commentary": "a commentary",
    "wordless": "music or effects without speech",
}
_SPOKEN: set[Kind] = {"plain", "clear", "dub"}
_PART = 0.5  # of the longest track
_POOR = 0.5  # of the greatest bit rate
_SAME_LANGUAGE = 1  # langcodes' distance between two names of one language (`no`, `nb`); Danish to Norwegian is 12


@dataclass(frozen=True)
class OtherTrack:
    """A track that was not taken, and what it seems to be."""

    stream: AudioStream
    kind: OtherKind


@dataclass(frozen=True)
class ChosenTrack:
    """A track to extract. `language` is its BCP 47 tag (None: unknown), `why` one or more whole sentences."""

    stream: AudioStream
    language: str | None
    why: str
    others: tuple[OtherTrack, ...]

    def facts(self) -> dict[str, Any]:
        """Which sound was chosen, why, and what else there was, as docs/data-model.md describes it."""
        others = [_described(each.stream) | {"kind": each.kind} for each in self.others]
        return {"source_stream": _described(self.stream), "chosen": self.why, "others": others}


def _described(stream: AudioStream) -> dict[str, Any]:
    return {name: getattr(stream, name) for name in ("index", "codec", "channels", "sample_rate", "language", "title")}


@dataclass(frozen=True)
class _Track:
    """A track as it is judged: `kind` by its words, `language` as BCP 47, `partial` by its length."""

    stream: AudioStream
    kind: Kind
    language: str | None
    partial: bool
    poor: bool

    @property
    def is_speech(self) -> bool:
        return self.kind in _SPOKEN and self.distance < _DISTANCE["absent"]

    @property
    def distance(self) -> int:
        if not (self.stream.channels and self.stream.sample_rate):  # announced, and never sent
            return _DISTANCE["absent"]
        return max(_DISTANCE[self.kind], _DISTANCE["partial"] if self.partial else 0)


# A criterion: the smaller its value, the better; its sentence is used where it sets the best apart from the next.
_Criterion = tuple[Callable[[_Track], float], str]


def choose(
    probe: Probe, wanted_languages: Sequence[str] = (), original_language: str | None = None
) -> list[ChosenTrack]:
    """The original's track first, then one for each wanted language that another track speaks.

    `original_language` is what the source says (any language tag), `wanted_languages` are BCP 47 tags. No two chosen
    tracks have the same language or stream. Depends on nothing but its arguments. Raises IngestError `no_audio_stream`.
    """
    if not probe.audio:
        raise no_audio_stream()
    tracks = _tracks(probe)
    said = language_tag(original_language)
    best, why = _best(tracks, _criteria(said))
    language = _spoken_in(best, said, alone=len(tracks) == 1)
    original = _chosen(best, language, [why, *_doubts(best, said, language)], tracks)
    further: list[ChosenTrack] = []
    missing = []
    for wanted in dict.fromkeys(filter(None, map(language_tag, wanted_languages))):
        taken = [original, *further]
        if any(_satisfies(each.language, wanted) for each in taken):
            continue
        found = [each for each in tracks if each.is_speech and _same_language(each.language, wanted)]
        if not found:
            missing.append(wanted)
            continue
        best, _ = _best(found, [_exactly(wanted), *_criteria(wanted)])
        if not any(best.stream == each.stream or best.language == each.language for each in taken):
            further.append(_chosen(best, best.language, [f"It is wanted: {wanted}.", *_doubts(best)], tracks))
    if missing:
        original = replace(original, why=f"{original.why} Wanted, but not in the file: {', '.join(missing)}.")
    return [original, *further]


@lru_cache(1024)
def language_tag(value: str | None) -> str | None:
    """A language tag in BCP 47's usual form (`ger` is `de`, `cmn` is `zh`); None where it names no language."""
    import langcodes

    if not value:
        return None
    try:
        tag = langcodes.standardize_tag(value.strip().removesuffix("-desc"), macro=True)
        language = langcodes.Language.get(tag)
    except (ValueError, AttributeError):  # langcodes' own LanguageTagError is a ValueError
        return None
    code = language.language or "und"
    nameless = code in ("und", "mis", "mul", "zxx") or "qaa" <= code <= "qtz"
    return None if nameless or not language.is_valid() else tag


def _tracks(probe: Probe) -> list[_Track]:
    kinds = {each.index: kind_of(each) for each in probe.audio}
    spoken = [each for each in probe.audio if kinds[each.index] in _SPOKEN]
    longest = max((each.duration_seconds or 0.0 for each in spoken), default=0.0)
    richest = max((each.bit_rate or 0 for each in spoken), default=0)
    return [
        _Track(
            stream=each,
            kind=kinds[each.index],
            language=language_tag(each.language),
            partial=each.duration_seconds is not None and each.duration_seconds < _PART * longest,
            poor=each.bit_rate is not None and each.bit_rate < _POOR * richest,
        )
        for each in probe.audio
    ]


def _criteria(language: str | None) -> list[_Criterion]:
    return [
        (lambda each: each.distance, "It is nearest to the sound of the picture: the others are dubs, commentaries, "
         "descriptions, fragments or empty."),
        (lambda each: not is_original(each.stream), "It says that it is the original."),
        (lambda each: _unlikeness(each.language, language), f"Its language fits best to {language}, the original's."),
        (lambda each: not each.stream.default, "It is the file's default."),
        (lambda each: -(each.stream.channels or 0), "It has the most channels."),
        (lambda each: each.poor, "Its bit rate is the greater by far."),
        (lambda each: each.stream.index, "It is the first of several that nothing else sets apart."),
    ]  # fmt: skip


def _exactly(wanted: str) -> _Criterion:
    return lambda each: not _satisfies(each.language, wanted), f"It is {wanted}."


def _best(tracks: Sequence[_Track], criteria: Sequence[_Criterion]) -> tuple[_Track, str]:
    """The best track, and the criterion that sets it apart from the next best, in words."""
    best, *rest = sorted(tracks, key=lambda each: [value(each) for value, _ in criteria])
    if not rest:
        return best, "It is the only sound of the file."
    return best, next(sentence for value, sentence in criteria if value(best) != value(rest[0]))


def _chosen(track: _Track, language: str | None, why: Sequence[str], tracks: Sequence[_Track]) -> ChosenTrack:
    kinds: dict[Kind, OtherKind] = {"dub": "dub", "commentary": "commentary", "description": "description"}
    others = tuple(OtherTrack(each.stream, kinds.get(each.kind, "other")) for each in tracks if each is not track)
    return ChosenTrack(track.stream, language, " ".join(why), others)


def _doubts(track: _Track, said: str | None = None, spoken: str | None = None) -> list[str]:
    """What somebody should know who trusts the choice."""
    doubts = []
    if track.kind != "plain":
        doubts.append(f"It seems to be {_IN_WORDS[track.kind]}; the file holds no better one.")
    if track.partial:
        doubts.append("It stops before half of the longest track.")
    if said and track.language and not _same_language(track.language, said):
        said_so = f"The original is said to be in {said}, and the file calls this track {track.language}"
        doubts.append(f"{said_so}: taken for {spoken}.")
    return doubts


def _spoken_in(track: _Track, said: str | None, *, alone: bool) -> str | None:
    """The language of the original's track. Encoders write `eng` unasked, so the source's word on an only track counts
    more (as in `video_metadata`); between several tracks only their own marks can tell."""
    if said is None or track.language is None:
        return track.language or said
    if _same_language(track.language, said):
        return said if said.startswith(track.language) else track.language  # the closer of the two: `en-GB`, not `en`
    return said if alone else track.language


def _satisfies(language: str | None, wanted: str) -> bool:
    """Whether a track in `language` is what `wanted` asks for: any Portuguese is `pt`, only Brazil's is `pt-BR`."""
    if language is None or not _same_language(language, wanted):
        return False
    return set(wanted.split("-")[1:]) <= set(language.split("-")[1:])


def _unlikeness(language: str | None, wanted: str | None) -> float:
    """0 to 1: the wanted language, its own kind first; 2: an unknown one, 3: another. 0 if none is wanted."""
    import langcodes

    if wanted is None:
        return 0
    if language is None:
        return 2
    return min(langcodes.tag_distance(wanted, language), 100) / 100 if _same_language(language, wanted) else 3


@lru_cache(1024)
def _same_language(one: str | None, other: str | None) -> bool:
    """Whether two BCP 47 tags are the same language to the ear: script and country do not count."""
    import langcodes

    if one is None or other is None:
        return False
    return langcodes.tag_distance(one.split("-")[0], other.split("-")[0]) <= _SAME_LANGUAGE
