"""The tables, their comments, the description of metadata's columns and docs/data-model.md say the same."""

import re
from pathlib import Path

import pytest

from narralytica_ingest.data_model import page
from narralytica_ingest.metadata.columns import COLUMNS
from narralytica_ingest.store.database import Database
from narralytica_ingest_tests.job_table import commit_all, start, submit

DOCUMENT = Path(__file__).parents[2] / "docs" / "data-model.md"

_ABOUT = """
SELECT c.relname || coalesce('.' || a.attname, '') AS name,
       coalesce(col_description(c.oid, a.attnum), obj_description(c.oid, 'pg_class')) AS said
  FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
   AND c.relkind = 'r'
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
"""


def test_the_page_is_that_of_the_tables(database: Database) -> None:
    with database.transaction() as connection:
        assert DOCUMENT.read_text(encoding="utf-8") == page(connection), "run `make docs`"


def test_every_table_view_and_column_says_what_it_is(database: Database) -> None:
    assert [row["name"] for row in database.all(_ABOUT) if not row["said"]] == []


def test_the_columns_of_metadata_are_described_as_the_table_describes_them(database: Database) -> None:
    query = """
        SELECT attname AS name, format_type(atttypid, atttypmod) AS type, col_description(attrelid, attnum) AS said
          FROM pg_attribute WHERE attrelid = 'video_metadata'::regclass AND attnum > 0"""
    table = {row["name"]: (row["type"], row["said"]) for row in database.all(query)}
    ours = {column.name: (column.kind.value, column.description) for column in COLUMNS}
    assert {name: table[name] for name in ours} == ours
    assert set(table) - set(ours) == {"generation", "lease_epoch", "created_at", "updated_at"}


def statements() -> list[str]:
    blocks = re.findall(r"^```sql\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    bare = re.sub(r"--.*", "", "\n".join(blocks))
    return [each.strip() for each in bare.split(";") if each.strip()]


@pytest.mark.parametrize("statement", statements(), ids=lambda each: each.split()[0])
def test_its_sql_works_as_it_stands(database: Database, statement: str) -> None:
    insert = statements()[0]
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        commit_all(connection, lease)
        if statement != insert:
            connection.execute(insert.replace("'…'", "'web-v'").encode())
        assert connection.execute(statement.replace("'…'", "'web-v'").encode()).rowcount >= 1
