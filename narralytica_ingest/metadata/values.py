"""Cleaning of single values that strangers state: text, numbers, dates, languages, URLs.

Everything here is pure and total: whatever JSON holds goes in, a clean value or None comes out. Text of strangers is
data: it is normalized (NFC), freed of control and format characters and cut to a limit, and nothing is ever made of it
but a value.
"""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

TITLE_CHARACTERS = 1_000
TEXT_CHARACTERS = 20_000
URL_CHARACTERS = 2_000
TAG_CHARACTERS = 100  # of a codec, a container, a source's own name of a language
LIST_ITEMS = 500
INTEGER = 2**31  # an integer column ends below it
BIG = 2**62  # far above any real size or count, and safe in a bigint column

# The two joiners stay, since several scripts and emoji are written with them; all other format characters hide or
# reorder text.
_JOINERS = "\u200c\u200d"
_KEPT = {"\t", "\n", *_JOINERS}
_LOOSE_END = re.compile(rf"[\s{_JOINERS}]+\Z")
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# So far a cut goes back to keep a letter with its marks, or an emoji whole.
_LONGEST_CLUSTER = 40

_NO_LANGUAGE = {"und", "mis", "mul", "zxx", "root", "x", "i"}
_LONGEST_LANGUAGE = 35  # RFC 5646, 4.4.1

Precision = Literal["second", "day", "month", "year"]
_PRECISIONS: dict[int, Precision] = {1: "year", 2: "month", 3: "day"}
_DATE = re.compile(r"(\d{4})(?:[-/.:]?(\d{2})(?:[-/.:]?(\d{2}))?)?")


@dataclass(frozen=True)
class Moment:
    """A time in UTC, and what of it is known: of a day, a month or a year it is the beginning."""

    at: datetime
    precision: Precision


def text(value: object, limit: int = TEXT_CHARACTERS) -> str | None:
    """Clean text of several lines, at most `limit` characters; None if nothing is left to see."""
    if not isinstance(value, str):
        return None
    # Cut first: a description of tens of megabytes must not be normalized whole.
    shortened = len(value) > limit * 2
    value = unicodedata.normalize("NFC", _LINE_ENDS.sub("\n", value[: limit * 2]))
    if not value.isprintable():
        value = "".join(c for c in value if c in _KEPT or not unicodedata.category(c).startswith("C"))
    value = _cut(value.strip(), limit)
    if shortened:
        value = _LOOSE_END.sub("", value)
    return value if value.strip(_JOINERS).strip() else None


def line(value: object, limit: int = TITLE_CHARACTERS) -> str | None:
    """Clean text on one line."""
    cleaned = text(value, limit)
    return None if cleaned is None else " ".join(cleaned.split())


def lines(value: object) -> list[str] | None:
    """A list of one-line texts, without repetitions; None if there is none."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    cleaned = dict.fromkeys(kept for each in value[:LIST_ITEMS] if (kept := line(each)) is not None)
    return list(cleaned) or None


def url(value: object) -> str | None:
    """An http(s) URL, or None: a URL that had to be cleaned or cut would lead elsewhere."""
    is_url = isinstance(value, str) and len(value) <= URL_CHARACTERS and value.isprintable() and " " not in value
    return str(value) if is_url and str(value).lower().startswith(("http://", "https://")) else None


def number(value: object) -> float | None:
    """A finite number above 0; sources write 0 where they do not know."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        return None
    return parsed if math.isfinite(parsed) and parsed > 0 else None


def whole(value: object, limit: int = INTEGER) -> int | None:
    """A whole number above 0 and below `limit`, by default what an integer column can hold."""
    parsed = number(value)
    return None if parsed is None or not 1 <= parsed < limit else int(parsed)


