"""Whoever may insert a row cannot stop the work on others: the table refuses it, or the job fails with a code."""

import json
import random
from typing import Any
from uuid import UUID

import dagster as dg
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.intake import Intake
from narralytica_ingest.sensors.dispatch import dispatch as dispatch_sensor
from narralytica_ingest.store.database import Database
from narralytica_ingest_tests.fuzz.material import Material
from narralytica_ingest_tests.in_process import Installation, command_line
from narralytica_ingest_tests.job_table import commit_all, start, submit

URL = "http://host/x.mp4"
NOISE = random.Random(1).randbytes(800_000).hex()

# What the table refuses, with the class of its error: values out of the types' range, limits of a new job.
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("23514", {"source_url": URL, "options": json.dumps({"format": "x" * 50_000_000})}),
    ("23514", {"source_url": URL, "options": '{"a":' + "[" * 3000 + "]" * 3000 + "}"}),
    ("23514", {"source_url": URL, "options": '{"a":[[[1]]]}'}),
    ("23514", {"source_url": URL, "options": '{"a":{"b":{"c":{}}}}'}),
    ("23514", {"source_url": URL, "options": '{"max_bytes": 1e9999}'}),
    ("23514", {"source_url": URL, "options": "[]"}),
    ("22P02", {"source_url": URL, "options": '{"max_duration_seconds": NaN}'}),
    ("22P05", {"source_url": URL, "options": '{"format": "\\u0000"}'}),
    ("22P02", {"source_url": URL, "options": '{"format": "\\ud800"}'}),
    ("22003", {"source_url": URL, "priority": 2**31}),
    ("23514", {"source_url": URL, "not_before": "infinity"}),
    ("23514", {"source_url": URL, "not_before": "20000-01-01"}),
    ("23514", {"source_url": URL, "not_before": "0044-03-15 BC"}),
    ("23514", {"source_url": URL, "idempotency_key": NOISE}),
    ("23514", {"source_url": URL, "idempotency_key": "playlist:x:youtube-dQw4w9WgXcQ"}),
    ("23514", {"source_url": URL, "title": "t" * 1_000_000}),
    ("23514", {"source_url": URL, "channel": "c" * 20_000}),
    ("23514", {"source_url": URL, "language": "l" * 201}),
    ("23514", {"source_url": f"http://host/{'x' * 40_000}"}),
    ("23514", {"upload_ref": f"s3://narralytica-uploads/{'x' * 40_000}"}),
    ("23514", {"source_url": URL, "max_attempts": 0}),
    ("23514", {"source_url": URL, "max_attempts": 2**31 - 1}),
    ("23503", {"source_url": URL, "parent_job_id": str(UUID(int=7))}),
    ("23503", {"source_url": URL, "video_id": "web-nobodys"}),
    ("23514", {"source_url": URL, "status": "succeeded"}),
    ("23514", {"source_url": URL, "status": "running"}),
]
# What it takes, and the job's verdict is; None: a job like any other.
FAILED: list[tuple[str | None, dict[str, Any]]] = [
    ("invalid_options", {"source_url": URL, "options": '{"max_duration_seconds": 1e309}'}),
    ("invalid_options", {"source_url": URL, "options": '{"max_duration_seconds": 1e-400}'}),
    ("invalid_options", {"source_url": URL, "options": '{"max_bytes": -1}'}),
    ("invalid_options", {"source_url": URL, "options": '{"max_bytes": 1e308}'}),
    ("invalid_options", {"source_url": URL, "options": '{"playlist_limit": 1e30}'}),
    ("invalid_options", {"source_url": URL, "options": '{"a": {"b": 1}}'}),
    ("invalid_options", {"source_url": URL, "options": json.dumps({"\x1b]8;;\x07" * 99: 1})}),
    ("invalid_options", {"source_url": URL, "options": json.dumps({"audio_languages": ["de"] * 21})}),
    ("invalid_options", {"source_url": URL, "options": '{"format": "best[title~=(a+)+$]"}'}),
    ("blocked_scheme", {"source_url": "javascript:alert(1)"}),
    ("invalid_url", {"source_url": f"http://host/{'x' * 9000}"}),
    ("invalid_url", {"source_url": "http://host/\x1b[2J"}),
    ("invalid_url", {"source_url": f"http://{'a' * 64}.example/"}),
    ("invalid_upload_ref", {"upload_ref": f"s3://narralytica-uploads/{'k' * 5000}"}),
    ("invalid_upload_ref", {"upload_ref": "\u202e"}),
    ("upload_missing", {"upload_ref": "s3://narralytica-uploads/\r\nHost: evil"}),
    (
        None,
        {
            "source_url": "http://host/hints",
            "title": "\x1b[31m" * 3000,
            "channel": "\u202e" * 5000,
            "language": "?" * 200,
        },
    ),
    (None, {"source_url": "http://host/urgent", "priority": 2**31 - 1}),
    (None, {"source_url": "http://host/least", "priority": -(2**31)}),
    (None, {"source_url": "http://host/key", "idempotency_key": "'; DROP TABLE videos; --"}),
    (None, {"source_url": "https://vimeo.com/" + "1" * 500}),
]


