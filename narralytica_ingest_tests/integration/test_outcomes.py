"""How a job ends: when a video is done, and what follows from each class of failure. On a real Postgres."""

from datetime import datetime, tzinfo
from typing import Self

import psycopg
import pytest

from narralytica_ingest.failures import FailureClass, IngestError, failure
from narralytica_ingest.store import artifacts, dispatch, jobs, leases, metadata_rows, outcomes
from narralytica_ingest.store.database import Database
from narralytica_ingest_tests.job_table import (
    POLICY,
    SHA,
    commit_all,
    job,
    media_file,
    metadata_row,
    start,
    submit,
    video,
)

# ---- done -----------------------------------------------------------------------------------------------------------


def test_a_video_is_ready_when_original_audio_and_metadata_are_there_and_not_before(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        _, lease = start(connection)
        artifacts.commit_media_files(connection, lease, [media_file("raw_video")])
        metadata_rows.commit_metadata(connection, {lease.video_id: lease}, [metadata_row(lease, title="t")])
        assert (video(connection)["status"], job(connection, job_id)["status"]) == ("ingesting", "running")
        artifacts.commit_media_files(connection, lease, [media_file("audio_track")])
        assert (video(connection)["status"], job(connection, job_id)["outcome"]) == ("ready", "ingested")


def test_jobs_that_waited_are_deduplicated_when_the_first_succeeds(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)
        waiting = submit(connection)
        _, lease = start(connection)
        assert dispatch.claim(connection, 10) == []
        commit_all(connection, lease)
        assert job(connection, waiting)["outcome"] == "deduplicated"


def test_a_new_job_for_a_ready_video_is_answered_at_once_and_its_hints_fill_gaps(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        commit_all(connection, lease, title="from the source")
        again = submit(connection, title="hint", channel="channel hint")
        assert dispatch.answer_ready(connection) == 1
        assert job(connection, again)["outcome"] == "deduplicated"
        row = connection.execute("SELECT title, channel, origins FROM video_metadata").fetchone()
    assert row == {"title": "from the source", "channel": "channel hint", "origins": {"channel": "hint"}}


def test_a_forced_job_replaces_everything_at_once_and_serves_the_old_files_until_then(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        commit_all(connection, lease)
        leases.release(connection, [lease])
        forced = submit(connection, force=True)
        dispatch.answer_ready(connection)
        assert job(connection, forced)["status"] == "queued"
        _, lease = start(connection, "run-2")
        artifacts.commit_media_files(connection, lease, [media_file("raw_video", "b" * 64)])
        served = connection.execute("SELECT sha256 FROM ready_media_files WHERE kind = 'raw_video'").fetchall()
        assert served == [{"sha256": SHA}]
        commit_all(connection, lease, "b" * 64)
        served = connection.execute("SELECT DISTINCT sha256 FROM media_files").fetchall()
        assert served == [{"sha256": "b" * 64}]
        assert (video(connection)["generation"], job(connection, forced)["outcome"]) == (2, "ingested")


def test_a_forced_job_that_fails_leaves_the_video_ready_as_it_was(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        commit_all(connection, lease)
        leases.release(connection, [lease])
        submit(connection, force=True)
        _, lease = start(connection, "run-2")
        artifacts.commit_media_files(connection, lease, [media_file("raw_video", "b" * 64)])
        outcomes.end_run(connection, lease, failure("not_found", "Gone."), POLICY)
        assert video(connection)["status"] == "ready"
        assert connection.execute("SELECT DISTINCT sha256 FROM media_files").fetchall() == [{"sha256": SHA}]


# ---- failure --------------------------------------------------------------------------------------------------------


def test_a_permanent_failure_ends_the_job_and_those_that_waited_for_the_same_video(database: Database) -> None:
    with database.transaction() as connection:
        first, waiting, other = submit(connection), submit(connection), submit(connection, "other")
        connection.execute("UPDATE ingest_jobs SET priority = 9 WHERE job_id = %s", (first,))
        _, lease = start(connection)
        outcomes.end_run(connection, lease, failure("not_found", "The source is gone."), POLICY)
        for job_id in (first, waiting):
            row = job(connection, job_id)
            assert (row["status"], row["error_class"], row["error_code"]) == ("failed", "permanent", "not_found")
        assert job(connection, other)["status"] == "queued"
        assert video(connection)["status"] == "failed"


def test_one_jobs_limit_does_not_fail_another_that_has_none(database: Database) -> None:
    with database.transaction() as connection:
        limited, alike = (submit(connection, options={"max_bytes": 10}) for _ in range(2))
        free = submit(connection)
        _, lease = start(connection)
        outcomes.end_run(connection, lease, failure("too_large"), POLICY)
        assert [job(connection, each)["status"] for each in (limited, alike, free)] == ["failed", "failed", "queued"]
        assert start(connection, "run-2")[0].job_id == free


def test_a_playlist_that_is_refused_as_an_entry_is_listed_for_a_job_of_its_own(database: Database) -> None:
    with database.transaction() as connection:
        parent = jobs.insert(connection, jobs.JobRequest(source_url="http://host/list"))
        entry, other_entry, own = (submit(connection) for _ in range(3))
        connection.execute(
            "UPDATE ingest_jobs SET parent_job_id = %s WHERE job_id IN (%s, %s)", (parent, entry, other_entry)
        )
        _, lease = start(connection)
        outcomes.end_run(connection, lease, failure("nested_playlist"), POLICY)
        states = [job(connection, each)["status"] for each in (entry, other_entry, own)]
        assert states == ["failed", "failed", "queued"]
        assert start(connection, "run-2")[0].job_id == own


def test_the_tables_are_dated_by_their_own_clock(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr(outcomes, "datetime", Wrong)
    with database.transaction() as connection:
        submit(connection)
        outcomes.end_run(connection, start(connection)[1], failure("timed_out"), POLICY)
        wait = connection.execute("SELECT not_before - now() AS wait FROM ingest_jobs").fetchone()
    assert wait is not None
    assert wait["wait"].total_seconds() == pytest.approx(POLICY.delay(1), abs=2)


def test_transient_failures_wait_longer_each_time_and_end_with_the_budget(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
    seen = []
    for run in range(3):
        with database.transaction() as connection:
            connection.execute("UPDATE ingest_jobs SET not_before = NULL")
            _, lease = start(connection, f"run-{run}")
        with database.transaction() as connection:
            verdict = outcomes.end_run(
                connection, lease, IngestError(FailureClass.TRANSIENT, "timeout", "No answer."), POLICY
            )
            assert verdict is not None
            seen.append((verdict.status, verdict.failures))
    assert seen == [("queued", 1), ("queued", 2), ("failed", 3)]
    with database.transaction() as connection:
        row = job(connection, job_id)
        assert (row["attempt"], row["error_code"]) == (3, "timeout")


def test_a_waiting_job_takes_over_with_a_budget_of_its_own_when_the_first_is_exhausted(database: Database) -> None:
    with database.transaction() as connection:
        first = submit(connection)
        connection.execute("UPDATE ingest_jobs SET max_attempts = 1")
        waiting = submit(connection)
        _, lease = start(connection)
        outcomes.end_run(connection, lease, IngestError(FailureClass.TRANSIENT, "timeout", "No answer."), POLICY)
        assert job(connection, first)["status"] == "failed"
        assert [each.job_id for each in dispatch.claim(connection, 10)] == [waiting]


@pytest.mark.parametrize("failure_class", [FailureClass.LOCAL, FailureClass.NOT_YET])
def test_what_is_not_the_jobs_fault_spends_no_attempt(database: Database, failure_class: FailureClass) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        _, lease = start(connection)
        outcomes.end_run(connection, lease, IngestError(failure_class, "code", "Later."), POLICY)
        row = job(connection, job_id)
        assert (row["status"], row["failures"], row["error_code"]) == ("queued", 0, "code")
        assert row["not_before"] is not None
        assert dispatch.claim(connection, 10) == []


def test_after_a_permanent_failure_nothing_of_the_video_is_kept_so_that_a_mended_source_is_fetched_anew(
    database: Database,
) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        artifacts.commit_media_files(connection, lease, [media_file("raw_video")])
        outcomes.end_run(connection, lease, failure("truncated_media", "Cut off."), POLICY)
        assert connection.execute("SELECT count(*) AS n FROM media_files").fetchone() == {"n": 0}


def test_what_is_stored_survives_a_transient_failure(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        artifacts.commit_media_files(connection, lease, [media_file("raw_video")])
        outcomes.end_run(connection, lease, IngestError(FailureClass.TRANSIENT, "timeout", "No answer."), POLICY)
        assert connection.execute("SELECT count(*) AS n FROM media_files").fetchone() == {"n": 1}


def test_a_forced_job_does_not_build_on_what_was_left_behind_before_it(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        artifacts.commit_media_files(connection, lease, [media_file("raw_video")])
        outcomes.end_run(connection, lease, IngestError(FailureClass.TRANSIENT, "timeout", "No answer."), POLICY)
        connection.execute("UPDATE media_files SET created_at = now() - interval '1 minute'")
        connection.execute("UPDATE ingest_jobs SET status = 'canceled', finished_at = now()")
    with database.transaction() as connection:
        submit(connection, force=True)
        start(connection, "run-2")
        assert connection.execute("SELECT count(*) AS n FROM media_files").fetchone() == {"n": 0}


def test_a_waiting_job_does_not_hurry_a_video_that_is_to_be_left_alone(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection, priority=1)
        waiting = submit(connection)
        _, lease = start(connection)
        outcomes.end_run(connection, lease, IngestError(FailureClass.TRANSIENT, "timeout", "No answer."), POLICY)
        assert dispatch.claim(connection, 10) == []
        connection.execute("UPDATE ingest_jobs SET not_before = now() - interval '1 s' WHERE job_id <> %s", (waiting,))
        assert len(dispatch.claim(connection, 10)) == 1


def test_a_forced_failure_does_not_fail_jobs_that_are_content_with_the_ready_video(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        commit_all(connection, lease)
        leases.release(connection, [lease])
        submit(connection, force=True)
        _, lease = start(connection, "run-2")
        content, forced = submit(connection), submit(connection, force=True)
        outcomes.end_run(connection, lease, failure("not_found", "Gone."), POLICY)
        assert job(connection, content)["status"] == "queued"
        assert job(connection, forced)["error_code"] == "not_found"
        dispatch.answer_ready(connection)
        assert job(connection, content)["outcome"] == "deduplicated"


def test_an_error_message_with_what_postgres_cannot_store_still_ends_the_job(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        _, lease = start(connection)
        outcomes.end_run(
            connection,
            lease,
            IngestError(FailureClass.PERMANENT, "code", "NUL \x00 and \ud800 in it." + "x" * 9000),
            POLICY,
        )
        assert job(connection, job_id)["error_message"].startswith(r"NUL \x00 and \ud800 in it.x")


def test_only_a_server_that_is_away_is_called_away(database: Database) -> None:
    impatient = Database(f"{database.url}?options=-cstatement_timeout%3D10")
    with pytest.raises(psycopg.errors.QueryCanceled):
        impatient.all("SELECT pg_sleep(1)")
    with pytest.raises(IngestError, match="database_away"), Database("postgresql://127.0.0.1:1/x").transaction():
        pass


def test_a_job_at_work_must_have_a_video(database: Database) -> None:
    with pytest.raises(psycopg.errors.CheckViolation), database.transaction() as connection:
        connection.execute("INSERT INTO ingest_jobs (source_url, status) VALUES ('http://a/', 'running')")
    with database.transaction() as connection:
        submit(connection)
        start(connection)
    with pytest.raises(psycopg.errors.CheckViolation), database.transaction() as connection:
        connection.execute("DELETE FROM videos")