def count(value: object, limit: int = BIG) -> int | None:
    """A whole number from 0 on and below `limit`: of what is counted, 0 says something."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < limit:
        return None
    return int(value)


def rate(kilobits: object) -> int | None:
    """Bits per second, of the kilobits per second that yt-dlp states."""
    parsed = number(kilobits)
    return None if parsed is None else whole(parsed * 1000, BIG)


def word(value: object) -> str | None:
    """The short name of something technical; None where it says that there is none."""
    cleaned = line(value, TAG_CHARACTERS)
    return None if cleaned is None or cleaned.lower() in ("none", "unknown", "n/a") else cleaned


def language(value: object) -> str | None:
    """A BCP 47 language tag in its canonical form (`eng` is `en`, `pt_br` is `pt-BR`); None where it names no language.

    What a source adds to a tag and no registry knows is left out: `en-orig` is `en`.
    """
    return _language(value) if isinstance(value, str) and 2 <= len(value) <= _LONGEST_LANGUAGE else None


@lru_cache(maxsize=4096)
def _language(value: str) -> str | None:
    import langcodes  # not at the top: sensors load this module, and need no language

    parts = value.strip().replace("_", "-").split("-")
    while parts and parts[0].lower() not in _NO_LANGUAGE:
        tag = "-".join(parts)
        if tag.isascii() and langcodes.tag_is_valid(tag):
            return langcodes.standardize_tag(tag)
        parts.pop()
    return None


def chapters(value: object) -> list[dict[str, Any]] | None:
    """Chapters (of `start_time`, `end_time`, `title`) as title, start and end in seconds; None if there is none."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    kept = [
        {
            "title": line(each.get("title")),
            "start_seconds": number(each.get("start_time")) or 0.0,
            "end_seconds": number(each.get("end_time")),
        }
        for each in value[:LIST_ITEMS]
        if isinstance(each, Mapping)
    ]
    return kept or None


def epoch(value: object) -> Moment | None:
    """The moment so many seconds after the beginning of 1970; None if that is no plausible time."""
    seconds = number(value)
    if seconds is None or seconds >= 32_503_680_000:  # the year 3000
        return None
    return _plausible(datetime.fromtimestamp(int(seconds), UTC), "second")


def moment(value: object) -> Moment | None:
    """A date or time in ISO 8601 (`20261122`, `2026-11` and `2026` too); None if it is not one.

    A time of day counts only with its offset from UTC; without one it is known to the day.
    """
    cleaned = line(value, 40)
    if cleaned is None:
        return None
    if date := _DATE.fullmatch(cleaned):
        known = [int(part) for part in date.groups() if part is not None]
        return _begin(known, _PRECISIONS[len(known)])
    try:
        parsed = datetime.fromisoformat(cleaned)
        if parsed.tzinfo is not None:
            return _plausible(parsed.astimezone(UTC).replace(microsecond=0), "second")
    except (ValueError, OverflowError):
        return None
    return _begin([parsed.year, parsed.month, parsed.day], "day")


def _begin(known: Sequence[int], precision: Precision) -> Moment | None:
    year, month, day = [*known, 1, 1][:3]
    try:
        return _plausible(datetime(year, month, day, tzinfo=UTC), precision)
    except ValueError:
        return None


def _plausible(at: datetime, precision: Precision) -> Moment | None:
    """1904 and 1970 are what cameras and muxers write when they do not know."""
    return Moment(at, precision) if 1970 < at.year < 3000 else None


def _cut(value: str, limit: int) -> str:
    """At most so many characters, not in the middle of a letter with its marks or of a joined emoji."""
    if len(value) <= limit:
        return value
    end = limit
    while end > max(0, limit - _LONGEST_CLUSTER) and (_extends(value[end]) or value[end - 1] in _JOINERS):
        end -= 1
    while end and (value[end - 1].isspace() or value[end - 1] in _JOINERS):  # a joiner that now joins nothing
        end -= 1
    return value[:end].strip()


def _extends(character: str) -> bool:
    """Whether it belongs to the character before it: marks, joiners, and the colours of emoji."""
    is_mark = unicodedata.category(character).startswith("M")
    return is_mark or character in _JOINERS or "\U0001f3fb" <= character <= "\U0001f3ff"
