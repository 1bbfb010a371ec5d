"""The tables as a page: `python -m narralytica_ingest.data_model` makes a database of this version and prints it.

Every word of it is a comment in the migrations. `make docs` writes it to `docs/data-model.md`.
"""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from narralytica_ingest.store.database import Connection, Database, Row

_OPENING = """\
# Data model

<!-- Made by `make docs` from the comments in narralytica_ingest/store/migrations: edit those. -->

The tables that this service owns, in Postgres' schema `public`. How the API uses `ingest_jobs` is told in
[job-table.md](job-table.md). Downstream reads the views `ready_media_files` and `ready_video_metadata`: they show
complete generations of ready videos only. Times are in UTC; unknown is NULL.
"""

_CORRECTING = """\
## Correcting metadata

What a person states lies over what was read: it is served from the moment of its commit, whatever is read or ingested
later, with the origin `correction`. The command is `narralytica-ingest correct VIDEO FIELD=VALUE`; the same as SQL, for
the API:

```sql
INSERT INTO metadata_corrections (video_id, field, value, by)
VALUES ('…', 'title', '"The right title"', 'ada'), ('…', 'published_at', '"2026-03-14"', 'ada')
ON CONFLICT (video_id, field) DO UPDATE SET value = excluded.value, by = excluded.by;
-- What was corrected, by whom and when.
SELECT field, value, by, at FROM metadata_corrections WHERE video_id = '…';
-- Taken back: what was read last is served again.
DELETE FROM metadata_corrections WHERE video_id = '…' AND field = 'title';
```

A value is JSON in the form of its column: a text, a list of texts for `tags` and `categories`, a list of objects for
`chapters`, a number for `age_limit`, a BCP 47 tag for `language`. A time is a text, as well known as it is (`"2026"`,
`"2026-03"`, `"2026-03-14"`, or with time and offset `"2026-03-14T09:26:53+01:00"`); its precision follows. `null` means
that the value is unknown. A field or value that does not fit is refused. Counts and whatever was measured cannot be
corrected.
"""

_COLUMNS = """
SELECT c.relname AS name, c.relkind = 'v' AS is_view, obj_description(c.oid, 'pg_class') AS about,
       a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required,
       pg_get_expr(d.adbin, d.adrelid) AS default, col_description(c.oid, a.attnum) AS description
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
 ORDER BY c.relkind = 'v', c.relname = 'ingest_schema_version', c.oid, a.attnum
"""
_KEYS = """
SELECT conrelid::regclass::text AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'f', 'u') ORDER BY 1, contype DESC, conname
"""
_TYPES = {"timestamp with time zone": "timestamptz", "double precision": "double", "character varying(32)": "text"}


def page(connection: Connection) -> str:
    """The whole page, as Markdown."""
    keys: dict[str, list[str]] = {}
    for row in connection.execute(_KEYS).fetchall():
        keys.setdefault(row["name"], []).append(row["definition"])
    sections = [_OPENING]
    for name, rows in groupby(connection.execute(_COLUMNS).fetchall(), key=lambda row: str(row["name"])):
        columns = list(rows)
        sections.append(_view(name, columns) if columns[0]["is_view"] else _table(name, columns, keys.get(name, [])))
        if name == "metadata_corrections":
            sections.append(_CORRECTING)
    return "\n".join(sections)


def _table(name: str, columns: list[Row], keys: Iterable[str]) -> str:
    rows = [f"| `{each['column']}` | {_type(each)} | {each['description'] or ''} |" for each in columns]
    about = [columns[0]["about"] or "", "", *(f"- `{key}`" for key in keys)]
    return "\n".join([f"## `{name}`", "", *about, "", "| column | type | what it says |", "|---|---|---|", *rows, ""])


def _view(name: str, columns: list[Row]) -> str:
    names = ", ".join(f"`{each['column']}`" for each in columns)
    return "\n".join([f"## View `{name}`", "", columns[0]["about"] or "", "", f"Columns: {names}.", ""])


def _type(column: Row) -> str:
    kind: str = _TYPES.get(column["type"]) or column["type"]
    return f"{kind}, required" if column["required"] and column["default"] is None else kind


def main() -> None:
    """Prints the page of a fresh database, which is gone afterwards."""
    from narralytica_ingest.cli.services import tables
    from narralytica_ingest.config import Settings

    with TemporaryDirectory(prefix="tables-") as folder:
        settings = Settings(home=Path(folder)).model_copy(update={"postgres_url": None})
        with tables(settings) as endpoints, Database(endpoints.postgres_url).transaction() as connection:
            print(page(connection), end="")


if __name__ == "__main__":
    main()
