"""Who may write about a video, and which names and places lead to it. On a real Postgres."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from narralytica_ingest.failures import FailureClass, IngestError, failure
from narralytica_ingest.store import aliases, artifacts, dispatch, jobs, leases, metadata_rows, outcomes, upkeep
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.dispatch import VideoKey
from narralytica_ingest.store.leases import LeaseLost
from narralytica_ingest_tests.job_table import (
    POLICY,
    commit_all,
    job,
    key,
    media_file,
    metadata_row,
    start,
    start_second,
    submit,
    video,
)

# ---- fencing --------------------------------------------------------------------------------------------------------


def test_a_run_that_lost_its_lease_can_write_nothing(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, zombie = start(connection, "zombie", seconds=-1)
        upkeep.clear_expired_leases(connection)
    with pytest.raises(LeaseLost), database.transaction() as connection:
        artifacts.commit_media_files(connection, zombie, [media_file("raw_video")])
    with pytest.raises(LeaseLost), database.transaction() as connection:
        metadata_rows.commit_metadata(connection, {zombie.video_id: zombie}, [metadata_row(zombie)])
    with database.transaction() as connection:
        assert outcomes.end_run(connection, zombie, failure("not_found", "Gone."), POLICY) is None
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
        outcomes.end_attempt(connection, lost[0].job_id, lost[0].attempt, failure("worker_lost", "Died."), POLICY)
        assert upkeep.clear_expired_leases(connection) == {"web-v": "run-1"}
        row = job(connection, job_id)
        assert (row["status"], row["failures"], row["error_code"]) == ("queued", 1, "worker_lost")
        assert upkeep.silent_jobs(connection) == []


def test_the_end_of_an_earlier_attempt_does_not_touch_a_later_one(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        claimed, lease = start(connection)
        outcomes.end_run(connection, lease, IngestError(FailureClass.LOCAL, "code", "Later."), POLICY)
        late = outcomes.end_attempt(
            connection, job_id, claimed.attempt, IngestError(FailureClass.PERMANENT, "late", "Late."), POLICY
        )
        assert late is None
        assert job(connection, job_id)["status"] == "queued"


# ---- names and places ----------------------------------------------------------------------------------------------


def test_a_name_that_extraction_reveals_leads_later_jobs_to_the_same_video(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection, "page")
        assert aliases.learn_alias(connection, "youtube-abc", "web-page") == "web-page"
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
        assert aliases.learn_alias(connection, "web-known", stray.video_id) == "web-known"
        aliases.join_known_video(connection, stray, "web-known")
        row = job(connection, stray_job)
        assert row["video_id"] == "web-known"
        assert row["status"] == ("succeeded" if ready else "queued")
        assert row["outcome"] == ("deduplicated" if ready else None)
        again = jobs.insert(connection, jobs.JobRequest(source_url="http://host-stray/clip.mp4"))
        assert dispatch.attach(connection, again, key("stray")) == "web-known"