def insert(database: Database, values: dict[str, Any]) -> UUID:
    names, holes = ", ".join(values), ", ".join(["%s"] * len(values))
    rows = database.all(f"INSERT INTO ingest_jobs ({names}) VALUES ({holes}) RETURNING job_id", list(values.values()))
    return UUID(str(rows[0]["job_id"]))


def test_poisoned_rows_are_refused_or_fail_and_the_jobs_beside_them_are_claimed_in_the_same_look(
    place: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [insert(place.database, {"source_url": f"http://good-{number}/clip.mp4"}) for number in range(5)]
    for state, values in REFUSED:
        with pytest.raises(psycopg.Error) as raised:
            insert(place.database, values)
        assert raised.value.sqlstate == state, (values, raised.value)
    jobs = [(code, insert(place.database, values)) for code, values in FAILED]
    good += [insert(place.database, {"source_url": f"http://good-{number}/clip.mp4"}) for number in range(5, 10)]
    asked = dispatch_sensor()
    assert isinstance(asked, dg.SensorResult)
    claimed = {each.tags["narralytica/job_id"] for each in asked.run_requests or []}
    assert claimed >= {str(each) for each in good}
    for (expected, values), (_, job_id) in zip(FAILED, jobs, strict=True):
        row = place.job(job_id)
        if expected is None:
            assert str(job_id) in claimed, (values, row["error_message"])
        else:
            assert (row["status"], row["error_code"]) == ("failed", expected), (values, row)
            assert len(row["error_message"]) < 2000
    with command_line(capsys) as cli:
        refused = cli("submit", "http://host/x", "--title", "t" * 20_000)
        said = cli("jobs", "--limit", "1000")
    assert refused.code != 0
    assert "title and channel have at most 16384 bytes" in " ".join(refused.err.split())
    assert said.code == 0
    assert "\x1b" not in said.out + said.err


def test_rows_from_before_the_limits_fail_and_stop_nothing(
    settings: Settings, endpoints: Endpoints, database: Database
) -> None:
    with database.transaction() as connection:
        connection.execute("ALTER TABLE ingest_jobs DISABLE TRIGGER ingest_jobs_checked")
    bad = [insert(database, values) for state, values in REFUSED[:5] if state == "23514"]
    good = insert(database, {"source_url": "http://good/clip.mp4"})
    Intake(settings, endpoints).admit()
    rows = database.all("SELECT job_id, status, error_code, video_id FROM ingest_jobs")
    found = {row["job_id"]: row for row in rows}
    assert [found[each]["error_code"] for each in bad] == ["invalid_options"] * 5
    assert found[good]["video_id"] is not None


@pytest.mark.parametrize(
    "value",
    [
        "[" * 1000 + "]" * 1000,
        '[{"title": "x", "start_seconds": 1e9999}]',
        '[{"title": {"a": {"b": 1}}}]',
        json.dumps([{"title": "x" * 500_000}]),
    ],
    ids=["deep", "digits", "nested", "large"],
)
def test_a_correction_that_would_break_its_readers_is_refused(database: Database, value: str) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        commit_all(connection, lease)
    with pytest.raises(psycopg.errors.CheckViolation, match="correction refused"):
        database.all("INSERT INTO metadata_corrections VALUES ('web-v', 'chapters', %s) RETURNING 1", (value,))
    fine = '[{"title": "x", "start_seconds": 0.5, "end_seconds": 60}]'
    database.all("INSERT INTO metadata_corrections VALUES ('web-v', 'chapters', %s) RETURNING 1", (fine,))


_TEXTS = st.binary(max_size=30).map(lambda data: Material(data).text())
_WISHES = ("max_height", "format", "force", "max_bytes")
_OPTIONS = st.binary(max_size=60).map(lambda data: Material(data).facts(_WISHES, 3))
_ROWS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("source_url", "upload_ref", "title", "channel", "language", "idempotency_key"), _TEXTS),
        "source_url": _TEXTS.map(lambda text: f"http://host/{text}"),
        "options": _OPTIONS.map(json.dumps) | _TEXTS,
        "priority": st.integers(-(2**33), 2**33),
        "max_attempts": st.integers(-3, 2**33),
    },
)


def test_whatever_is_inserted_ends_admitted_or_failed_for_good(
    settings: Settings, endpoints: Endpoints, database: Database
) -> None:
    """Each row gets one look; none keeps the look from its end."""
    look = Intake(settings, endpoints)

    @given(st.lists(_ROWS, min_size=1, max_size=8))
    @hypothesis_settings(max_examples=50, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    def holds(rows: list[dict[str, Any]]) -> None:
        taken = []
        for row in rows:
            try:
                taken.append(insert(database, row))
            except (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded):
                continue
            except (psycopg.errors.SyntaxError, UnicodeEncodeError):  # no column at all; half a character
                continue
        look.admit()
        for each in database.all("SELECT * FROM ingest_jobs WHERE job_id = ANY(%s)", (taken,)):
            failed = (each["status"], each["error_class"]) == ("failed", "permanent")
            assert failed or each["video_id"] is not None, each
            assert each["error_code"] != "unidentifiable", each

    holds()
