"""New jobs get their videos, or a verdict; one bad job delays no other."""

import time
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.intake import Intake
from narralytica_ingest.store import dispatch
from narralytica_ingest.store.database import Connection, Database

# Longer than an index of Postgres takes, and of letters that do not compress.
LONG_HOST = ".".join(sha256(bytes([number])).hexdigest()[:60] for number in range(100))


def insert(database: Database, **values: object) -> UUID:
    names, holes = ", ".join(values), ", ".join(["%s"] * len(values))
    rows = database.all(f"INSERT INTO ingest_jobs ({names}) VALUES ({holes}) RETURNING job_id", list(values.values()))
    return UUID(str(rows[0]["job_id"]))


def job(database: Database, job_id: UUID) -> dict[str, Any]:
    return database.all("SELECT * FROM ingest_jobs WHERE job_id = %s", (job_id,))[0]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"source_url": "ftp://host/clip.mp4"}, "blocked_scheme"),
        ({"source_url": "http://[bad"}, "invalid_url"),
        ({"upload_ref": "nothing"}, "invalid_upload_ref"),
        ({"upload_ref": "s3://narralytica-uploads/nothing.mp4"}, "upload_missing"),
        ({"upload_ref": "s3://no-such-bucket/clip.mp4"}, "upload_not_allowed"),
        ({"upload_ref": "s3://narralytica-uploads/../x"}, "upload_not_allowed"),
        ({"upload_ref": f"s3://narralytica-uploads/{'k' * 1025}"}, "invalid_upload_ref"),
        ({"source_url": f"http://{LONG_HOST}/clip.mp4"}, "invalid_url"),
        ({"source_url": "http://host/", "options": '{"max_height": "abc"}'}, "invalid_options"),
        ({"source_url": "http://host/", "options": '{"force": "yes"}'}, "invalid_options"),
        ({"source_url": "http://host/", "options": '{"colour": "red"}'}, "invalid_options"),
        ({"source_url": "http://host/", "options": '{"format": ""}'}, "invalid_options"),
        ({"source_url": "http://host/", "options": f'{{"format": "{"b" * 201}"}}'}, "invalid_options"),
        ({"source_url": "http://host/", "options": '{"format": "best[title~=(a+)+$]"}'}, "invalid_options"),
        ({"source_url": "http://host/", "options": '{"max_duration_seconds": 0}'}, "invalid_options"),
        ({"source_url": "http://host/", "options": '{"max_duration_seconds": 1e309}'}, "invalid_options"),
        ({"source_url": "http://host/", "options": '{"max_bytes": 1e300}'}, "invalid_options"),
        ({"source_url": "http://host/", "options": '{"max_duration_seconds": "60"}'}, "invalid_options"),
        ({"source_url": "http://host/", "options": '{"max_bytes": 1.5}'}, "invalid_options"),
        ({"source_url": "http://host/", "options": '{"playlist_limit": true}'}, "invalid_options"),
    ],
)
def test_a_bad_job_fails_at_once_with_advice_and_a_good_one_beside_it_goes_on(
    settings: Settings, endpoints: Endpoints, database: Database, values: dict[str, object], code: str
) -> None:
    bad = insert(database, **values)
    good = insert(database, source_url="http://host/good.mp4")
    Intake(settings, endpoints).admit()
    row = job(database, bad)
    assert (row["status"], row["error_class"], row["error_code"]) == ("failed", "permanent", code)
    assert len(row["error_message"].split()) > 5
    assert job(database, good)["video_id"].startswith("web-")


@pytest.mark.parametrize(
    "options",
    [
        '{"max_duration_seconds": 60, "max_bytes": 1000000, "playlist_limit": 3}',
        '{"format": "bestaudio/best[height<=480]"}',
    ],
)
def test_what_a_job_may_wish_is_taken(
    settings: Settings, endpoints: Endpoints, database: Database, options: str
) -> None:
    wishing = insert(database, source_url="http://host/clip.mp4", options=options)
    Intake(settings, endpoints).admit()
    assert job(database, wishing)["video_id"] is not None


def test_a_playlist_is_admitted_like_any_video(settings: Settings, endpoints: Endpoints, database: Database) -> None:
    listed = insert(database, source_url="https://www.youtube.com/playlist?list=PLrAXtmErZgOeiKm4sgNOknGvNjby9efdf")
    Intake(settings, endpoints).admit()
    row = job(database, listed)
    assert (row["status"], row["video_id"]) == ("queued", "youtube-list-PLrAXtmErZgOeiKm4sgNOknGvNjby9efdf")


def test_hints_are_stored_in_the_form_of_metadata(settings: Settings, endpoints: Endpoints, database: Database) -> None:
    insert(database, source_url="http://host/a", title=" A \x1b[31m title ", channel="  ", language="English please")
    insert(database, source_url="http://host/a", title="later", language="EN-us")
    Intake(settings, endpoints).admit()
    hints = database.all("SELECT hints FROM videos")[0]["hints"]
    assert hints == {"title": "A [31m title", "language": "en-US"}


def test_an_object_store_that_hangs_delays_only_the_jobs_that_need_it(
    settings: Settings, endpoints: Endpoints, database: Database
) -> None:
    away = replace(endpoints, s3=replace(endpoints.s3, url="http://127.0.0.1:1"))
    uploads = [insert(database, upload_ref=f"s3://narralytica-uploads/{number}", priority=9) for number in range(5)]
    page = insert(database, source_url="http://host/page")
    started = time.monotonic()
    Intake(settings, away).admit()
    assert time.monotonic() - started < 10
    assert job(database, page)["video_id"] is not None
    assert {job(database, each)["status"] for each in uploads} == {"queued"}
    assert "object_store_away" in {job(database, each)["error_code"] for each in uploads}


def test_a_job_whose_known_video_goes_at_that_moment_is_looked_at_again(
    settings: Settings, endpoints: Endpoints, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, other = (insert(database, source_url=f"http://host/{name}.mp4") for name in ("a", "b"))
    attach = dispatch.attach

    def to_what_has_gone(connection: Connection, job_id: UUID, *args: Any, **options: Any) -> str:
        if job_id == waiting:
            connection.execute("UPDATE ingest_jobs SET video_id = 'web-gone' WHERE job_id = %s", (job_id,))
        return attach(connection, job_id, *args, **options)

    monkeypatch.setattr(dispatch, "attach", to_what_has_gone)
    Intake(settings, endpoints).admit()
    assert (job(database, waiting)["status"], job(database, waiting)["video_id"]) == ("queued", None)
    assert job(database, other)["video_id"] is not None
    monkeypatch.undo()
    Intake(settings, endpoints).admit()
    assert job(database, waiting)["video_id"] is not None
