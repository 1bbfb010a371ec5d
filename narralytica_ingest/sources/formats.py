"""Which of a video's formats are fetched: the picture, and the sound in the original language.

What belongs here: pure decisions over the dictionaries that yt-dlp calls formats; no yt-dlp, no network.

YouTube says which sound is the original in `language_preference` (10 the original, 5 the default, -1 any other, -10
audio description), in `format_note` ("German original (default)") and in the URL (`xtags=acont=dubbed-auto`). HLS marks
renditions that are not the default; yt-dlp keeps that as a `source_preference` of -2. Other sites say nothing.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard
from urllib.parse import unquote

from narralytica_ingest.failures import IngestError, failure

Format = Mapping[str, Any]

USUAL_CHOICE = "bv*+ba/b"  # the best picture with the best sound, else the best file that holds both
_UNKNOWN = -1  # yt-dlp's preference of a sound of which nothing is known
_MOST = 2**53  # what counts as a number: no size or rate comes near it, and the product of two is finite
_NAMES_A_SOUND = re.compile(r"\[\s*(?:language|format_id|format_note|language_preference)\b")
_DUBBED = re.compile(r"\bdub(?:s|bed|bing)?\b|\bauto.?translated\b", re.IGNORECASE)
_DESCRIBED = re.compile(
    r"descri(?:ptive|bed|ption)|audio.?descr|audiodescr|commentary|visually impaired", re.IGNORECASE
)


def order(max_height: int) -> list[str]:
    """yt-dlp's sort order. The shorter side counts as height, so that a portrait video keeps its sharpness.

    The language is left to `in_original_language`: as a field it would prefer a small file with sound to a large
    picture without. Among equals a whole file goes before segments, as it is kept byte for byte.
    """
    return [f"res:{max_height}", "quality", "fps", "hdr:12", "vcodec", "proto"]


def offered_to(selector: str | None, formats: Sequence[Format]) -> list[Format]:
    """The formats from which a selector of yt-dlp (None: the usual choice) may choose.

    A selector that filters by language, format id or note has decided about the sound itself, so it sees everything.
    Any other sees the original language only, and what it names by id. Raises IngestError `original_audio_missing`.
    """
    if selector is None:
        return in_original_language(formats)
    if _NAMES_A_SOUND.search(selector):
        return list(formats)
    names = set(re.findall(r"[^\s,/+\[\]()]+", selector))
    named = [each for each in formats if each.get("format_id") in names]
    try:
        kept = in_original_language(formats)
    except IngestError:
        if not named:
            raise
        kept = [each for each in formats if not _has_sound(each)]
    chosen = [id(each) for each in (*kept, *named)]
    return [each for each in formats if id(each) in chosen]  # in the order of their quality, as they came


def in_original_language(formats: Sequence[Format]) -> list[Format]:
    """The pictures without sound, and the sounds of the original language, with or without a picture.

    Never a dub; audio description and commentary only where nothing else is; where the source does not say which of
    several languages is the original, those that it says least against. Formats that may be under DRM go where others
    are left. Raises IngestError `original_audio_missing` (transient: which sounds a source lists depends on which of
    its servers and players answers, so the next extraction may get it).
    """
    formats = _without_drm(formats)
    sounds = [each for each in formats if _has_sound(each)]
    undubbed = [each for each in sounds if not _is_dubbed(each)]
    if sounds and (not undubbed or _original_is_missing(undubbed)):
        raise failure("original_audio_missing")
    plain = [each for each in undubbed if not _is_described(each)] or undubbed
    best = max(map(_preference, plain), default=_UNKNOWN)
    kept = [id(each) for each in plain if _preference(each) == best]
    return [each for each in formats if not _has_sound(each) or id(each) in kept]


def audio_languages(formats: Iterable[Format]) -> list[str]:
    """The languages in which the source offers sound, as it says them, sorted."""
    return sorted({str(each["language"]) for each in formats if _has_sound(each) and each.get("language")})


def spoken_language(info: Mapping[str, Any]) -> str | None:
    """The language of the chosen sound, as the source says it; None if it does not."""
    chosen: Sequence[Format] = info.get("requested_formats") or [info]
    language = next((each.get("language") for each in chosen if _has_sound(each) and each.get("language")), None)
    return str(language).removesuffix("-desc") if language else None


def refuse_too_long(duration: object, limit: float | None) -> None:
    """Raises IngestError `too_long` (permanent) where a duration (seconds, if it is known) exceeds the limit."""
    if limit is not None and isinstance(duration, int | float) and duration > limit:
        raise failure(
            "too_long",
            f"The video lasts {duration:,.0f} s and the limit is {limit:,.0f} s: raise the limit to take it.",
        )


def refuse_too_large(formats: Sequence[Format], duration: object, limit: int | None) -> None:
    """Raises IngestError `too_large` (permanent) where the chosen formats exceed the limit (bytes).

    What the source states exactly counts as it is. An estimate counts only from twice the limit on: the transfer itself
    is watched too.
    """
    exact = sum(size for each in formats if (size := _exact_size(each)) is not None)
    likely = sum(declared_size(each, duration) or 0 for each in formats)
    if limit is not None and (exact > limit or likely > 2 * limit):
        raise failure(
            "too_large",
            f"The video has {max(exact, likely):,} bytes; the limit is {limit:,}: raise the limit, or choose a smaller "
            "`max_height`, to take it.",
        )


def declared_size(chosen: Format, duration: object = None) -> int | None:
    """The bytes of a format: as stated, else estimated from its bit rate; None when nothing says it."""
    if (exact := _exact_size(chosen)) is not None:
        return exact
    if _is_number(approximate := chosen.get("filesize_approx")):
        return int(approximate)
    rate = chosen.get("tbr")  # kilobits per second
    return int(rate * duration * 125) if _is_number(rate) and _is_number(duration) else None


def needed_bytes(formats: Sequence[Format], duration: object, joined: bool) -> int | None:
    """Disk that the fetch needs: what comes, twice where parts are joined into another file. None when unknown."""
    sizes = [size for each in formats if (size := declared_size(each, duration)) is not None]
    return sum(sizes) * (2 if joined else 1) if sizes else None


def chooser(
    selector: str | None, select: Callable[[Sequence[Format]], Iterable[Format]]
) -> Callable[[Mapping[str, Any]], list[Format]]:
    """A selector as yt-dlp calls it: `select` chooses, from what `offered_to` leaves."""
    return lambda context: list(select(offered_to(selector, context["formats"])))


def _without_drm(formats: Sequence[Format]) -> list[Format]:
    clear = [each for each in formats if not each.get("has_drm")]
    return clear if any(map(_has_sound, clear)) else [each for each in formats if each.get("has_drm") is not True]


def _original_is_missing(sounds: Sequence[Format]) -> bool:
    """Whether the source ranks its sounds and calls none of several languages the original."""
    ranked = all(each.get("language_preference") == _UNKNOWN for each in sounds)
    return ranked and len(audio_languages(sounds)) > 1


def _has_sound(each: Format) -> bool:
    return each.get("acodec") != "none"


def _is_dubbed(each: Format) -> bool:
    return _content(each).startswith("dubbed") or bool(_DUBBED.search(_note(each)))


def _is_described(each: Format) -> bool:
    return (
        _content(each).startswith("descriptive")
        or str(each.get("language") or "").endswith("-desc")
        or (_stated_preference(each) or 0) <= -10
        or bool(_DESCRIBED.search(_note(each)))
    )


def _preference(each: Format) -> float:
    """How sure it is that the sound is the original: higher is surer."""
    stated = _stated_preference(each)
    named_original = each.get("language") and re.search(r"\boriginal\b", _note(each), re.IGNORECASE)
    if _content(each) == "original" or named_original:  # without a language the note speaks of the file
        return max(10, stated or 0)
    if stated is not None:
        return stated
    alternate = each.get("source_preference") == -2 and each.get("vcodec") == "none"
    return _UNKNOWN - 1 if alternate and "m3u8" in str(each.get("protocol")) else _UNKNOWN


def _stated_preference(each: Format) -> float | None:
    stated = each.get("language_preference")
    return stated if isinstance(stated, int | float) and -_MOST < stated < _MOST else None


def _content(each: Format) -> str:
    """What a YouTube URL says about its sound: `original`, `dubbed`, `dubbed-auto`, `descriptive`, or nothing."""
    match = re.search(r"\bacont=([a-z-]+)", unquote(unquote(str(each.get("url") or ""))))
    return match[1] if match else ""


def _note(each: Format) -> str:
    return str(each.get("format_note") or "")


def _exact_size(each: Format) -> int | None:
    return int(each["filesize"]) if _is_number(each.get("filesize")) else None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _MOST
