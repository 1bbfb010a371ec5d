"""The job table as the API uses it, and the way of a job from queued to its end, on a real Postgres."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest

from narralytica_ingest.failures import FailureClass, IngestError, permanent, transient
from narralytica_ingest.store import artifacts, dispatch, jobs, leases, outcomes, upkeep
from narralytica_ingest.store.artifacts import METADATA_COLUMNS, MediaFile
from narralytica_ingest.store.database import Connection, Database
from narralytica_ingest.store.dispatch import Dispatched, VideoKey
from narralytica_ingest.store.leases import Dispatch, Lease, LeaseLost

POLICY = outcomes.RetryPolicy(max_attempts=3, base_seconds=5, max_seconds=60, random=lambda: 0.0)
SHA = "a" * 64


def key(name: str = "v") -> VideoKey:
    return VideoKey(f"web-{name}", "web", name, f"http://host-{name}/clip.mp4", None, None, f"host-{name}")


def submit(connection: Connection, name: str = "v", **wishes: Any) -> UUID:
    """Inserts a job and gives it its video."""
    job_id = jobs.insert(connection, jobs.JobRequest(source_url=f"http://host-{name}/clip.mp4", **wishes))
    hints: dict[str, str] = {hint: wishes[hint] for hint in ("title", "channel", "language") if hint in wishes}
    dispatch.attach(connection, job_id, key(name), hints=hints, force=wishes.get("force", False))
    return job_id


def start(
    connection: Connection, run_id: str = "run-1", seconds: float = 60, window: int = 1
) -> tuple[Dispatched, Lease]:
    """Claims the next job and begins its run."""
    claimed = dispatch.claim(connection, window)[0]
    force = leases.is_forced(connection, Dispatch(claimed.job_id, claimed.attempt))
    lease = leases.take(connection, run_id, [claimed.video_id], seconds, force=force)[claimed.video_id]
    assert leases.bind(connection, Dispatch(claimed.job_id, claimed.attempt), lease)
    return claimed, lease


def media_file(kind: str, sha256: str = SHA) -> MediaFile:
    return MediaFile(kind, "bucket", f"media/{sha256[:2]}/{sha256}", 10, sha256, "video/mp4")


def metadata_row(lease: Lease, **values: Any) -> dict[str, Any]:
    return {"video_id": lease.video_id, **dict.fromkeys(METADATA_COLUMNS), "origins": {}, **values}


def commit_all(connection: Connection, lease: Lease, sha256: str = SHA, **values: Any) -> None:
    artifacts.commit_media_files(connection, lease, [media_file("raw_video", sha256)])
    artifacts.commit_media_files(connection, lease, [media_file("audio_track", sha256)])
    artifacts.commit_metadata(connection, {lease.video_id: lease}, [metadata_row(lease, **values)])


def job(connection: Connection, job_id: UUID) -> dict[str, Any]:
    row = connection.execute("SELECT * FROM ingest_jobs WHERE job_id = %s", (job_id,)).fetchone()
    assert row is not None
    return row


def video(connection: Connection, name: str = "v") -> dict[str, Any]:
    row = connection.execute("SELECT * FROM videos WHERE video_id = %s", (f"web-{name}",)).fetchone()
    assert row is not None
    return row


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


# ---- done -----------------------------------------------------------------------------------------------------------


def test_a_video_is_ready_when_original_audio_and_metadata_are_there_and_not_before(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        _, lease = start(connection)
        artifacts.commit_media_files(connection, lease, [media_file("raw_video")])
        artifacts.commit_metadata(connection, {lease.video_id: lease}, [metadata_row(lease, title="t")])
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
        outcomes.end_run(connection, lease, permanent("not_found", "Gone."), POLICY)
        assert video(connection)["status"] == "ready"
        assert connection.execute("SELECT DISTINCT sha256 FROM media_files").fetchall() == [{"sha256": SHA}]


# ---- failure --------------------------------------------------------------------------------------------------------


def test_a_permanent_failure_ends_the_job_and_those_that_waited_for_the_same_video(database: Database) -> None:
    with database.transaction() as connection:
        first, waiting, other = submit(connection), submit(connection), submit(connection, "other")
        connection.execute("UPDATE ingest_jobs SET priority = 9 WHERE job_id = %s", (first,))
        _, lease = start(connection)
        outcomes.end_run(connection, lease, permanent("not_found", "The source is gone."), POLICY)
        for job_id in (first, waiting):
            row = job(connection, job_id)
            assert (row["status"], row["error_class"], row["error_code"]) == ("failed", "permanent", "not_found")
        assert job(connection, other)["status"] == "queued"
        assert video(connection)["status"] == "failed"


def test_transient_failures_wait_longer_each_time_and_end_with_the_budget(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
    seen = []
    for run in range(3):
        with database.transaction() as connection:
            connection.execute("UPDATE ingest_jobs SET not_before = NULL")
            _, lease = start(connection, f"run-{run}")
        with database.transaction() as connection:
            verdict = outcomes.end_run(connection, lease, transient("timeout", "No answer."), POLICY)
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
        outcomes.end_run(connection, lease, transient("timeout", "No answer."), POLICY)
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
        outcomes.end_run(connection, lease, permanent("truncated_media", "Cut off."), POLICY)
        assert connection.execute("SELECT count(*) AS n FROM media_files").fetchone() == {"n": 0}


def test_what_is_stored_survives_a_transient_failure(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        artifacts.commit_media_files(connection, lease, [media_file("raw_video")])
        outcomes.end_run(connection, lease, transient("timeout", "No answer."), POLICY)
        assert connection.execute("SELECT count(*) AS n FROM media_files").fetchone() == {"n": 1}


def test_a_forced_job_does_not_build_on_what_was_left_behind_before_it(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        artifacts.commit_media_files(connection, lease, [media_file("raw_video")])
        outcomes.end_run(connection, lease, transient("timeout", "No answer."), POLICY)
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
        outcomes.end_run(connection, lease, transient("timeout", "No answer."), POLICY)
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
        outcomes.end_run(connection, lease, permanent("not_found", "Gone."), POLICY)
        assert job(connection, content)["status"] == "queued"
        assert job(connection, forced)["error_code"] == "not_found"
        dispatch.answer_ready(connection)
        assert job(connection, content)["outcome"] == "deduplicated"


def test_an_error_message_with_what_postgres_cannot_store_still_ends_the_job(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        _, lease = start(connection)
        outcomes.end_run(connection, lease, permanent("code", "NUL \x00 and \ud800 in it." + "x" * 9000), POLICY)
        assert job(connection, job_id)["error_message"].startswith("NUL  and  in it.x")


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
        outcomes.end_run(connection, lease, transient("timeout", "No answer."), POLICY)
        assert job(connection, job_id)["status"] == "canceled"


def test_retry_gives_a_fresh_budget_and_a_new_run_key(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        _, lease = start(connection)
        outcomes.end_run(connection, lease, permanent("not_found", "Gone."), POLICY)
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


# ---- fencing --------------------------------------------------------------------------------------------------------


def test_a_run_that_lost_its_lease_can_write_nothing(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, zombie = start(connection, "zombie", seconds=-1)
        upkeep.clear_expired_leases(connection)
    with pytest.raises(LeaseLost), database.transaction() as connection:
        artifacts.commit_media_files(connection, zombie, [media_file("raw_video")])
    with pytest.raises(LeaseLost), database.transaction() as connection:
        artifacts.commit_metadata(connection, {zombie.video_id: zombie}, [metadata_row(zombie)])
    with database.transaction() as connection:
        assert outcomes.end_run(connection, zombie, permanent("not_found", "Gone."), POLICY) is None
        assert video(connection)["status"] == "pending"
        assert connection.execute("SELECT count(*) AS n FROM media_files").fetchone() == {"n": 0}


def test_a_lease_is_taken_by_one_run_at_a_time(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)

    def take(number: int) -> bool:
        with database.transaction() as connection:
            return bool(leases.take(connection, f"run-{number}", ["web-v"], 60))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(16))) == 1


def test_a_silent_run_is_found_and_its_job_queued_again(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        start(connection, seconds=-1)
    with database.transaction() as connection:
        lost = upkeep.silent_jobs(connection)
        assert [each.job_id for each in lost] == [job_id]
        outcomes.end_attempt(connection, lost[0].job_id, lost[0].attempt, transient("worker_lost", "Died."), POLICY)
        assert upkeep.clear_expired_leases(connection) == {"web-v": "run-1"}
        row = job(connection, job_id)
        assert (row["status"], row["failures"], row["error_code"]) == ("queued", 1, "worker_lost")
        assert upkeep.silent_jobs(connection) == []


def test_the_end_of_an_earlier_attempt_does_not_touch_a_later_one(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        claimed, lease = start(connection)
        outcomes.end_run(connection, lease, IngestError(FailureClass.LOCAL, "code", "Later."), POLICY)
        late = outcomes.end_attempt(connection, job_id, claimed.attempt, permanent("late", "Late."), POLICY)
        assert late is None
        assert job(connection, job_id)["status"] == "queued"


# ---- names and places ----------------------------------------------------------------------------------------------


def test_a_name_that_extraction_reveals_leads_later_jobs_to_the_same_video(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection, "page")
        assert dispatch.learn_alias(connection, "youtube-abc", "web-page") == "web-page"
        job_id = jobs.insert(connection, jobs.JobRequest(source_url="http://youtube/abc"))
        alias = VideoKey("youtube-abc", "youtube", "abc", "http://youtube/abc", None, None, "youtube")
        assert dispatch.attach(connection, job_id, alias) == "web-page"


@pytest.mark.parametrize(("ready", "force", "moved"), [(False, False, True), (True, False, False), (True, True, True)])
def test_a_video_is_fetched_from_where_it_was_seen_last_unless_it_is_ready(
    database: Database, ready: bool, force: bool, moved: bool
) -> None:
    with database.transaction() as connection:
        submit(connection)
        if ready:
            _, lease = start(connection)
            commit_all(connection, lease)
            leases.release(connection, [lease])
        job_id = jobs.insert(connection, jobs.JobRequest(source_url="http://elsewhere/"))
        elsewhere = VideoKey("web-v", "web", "v", "http://elsewhere/", None, None, "elsewhere")
        dispatch.attach(connection, job_id, elsewhere, force=force)
        assert (video(connection)["source_url"] == "http://elsewhere/") is moved


@pytest.mark.parametrize("ready", [True, False])
def test_a_job_whose_source_is_a_known_video_joins_it(database: Database, ready: bool) -> None:
    with database.transaction() as connection:
        submit(connection, "known", priority=2)
        _, known = start(connection, "run-known")
        if ready:
            commit_all(connection, known)
        stray_job = submit(connection, "stray")
        _, stray = start_second(connection)
        assert dispatch.learn_alias(connection, "web-known", stray.video_id) == "web-known"
        dispatch.join_known_video(connection, stray, "web-known")
        row = job(connection, stray_job)
        assert row["video_id"] == "web-known"
        assert row["status"] == ("succeeded" if ready else "queued")
        assert row["outcome"] == ("deduplicated" if ready else None)
        again = jobs.insert(connection, jobs.JobRequest(source_url="http://host-stray/clip.mp4"))
        assert dispatch.attach(connection, again, key("stray")) == "web-known"


def start_second(connection: Connection) -> tuple[Dispatched, Lease]:
    claimed = dispatch.claim(connection, 2)[0]
    lease = leases.take(connection, "run-stray", [claimed.video_id], 60)[claimed.video_id]
    assert leases.bind(connection, Dispatch(claimed.job_id, claimed.attempt), lease)
    return claimed, lease
