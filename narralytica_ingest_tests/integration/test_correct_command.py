"""`correct`: what a person states is shown at once, by every command, and can be taken back."""

import json
from collections.abc import Iterator

import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.store.database import Database
from narralytica_ingest_tests.in_process import Cli, command_line
from narralytica_ingest_tests.job_table import commit_all, start, submit

VIDEO = "web-v"


@pytest.fixture
def cli(settings: Settings, database: Database, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """The command line, and a ready video."""
    with database.transaction() as connection:
        submit(connection)
        commit_all(connection, start(connection)[1], title="as read", origins={"title": "source"})
    with command_line(capsys) as command:
        yield command


def test_a_correction_is_shown_at_once_with_who_made_it(cli: Cli) -> None:
    done = cli("correct", VIDEO, "title=The right \x1b[31mtitle", "published_at=2026-03", "license=", "--by", "ada")
    assert done.code == 0
    assert "title is “The right [31mtitle”, by ada" in done.out
    assert "license is unknown, by ada" in done.out
    shown = cli("show", VIDEO).out
    assert "The right [31mtitle (correction)" in shown
    assert "2026-03 (correction)" in shown
    assert "license, published_at, title" in shown
    metadata = json.loads(cli("show", VIDEO, "--json").out)["metadata"]
    assert (metadata["title"], metadata["origins"]["title"]) == ("The right [31mtitle", "correction")
    assert "title is “The right [31mtitle”, by ada" in cli("correct", VIDEO).out


def test_a_dropped_correction_shows_what_was_read(cli: Cli) -> None:
    cli("correct", VIDEO, "title=Corrected")
    done = cli("correct", VIDEO, "--drop", "title", "--drop", "language")
    assert done.out.splitlines() == ["title is again “as read”.", "language was not corrected."]
    assert "(correction)" not in cli("show", VIDEO).out
    assert "Nothing of web-v was corrected." in cli("correct", VIDEO).err


def test_for_programs_it_says_what_is_served(cli: Cli) -> None:
    said = json.loads(cli("correct", VIDEO, "tags=a,b", "--by", "ada", "--json").out)
    assert said["video_id"] == VIDEO
    assert [(each["field"], each["value"], each["by"]) for each in said["corrections"]] == [("tags", ["a", "b"], "ada")]
    assert (said["metadata"]["tags"], said["metadata"]["title"]) == (["a", "b"], "as read")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["web-nothing", "title=x"], "There is no video web-nothing"),
        ([VIDEO, "view_count=7"], "“view_count” is no field that can be corrected"),
        ([VIDEO, "language=English"], "language cannot be “English”: give a BCP 47 tag"),
        ([VIDEO, "--drop", "nothing"], "“nothing” is no field that can be corrected"),
        ([VIDEO, "title=x", "--drop", "title"], "title is corrected and dropped at once"),
        ([VIDEO, "title=\udcff"], "FIELD=VALUE is not valid UTF-8"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    cli: Cli, database: Database, arguments: list[str], sentence: str
) -> None:
    done = cli("correct", *arguments)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    assert database.all("SELECT * FROM metadata_corrections") == []
