"""Tables for the UI. Every value in them is plain text or a number: strangers' words are never read as Markdown."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from narralytica_ingest.metadata.values import text

CELL_CHARACTERS = 300
ROWS = 200

Shown = dict[str, Any]
"""Metadata of a materialization by name, as Dagster takes it."""


def table(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """A table for the UI; `columns` maps names to Dagster's column types. Keeps the first ROWS rows."""
    schema = dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in columns.items()])
    kept = [row for row, _ in zip(rows, range(ROWS), strict=False)]
    return dg.MetadataValue.table(
        [dg.TableRecord({name: _cell(row.get(name)) for name in columns}) for row in kept], schema
    )


def tables(**found: tuple[Mapping[str, str], list[dict[str, Any]]]) -> Shown:
    """Those of the tables that have rows, by name, without the columns of which nothing is known."""
    return {
        name: table({column: kind for column, kind in columns.items() if _is_told(column, rows)}, rows)
        for name, (columns, rows) in found.items()
        if rows
    }


def known(**values: Any) -> Shown:
    """Those of the values that are known."""
    return {name: value for name, value in values.items() if value is not None}


def clock(seconds: float | None) -> str:
    """A moment in a video as people write it: `1:02:03.5`; nothing if it is unknown."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def _is_told(column: str, rows: list[dict[str, Any]]) -> bool:
    return any(row.get(column) not in (None, "") for row in rows)


def _cell(value: Any) -> str | int | float | bool:
    """Unknown is an empty cell. Of a file's own words, what turns text around or hides it is not shown."""
    if value is None:
        return ""
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, list):
        return text(", ".join(map(str, value[:CELL_CHARACTERS])), CELL_CHARACTERS) or ""
    return text(str(value), CELL_CHARACTERS) or ""
