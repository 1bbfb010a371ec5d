"""The job table as the API uses it: insert, watch, claim, cancel, retry. On a real Postgres."""

import json
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from narralytica_ingest.failures import FailureClass, IngestError, failure
from narralytica_ingest.store import dispatch, jobs, leases, outcomes
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.dispatch import VideoKey
from narralytica_ingest.store.leases import Dispatch, Lease
from narralytica_ingest_tests.job_table import (
    POLICY,
    commit_all,
    job,
    start,
    submit,
)

# ---- the contract ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    ["DEFAULT VALUES", "(source_url, upload_ref) VALUES ('http://a/', 's3://b/c')", "(source_url) VALUES ('')"],
)
def test_a_job_needs_exactly_one_source(database: Database, values: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation), database.transaction() as connection:
        connection.execute(f"INSERT INTO ingest_jobs {values}")


def test_a_url_alone_makes_a_job(database: Database) -> None:
    row = database.all("INSERT INTO ingest_jobs (source_url) VALUES ('http://a/b') RETURNING *")[0]
    assert (row["status"], row["attempt"], row["failures"], row["video_id"]) == ("queued", 0, 0, None)


def test_a_repeated_idempotency_key_returns_the_first_job(database: Database) -> None:
    request = jobs.JobRequest(source_url="http://a/b", idempotency_key="k")
    with database.transaction() as connection:
        assert jobs.insert(connection, request) == jobs.insert(connection, request)


def test_every_change_of_state_is_announced(database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True) as listener:
        listener.execute("LISTEN narralytica_ingest")
        with database.transaction() as connection:
            submit(connection)
        with database.transaction() as connection:
            _, lease = start(connection)
        with database.transaction() as connection:
            commit_all(connection, lease)
        heard = [json.loads(notice.payload) for notice in listener.notifies(timeout=5, stop_after=7)]
    assert [each["status"] for each in heard if "status" in each] == ["queued", "dispatched", "running", "succeeded"]
    assert [each["video_status"] for each in heard if "video_status" in each] == ["ingesting", "ready"]


def test_a_listener_hears_what_happens_after_it_began_and_waits_no_longer_than_told(database: Database) -> None:
    with database.listening() as news_within:
        assert not news_within(0.1)
        with database.transaction() as connection:
            submit(connection)
        assert news_within(5)


# ---- claiming -------------------------------------------------------------------------------------------------------


def test_urgent_jobs_go_first_and_hosts_take_turns(database: Database) -> None:
    with database.transaction() as connection:
        for name in ("a1", "a2", "a3", "b1"):
            job_id = jobs.insert(connection, jobs.JobRequest(source_url=f"http://{name}/"))
            dispatch.attach(connection, job_id, VideoKey(f"web-{name}", "web", name, "http://x/", None, None, name[0]))
        urgent = submit(connection, "late", priority=5)
        connection.execute("UPDATE ingest_jobs SET created_at = created_at + random() * interval '1 ms'")
        claimed = dispatch.claim(connection, 3)
    assert {each.video_id[4:5] for each in claimed} == {"a", "b", "l"}
    assert urgent in {each.job_id for each in claimed}


def test_the_window_limits_what_is_in_flight(database: Database) -> None:
    with database.transaction() as connection:
        for number in range(5):
            submit(connection, str(number))
        assert len(dispatch.claim(connection, 3)) == 3
        assert dispatch.claim(connection, 3) == []
        assert len(dispatch.claim(connection, 4)) == 1


def test_many_claimers_never_claim_a_job_or_a_video_twice(database: Database) -> None:
    with database.transaction() as connection:
        for number in range(20):
            submit(connection, str(number % 10))

    def claim(_: int) -> list[str]:
        with database.transaction() as connection:
            return [each.video_id for each in dispatch.claim(connection, 100)]

    with ThreadPoolExecutor(8) as pool:
        claimed = [video_id for batch in pool.map(claim, range(8)) for video_id in batch]
    assert sorted(claimed) == sorted(f"web-{number}" for number in range(10))


def test_a_dispatched_job_without_a_run_is_emitted_again_with_the_same_run_key(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)
        first = dispatch.claim(connection, 1)
    with database.transaction() as connection:
        assert dispatch.emit_again(connection, 60) == []
        assert dispatch.emit_again(connection, 0) == first
        assert first[0].run_key.endswith(":1")


def test_a_job_is_bound_to_one_run_only(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)
        claimed, lease = start(connection)
        zombie = Lease(lease.video_id, "run-2", lease.epoch, 1)
        assert not leases.bind(connection, Dispatch(claimed.job_id, claimed.attempt), zombie)


# ---- cancel and retry -----------------------------------------------------------------------------------------------


def test_a_queued_job_is_canceled_at_once_and_a_running_one_is_asked_to_stop(database: Database) -> None:
    with database.transaction() as connection:
        queued, running = submit(connection, "q"), submit(connection, "r", priority=1)
        start(connection)
        assert jobs.cancel(connection, queued) == "canceled"
        assert jobs.cancel(connection, running) == "running"
        assert job(connection, running)["cancel_requested"]
        with pytest.raises(IngestError, match="canceled already"):
            jobs.cancel(connection, queued)


def test_a_cancel_in_plain_sql_is_honoured_by_the_next_look(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        connection.execute("UPDATE ingest_jobs SET cancel_requested = true")
        assert dispatch.claim(connection, 10) == []
        assert dispatch.cancel_requested(connection) == 1
        assert job(connection, job_id)["status"] == "canceled"


def test_a_failure_of_a_job_that_was_canceled_counts_as_the_cancel(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        _, lease = start(connection)
        jobs.cancel(connection, job_id)
        outcomes.end_run(connection, lease, IngestError(FailureClass.TRANSIENT, "timeout", "No answer."), POLICY)
        assert job(connection, job_id)["status"] == "canceled"


def test_retry_gives_a_fresh_budget_and_a_new_run_key(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        _, lease = start(connection)
        outcomes.end_run(connection, lease, failure("not_found", "Gone."), POLICY)
        jobs.retry(connection, job_id)
        row = job(connection, job_id)
        assert (row["status"], row["failures"], row["error_code"], row["finished_at"]) == ("queued", 0, None, None)
        assert dispatch.claim(connection, 1)[0].run_key == f"{job_id}:2"


def test_a_succeeded_job_is_retried_only_by_force(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        _, lease = start(connection)
        commit_all(connection, lease)
        with pytest.raises(IngestError, match="--force"):
            jobs.retry(connection, job_id)
        jobs.retry(connection, job_id, force=True)
        assert job(connection, job_id)["status"] == "queued"
