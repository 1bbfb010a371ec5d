"""Rows of metadata on a real Postgres: the newest reading stays, and what a person corrected stays corrected."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from narralytica_ingest.metadata.columns import COLUMNS
from narralytica_ingest.store import dispatch, leases, metadata_rows
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.leases import Lease
from narralytica_ingest_tests.job_table import commit_all, key, metadata_row, start, submit

VIDEO = "web-v"


def at(minute: int) -> str:
    return f"2026-11-22T08:{minute:02}:00+00:00"


@pytest.fixture
def lease(database: Database) -> Lease:
    """A video at work, whose lease the test holds."""
    with database.transaction() as connection:
        submit(connection)
        return start(connection)[1]


def commit(database: Database, lease: Lease, **values: Any) -> None:
    with database.transaction() as connection:
        metadata_rows.commit_metadata(connection, {lease.video_id: lease}, [metadata_row(lease, **values)])


def ready(database: Database, lease: Lease, **values: Any) -> None:
    with database.transaction() as connection:
        commit_all(connection, lease, **values)


def served(database: Database) -> dict[str, Any]:
    (row,) = database.all("SELECT * FROM ready_video_metadata")
    return row


def correct(database: Database, **values: Any) -> None:
    with database.transaction() as connection:
        metadata_rows.correct(connection, VIDEO, values, "ada")


# ---- readings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(1, 2), (2, 1), (2, 1, 2), (1, 2, 1, 0)], ids=str)
def test_the_newest_reading_stays_whichever_comes_last(
    database: Database, lease: Lease, order: tuple[int, ...]
) -> None:
    for minute in order:
        commit(database, lease, title=f"read at {minute}", view_count=minute, read_at=at(minute))
    (row,) = database.all("SELECT title, view_count, read_at FROM video_metadata")
    assert row == {"title": "read at 2", "view_count": 2, "read_at": datetime(2026, 11, 22, 8, 2, tzinfo=UTC)}


def test_the_newest_of_many_readings_at_once_stays(database: Database, lease: Lease) -> None:
    minutes = list(range(24))
    random.Random(5).shuffle(minutes)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda minute: commit(database, lease, title=str(minute), read_at=at(minute)), minutes))
    assert database.all("SELECT title FROM video_metadata") == [{"title": "23"}]


def test_the_same_reading_may_be_written_anew(database: Database, lease: Lease) -> None:
    commit(database, lease, title="by older rules", read_at=at(1))
    commit(database, lease, title="by newer rules", read_at=at(1))
    assert database.all("SELECT title FROM video_metadata") == [{"title": "by newer rules"}]


def test_a_reading_of_unknown_age_gives_way_and_never_overwrites(database: Database, lease: Lease) -> None:
    commit(database, lease, title="unknown")
    commit(database, lease, title="dated", read_at=at(1))
    commit(database, lease, title="unknown again")
    assert database.all("SELECT title FROM video_metadata") == [{"title": "dated"}]


def test_a_new_generation_is_a_reading_of_its_own(database: Database, lease: Lease) -> None:
    ready(database, lease, title="old", read_at=at(2))
    with database.transaction() as connection:
        leases.release(connection, [lease])
        submit(connection, force=True)
        forced = start(connection, "run-2")[1]
        commit_all(connection, forced, "b" * 64, title="new", read_at=at(1))
    assert served(database)["title"] == "new"


# ---- hints -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "title"), [("source", "known"), ("container", "hinted"), ("url", "hinted"), ("file_name", "hinted")]
)
def test_a_later_hint_goes_where_an_earlier_one_would_have_gone(
    database: Database, lease: Lease, origin: str, title: str
) -> None:
    ready(database, lease, title="known", origins={"title": origin})
    with database.transaction() as connection:
        submit(connection, title="hinted", language="en")
        assert dispatch.answer_ready(connection) == 1
    row = served(database)
    assert (row["title"], row["language"]) == (title, "en")
    assert row["origins"] == {"title": "hint" if title == "hinted" else "source", "language": "hint"}


def test_a_hint_that_came_while_a_run_was_reading_is_not_lost(database: Database, lease: Lease) -> None:
    ready(database, lease)
    with database.transaction() as connection:
        dispatch.attach(connection, submit(connection), key(), hints={"title": "hinted"})
    commit(database, lease, description="read before that")
    assert (served(database)["title"], served(database)["description"]) == ("hinted", "read before that")


# ---- corrections -----------------------------------------------------------------------------------------------------

CORRECTIONS: dict[str, tuple[Any, Any]] = {
    "title": ("Corrected", "Corrected"),
    "description": ("Two\nlines", "Two\nlines"),
    "channel_url": ("https://h/c", "https://h/c"),
    "language": ("pt-BR", "pt-BR"),
    "tags": (["a", "b"], ["a", "b"]),
    "chapters": ([{"title": "x", "start_seconds": 0, "end_seconds": None}],) * 2,
    "age_limit": (18, 18),
    "live_status": ("was_live", "was_live"),
    "published_at": ("2026-03-14T10:00:00+01:00", datetime(2026, 3, 14, 9, tzinfo=UTC)),
    "uploaded_at": ("2026-03", datetime(2026, 3, 1, tzinfo=UTC)),
    "license": (None, None),
}  # fmt: skip


@pytest.mark.parametrize("field", CORRECTIONS)
def test_a_correction_is_served_at_once_and_stays(database: Database, lease: Lease, field: str) -> None:
    value, shown = CORRECTIONS[field]
    before = {"title": "as read", "license": "as read", "origins": {"title": "source"}}
    ready(database, lease, read_at=at(1), **before)
    correct(database, **{field: value})
    assert (served(database)[field], served(database)["origins"][field]) == (shown, "correction")
    commit(database, lease, read_at=at(2), **before)
    assert (served(database)[field], served(database)["origins"][field]) == (shown, "correction")
    assert served(database)["read_at"] == datetime(2026, 11, 22, 8, 2, tzinfo=UTC)


def test_a_dropped_correction_shows_what_was_read_last(database: Database, lease: Lease) -> None:
    ready(database, lease, title="read first", read_at=at(1), origins={"title": "source"})
    correct(database, title="corrected")
    commit(database, lease, title="read last", read_at=at(2), origins={"title": "source"})
    with database.transaction() as connection:
        assert metadata_rows.drop_corrections(connection, VIDEO, ["title", "language"]) == ["title"]
    assert (served(database)["title"], served(database)["origins"]) == ("read last", {"title": "source"})


@pytest.mark.parametrize(
    ("said", "precision"),
    [("2026", "year"), ("2026-03", "month"), ("2026-03-14", "day"), ("2026-03-14T09:26:53Z", "second"), (None, None)],
)
def test_a_corrected_time_says_how_well_it_is_known(
    database: Database, lease: Lease, said: str | None, precision: str | None
) -> None:
    ready(database, lease, published_at=at(1), published_precision="second")
    correct(database, published_at=said)
    assert served(database)["published_precision"] == precision
    assert "published_precision" not in served(database)["origins"]


def test_a_corrected_day_is_the_same_in_every_time_zone(database: Database, lease: Lease) -> None:
    ready(database, lease)
    with database.transaction() as connection:
        connection.execute("SET TIME ZONE 'Pacific/Auckland'")
        metadata_rows.correct(connection, VIDEO, {"published_at": "2026-03-14"}, "ada")
        (row,) = metadata_rows.served(connection, [VIDEO])
    assert row["published_at"] == served(database)["published_at"] == datetime(2026, 3, 14, tzinfo=UTC)


def test_a_correction_outlives_a_new_generation_and_goes_with_the_video(database: Database, lease: Lease) -> None:
    ready(database, lease, title="old")
    correct(database, title="corrected")
    with database.transaction() as connection:
        leases.release(connection, [lease])
        submit(connection, force=True)
        commit_all(connection, start(connection, "run-2")[1], "b" * 64, title="new")
    assert (served(database)["title"], served(database)["generation"]) == ("corrected", 2)
    database.all("DELETE FROM videos RETURNING 1")
    assert database.all("SELECT * FROM metadata_corrections") == []


def test_a_correction_may_come_before_the_video_is_ready(database: Database, lease: Lease) -> None:
    correct(database, title="corrected")
    ready(database, lease, title="read")
    assert served(database)["title"] == "corrected"


def test_a_correction_that_is_corrected_says_who_did_it_last(database: Database, lease: Lease) -> None:
    correct(database, title="one")
    with database.transaction() as connection:
        metadata_rows.correct(connection, VIDEO, {"title": "two"}, "grace")
        (row,) = metadata_rows.corrections(connection, VIDEO)
    assert (row["field"], row["value"], row["by"]) == ("title", "two", "grace")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("view_count", 7), ("video_id", "x"), ("origins", {}), ("measured_width", 7), ("published_precision", "day"),
        ("title", 7), ("title", " "), ("title", ["x"]), ("tags", "x"), ("tags", {}), ("age_limit", "18"),
        ("age_limit", 1.5), ("age_limit", -1), ("age_limit", 1000), ("live_status", "perhaps"), ("language", "x!"),
        ("channel_url", "javascript:alert(1)"), ("published_at", "infinity"), ("published_at", "yesterday"),
        ("published_at", "2026-02-30"), ("published_at", "2026-03-14T10:00:00"), ("published_at", "0044-03-15"),
    ],
)  # fmt: skip
def test_what_would_break_the_served_rows_is_refused(database: Database, lease: Lease, field: str, value: Any) -> None:
    ready(database, lease, title="as read")
    with pytest.raises((psycopg.errors.IntegrityError, psycopg.errors.DataError)):
        correct(database, **{field: value})
    assert served(database)["title"] == "as read"


def test_the_fields_that_can_be_corrected_are_those_that_the_schema_says(database: Database, lease: Lease) -> None:
    taken = set()
    for column in COLUMNS:
        try:
            correct(database, **{column.name: None})
            taken.add(column.name)
        except psycopg.errors.CheckViolation:
            continue
    assert taken == {column.name for column in COLUMNS if column.correctable}


def test_a_run_and_a_person_that_write_at_once_do_not_wait_for_each_other_for_ever(
    database: Database, lease: Lease
) -> None:
    ready(database, lease, title="as read")

    def write(number: int) -> None:
        if number % 2:
            correct(database, title=f"corrected {number}", tags=[str(number)])
        else:
            commit(database, lease, title=f"read {number}", read_at=at(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert served(database)["title"].startswith("corrected")
    (row,) = database.all("SELECT title FROM video_metadata")
    assert row["title"] == "read 38"
