"""The SQL that docs/job-table.md gives to the API's authors works as it stands."""

import re
from pathlib import Path
from uuid import UUID

import pytest

from narralytica_ingest.intake import JobOptions
from narralytica_ingest.store import playlists
from narralytica_ingest.store.database import Connection, Database
from narralytica_ingest.store.playlists import Child
from narralytica_ingest_tests.job_table import commit_all, start, submit

DOCUMENT = Path(__file__).parents[2] / "docs" / "job-table.md"


def statements() -> list[str]:
    """Every statement in the document's SQL blocks, without comments."""
    blocks = re.findall(r"^```sql\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    bare = re.sub(r"--.*", "", "\n".join(blocks))
    return [each.strip() for each in bare.split(";") if each.strip()]


def test_the_document_shows_how_to_insert_watch_cancel_and_read() -> None:
    verbs = {each.split()[0] for each in statements()}
    assert verbs == {"INSERT", "LISTEN", "SELECT", "UPDATE"}
    assert len(statements()) >= 7


def expanded_job(connection: Connection) -> UUID:
    """A job that turned out to be a playlist of one video."""
    parent = submit(connection, "list")
    _, lease = start(connection, "run-list", window=100)
    playlists.expand(connection, lease, "A list", [Child("http://host/a.mp4", "web-a")], more=False)
    return parent


@pytest.mark.parametrize("statement", statements(), ids=lambda each: " ".join(each.split()[:6]))
def test_every_statement_runs_and_finds_what_it_promises(database: Database, statement: str) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        _, lease = start(connection)
        commit_all(connection, lease)
        parent = expanded_job(connection)
        about = parent if "playlist" in statement or "parent_job_id" in statement else job_id
        statement = statement.replace("job_id = '…'", f"job_id = '{about}'")
        statement = statement.replace("video_id = '…'", f"video_id = '{lease.video_id}'")
        cursor = connection.execute(statement)
        family = statement.startswith("UPDATE") and about is parent
        assert cursor.rowcount == (-1 if statement.startswith("LISTEN") else 2 if family else 1)


def test_the_document_names_every_option_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:boolean|integer|text|number|list)", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(JobOptions.model_fields)
