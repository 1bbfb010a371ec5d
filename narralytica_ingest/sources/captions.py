"""Which captions of a video are wanted, told from what yt-dlp knows of it. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

# Best first: plain and widely read before those that carry a site's own layout. yt-dlp's names, by content type.
CONTENT_TYPES = {
    "vtt": "text/vtt",
    "srt": "application/x-subrip",
    "ttml": "application/ttml+xml",
    "dfxp": "application/ttml+xml",
    "json3": "application/json",
    "srv3": "application/xml",
    "srv2": "application/xml",
    "srv1": "application/xml",
    "ass": "text/x-ssa",
    "ssa": "text/x-ssa",
    "sami": "application/x-sami",
    "json": "application/json",
    "xml": "application/xml",
}
_PREFERENCE = {name: place for place, name in enumerate(CONTENT_TYPES)}
_TALK = {"live_chat", "rechat", "danmaku", "comments"}  # what the audience wrote
_ORIGINAL = "-orig"  # YouTube's mark on the language that its recognition heard
_LONGEST_NAME = 80  # characters; some sites name a language by a sentence
_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")


@dataclass(frozen=True)
class Wanted:
    """Captions in one language. `offers` are yt-dlp's dictionaries (`url` or `data`, `ext`), best first."""

    language: str
    origin: str
    offers: tuple[Mapping[str, Any], ...]


def wanted_captions(info: Mapping[str, Any], spoken: str | None, uploaded: bool, automatic: bool) -> Iterator[Wanted]:
    """The uploaded captions in all languages, and the automatic ones in the language that is spoken: those are what was
    heard, all others are translations of it."""
    if uploaded:
        for language, offers in sorted((info.get("subtitles") or {}).items()):
            if _is_language(language) and (usable := _best_first(offers)):
                yield Wanted(language, "uploaded", usable)
    offered = info.get("automatic_captions") or {}
    key = automatic_key(list(offered), spoken) if automatic else None
    if key is not None and (usable := _best_first(offered[key])):
        yield Wanted(key.removesuffix(_ORIGINAL), "automatic", usable)


def automatic_key(offered: list[str], spoken: str | None) -> str | None:
    """Which of the automatic captions offered are in the video's own language; None if none is, or nobody knows."""
    heard = [key for key in offered if key.endswith(_ORIGINAL)]
    by_language = {key.removesuffix(_ORIGINAL): key for key in heard or offered if _is_language(key)}
    if spoken is None or (heard and not any(_same(each, spoken) for each in by_language)):
        return next(iter(by_language.values())) if len(by_language) == 1 else None
    alike = [language for language in by_language if _same(language, spoken)]
    nearest = min(alike, key=lambda language: (language != spoken, len(language), language), default=None)
    return by_language[nearest] if nearest is not None else None


def _is_language(name: object) -> TypeGuard[str]:
    """Whether it may name a language; a site may put anything in its place, and names no two in a thousand letters."""
    return isinstance(name, str) and name not in _TALK and len(name) <= _LONGEST_NAME and name.isprintable()


def _same(one: str, other: str) -> bool:
    """Whether two tags mean one language. `en-de` is no tag: YouTube means English translated from German."""
    if one == other:
        return True
    return bool(_TAG.fullmatch(one) and _TAG.fullmatch(other)) and (
        one.split("-", maxsplit=1)[0].lower() == other.split("-", maxsplit=1)[0].lower()
    )


def _best_first(offers: Any) -> tuple[Mapping[str, Any], ...]:
    usable = [
        each
        for each in offers or ()
        if str(each.get("ext")) in _PREFERENCE and (each.get("url") or each.get("data")) and not _is_talk(each)
    ]
    return tuple(sorted(usable, key=lambda each: _PREFERENCE[each["ext"]]))


def _is_talk(offer: Mapping[str, Any]) -> bool:
    return "live_chat" in str(offer.get("protocol") or "")
