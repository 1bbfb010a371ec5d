"""What a person states better than the source, from the words of a command line to a value for its column.

Pure. The table of corrections has the same rules (a wrong value is refused there, too); here it is cleaned as well.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.metadata.columns import BY_NAME, COLUMNS, LIVE_STATUSES, Column, Kind
from narralytica_ingest.metadata.values import (
    TEXT_CHARACTERS,
    chapters,
    language,
    line,
    lines,
    moment,
    text,
    url,
)

FIELDS = tuple(column.name for column in COLUMNS if column.correctable)

_FORMS = {
    "language": "a BCP 47 tag such as pt-BR",
    "age_limit": "a whole number from 0 to 99",
    "live_status": f"one of {', '.join(LIVE_STATUSES)}",
    "chapters": 'JSON such as [{"title": "Intro", "start_seconds": 0, "end_seconds": 60}]',
    "tags": "words with commas between them, or a JSON list",
    "categories": "words with commas between them, or a JSON list",
}
_MOMENT = "a time as 2026, 2026-03, 2026-03-14 or 2026-03-14T09:26:53+01:00"
_STRFTIME = {"second": "%Y-%m-%dT%H:%M:%SZ", "day": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}


def parse(assignments: Iterable[str]) -> dict[str, Any]:
    """The values of `FIELD=VALUE`, by field, in the form of the table; an empty VALUE is None: unknown.

    Raises IngestError `invalid_correction`.
    """
    found: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, said = assignment.partition("=")
        if not separator:
            raise failure("invalid_correction", f"{_shown(assignment)} is no correction: give FIELD=VALUE.")
        column = correctable(name)
        found[name] = _value(column, said) if said.strip() else None
    return found


def correctable(name: str) -> Column:
    """The column of this name. Raises IngestError `invalid_correction` if it cannot be corrected."""
    if name not in FIELDS:
        said = f"{_shown(name)} is no field that can be corrected; these can: {', '.join(FIELDS)}."
        raise failure("invalid_correction", said)
    return BY_NAME[name]


def _value(column: Column, said: str) -> Any:
    value = _read(column, said)
    if value is None:
        raise _wrong(column, said)
    return value


def _read(column: Column, said: str) -> Any:
    if column.kind is Kind.MOMENT:
        return _moment(said)
    if column.kind is Kind.JSON:
        return _chapters(said) if column.name == "chapters" else _list(said)
    if column.name == "age_limit":
        return int(said.strip()) if re.fullmatch(r"[0-9]{1,2}", said.strip()) else None
    if column.one_of:
        return said.strip() if said.strip() in column.one_of else None
    if column.name == "language":
        return language(said.strip())
    if column.is_url:
        return url(said.strip())
    return text(said, TEXT_CHARACTERS) if column.name == "description" else line(said, column.longest or 0)


def _moment(said: str) -> str | None:
    known = moment(said)
    if known is None or (known.precision == "day" and len(said.strip()) > len("2026-03-14")):  # whose ten o'clock?
        return None
    return known.at.strftime(_STRFTIME[known.precision])


def _list(said: str) -> list[str] | None:
    return lines(_json(said) if said.lstrip().startswith("[") else said.split(","))


def _chapters(said: str) -> list[dict[str, Any]] | None:
    given = _json(said)
    if not isinstance(given, list) or not all(isinstance(each, dict) and "start_seconds" in each for each in given):
        return None
    timed = {"start_seconds": "start_time", "end_seconds": "end_time"}
    return chapters([{timed.get(name, name): value for name, value in each.items()} for each in given])


def _json(said: str) -> Any:
    try:
        return json.loads(said)
    except (ValueError, RecursionError):
        return None


def _wrong(column: Column, said: str) -> IngestError:
    form = (
        _MOMENT
        if column.kind is Kind.MOMENT
        else _FORMS.get(column.name, "an http(s) URL" if column.is_url else "text")
    )
    return failure("invalid_correction", f"{column.name} cannot be {_shown(said)}: give {form}.")


def _shown(said: str) -> str:
    cleaned = line(said, 80)
    return f"“{cleaned}”" if cleaned else "(empty)"
