"""What a run does before, while and after it works on a video: against the real tables, without Dagster's engine."""

import logging
import os
import time
from collections.abc import Callable
from uuid import UUID

import dagster as dg
import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.engine.partials import hold_partial
from narralytica_ingest.engine.run_session import RunInfo, RunSession
from narralytica_ingest.failures import FailureClass, IngestError, failure
from narralytica_ingest.store import dispatch as dispatching
from narralytica_ingest.store import jobs, leases, pauses
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.leases import Dispatch, LeaseLost
from narralytica_ingest_tests.job_table import commit_all, job, start, submit, video


def session(
    settings: Settings,
    database: Database,
    dispatch: Dispatch | None = None,
    *,
    is_copy: bool = False,
    canceling: Callable[[], bool] = lambda: False,
    reported: Callable[[], None] = lambda: None,
    given_up: Callable[[], bool] = lambda: False,
) -> RunSession:
    quick = settings.model_copy(update={"heartbeat_seconds": 0.1, "lease_seconds": 2.0})
    run = RunInfo(f"run-{time.monotonic_ns()}", "web-v", dispatch, is_copy, canceling, reported, given_up)
    return RunSession(quick, database, run, logging.getLogger("test"))


def dispatched(database: Database) -> Dispatch:
    with database.transaction() as connection:
        submit(connection)
        claimed = dispatching.claim(connection, 1)[0]
    return Dispatch(claimed.job_id, claimed.attempt)


def row(database: Database, job_id: UUID) -> dict[str, object]:
    with database.transaction() as connection:
        return job(connection, job_id)


def test_a_job_whose_video_became_ready_meanwhile_is_answered_and_the_run_has_nothing_to_do(
    settings: Settings, database: Database
) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        commit_all(connection, lease)
        leases.release(connection, [lease])
        connection.execute("UPDATE videos SET status = 'pending'")
    waiting = dispatched(database)
    database.all("UPDATE videos SET status = 'ready' RETURNING 1")
    with session(settings, database, waiting) as run:
        assert run.take(["web-v"]) == {}
    assert row(database, waiting.job_id)["outcome"] == "deduplicated"


def test_a_run_that_comes_too_late_for_its_job_touches_nothing(settings: Settings, database: Database) -> None:
    late = dispatched(database)
    with session(settings, database, Dispatch(late.job_id, late.attempt - 1)) as run:
        assert run.take(["web-v"]) == {}
    with database.transaction() as connection:
        assert video(connection)["lease_epoch"] == 0
        assert job(connection, late.job_id)["status"] == "dispatched"


def test_a_job_whose_video_is_at_work_in_another_run_waits(settings: Settings, database: Database) -> None:
    late = dispatched(database)
    with database.transaction() as connection:
        leases.take(connection, "by-hand", ["web-v"], 60)
    with session(settings, database, late) as run:
        assert run.take(["web-v"]) == {}
    assert row(database, late.job_id)["status"] == "queued"


def test_a_run_of_an_unknown_video_fails_with_a_sentence(settings: Settings, database: Database) -> None:
    with session(settings, database) as run, pytest.raises(IngestError, match="No video nobody is known"):
        run.take(["nobody"])


def test_a_re_execution_works_for_nobodys_job_and_is_refused_while_the_video_is_at_work(
    settings: Settings, database: Database
) -> None:
    original = dispatched(database)
    with session(settings, database, original, is_copy=True) as copy:
        assert copy.take(["web-v"])
        assert row(database, original.job_id)["status"] == "dispatched"
        with session(settings, database, is_copy=True) as other, pytest.raises(IngestError, match="video_busy"):
            other.take(["web-v"])


def test_the_heartbeat_keeps_the_lease_and_writes_progress(settings: Settings, database: Database) -> None:
    mine = dispatched(database)
    with session(settings, database, mine) as run:
        run.take(["web-v"])
        run.progress("fetch", 10, 100, 5.4)
        time.sleep(3)
        now = row(database, mine.job_id)
        assert now["progress"] == {"stage": "fetch", "bytes": 10, "total": 100, "rate": 5, "eta": None}
        with database.transaction() as connection:
            assert leases.take(connection, "thief", ["web-v"], 60) == {}


@pytest.mark.parametrize("by_job", [True, False])
def test_a_cancel_interrupts_the_run_wherever_it_is_and_cancels_the_job(
    settings: Settings, database: Database, by_job: bool
) -> None:
    mine, reported = dispatched(database), []
    terminated = False
    run = session(settings, database, mine, canceling=lambda: terminated, reported=lambda: reported.append(True))
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), run, run.stage("fetch"):
        run.take(["web-v"])
        if by_job:
            with database.transaction() as connection:
                jobs.cancel(connection, mine.job_id)
        terminated = not by_job
        time.sleep(30)
    assert time.monotonic() - began < 5
    assert row(database, mine.job_id)["status"] == "canceled"
    assert reported == ([True] if by_job else [])


def test_a_run_that_was_taken_for_dead_hands_its_job_back_and_is_no_cancel(
    settings: Settings, database: Database
) -> None:
    mine = dispatched(database)
    run = session(settings, database, mine, given_up=lambda: True)
    with pytest.raises(KeyboardInterrupt), run, run.stage("fetch"):
        run.take(["web-v"])
        time.sleep(30)
    with database.transaction() as connection:
        handed_back = job(connection, mine.job_id)
        assert (handed_back["status"], handed_back["failures"]) == ("queued", 0)
        assert dispatching.claim(connection, 1)[0].job_id == mine.job_id, "another run may have it at once"


def test_a_run_that_lost_its_lease_is_interrupted_and_writes_nothing_more(
    settings: Settings, database: Database
) -> None:
    mine = dispatched(database)
    run = session(settings, database, mine)
    with pytest.raises(KeyboardInterrupt), run, run.stage("fetch"):
        run.take(["web-v"])
        database.all("UPDATE videos SET lease_epoch = lease_epoch + 1, lease_run_id = 'thief' RETURNING 1")
        time.sleep(30)
    with database.transaction() as connection:
        assert video(connection)["lease_run_id"] == "thief"
        assert job(connection, mine.job_id)["status"] == "running"


def test_a_failure_in_a_stage_ends_the_attempt_with_its_verdict_and_leaves_no_scratch(
    settings: Settings, database: Database
) -> None:
    mine = dispatched(database)
    run = session(settings, database, mine)
    with run:
        run.take(["web-v"])
        (run.scratch / "part").write_text("half")
        with pytest.raises(dg.Failure, match="No answer"), run.stage("fetch"):
            raise IngestError(FailureClass.TRANSIENT, "timeout", "No answer.")
        with pytest.raises(LeaseLost):
            run.lease("web-v")
    now = row(database, mine.job_id)
    assert (now["status"], now["failures"], now["error_code"]) == ("queued", 1, "timeout")
    assert os.listdir(settings.home / "scratch") == []


def test_an_unexpected_error_is_transient_and_a_stopped_worker_costs_no_attempt(
    settings: Settings, database: Database
) -> None:
    mine = dispatched(database)
    with session(settings, database, mine) as run, pytest.raises(dg.Failure), run.stage("fetch"):
        run.take(["web-v"])
        raise ZeroDivisionError("what?")
    assert row(database, mine.job_id)["error_code"] == "unexpected"

    database.all("UPDATE ingest_jobs SET not_before = NULL RETURNING 1")
    with database.transaction() as connection:
        claimed = dispatching.claim(connection, 1)[0]
    again = Dispatch(claimed.job_id, claimed.attempt)
    run = session(settings, database, again)
    with pytest.raises(SystemExit), run, run.stage("fetch"):
        run.take(["web-v"])
        raise SystemExit
    now = row(database, mine.job_id)
    assert (now["status"], now["failures"], now["error_code"]) == ("queued", 1, "interrupted")


@pytest.mark.parametrize(
    ("failed", "kept"),
    [
        (IngestError(FailureClass.TRANSIENT, "timeout", "No answer."), ["part"]),
        (failure("disk_full", "Full."), ["part"]),
        (failure("source_changed", "Changed."), []),
        (failure("not_found", "Gone."), None),
        (SystemExit(), ["part"]),
    ],
    ids=["tried again", "waits", "restart", "failed for good", "worker stopped"],
)
def test_an_unfinished_download_is_kept_for_the_next_attempt_alone(
    settings: Settings, database: Database, failed: BaseException, kept: list[str] | None
) -> None:
    expected = SystemExit if isinstance(failed, SystemExit) else dg.Failure
    with pytest.raises(expected), session(settings, database, dispatched(database)) as run, run.stage("fetch"):
        run.take(["web-v"])
        (run.partial_folder("web-v") / "part").touch()
        raise failed
    folder = settings.home / "partial" / "web-v"
    assert (os.listdir(folder) if folder.exists() else None) == kept
    again = hold_partial(settings.home, "web-v")
    assert again is not None, "nobody holds it any more"
    again.close()


def test_nothing_is_kept_of_a_download_whose_video_is_ready_or_whose_run_had_no_job(
    settings: Settings, database: Database
) -> None:
    with session(settings, database, dispatched(database)) as run:
        lease = run.take(["web-v"])["web-v"]
        (run.partial_folder("web-v") / "part").touch()
        with database.transaction() as connection:
            commit_all(connection, lease)
    assert os.listdir(settings.home / "partial") == []
    with pytest.raises(dg.Failure), session(settings, database) as by_hand, by_hand.stage("fetch"):
        by_hand.take(["web-v"])
        (by_hand.partial_folder("web-v") / "part").touch()
        raise IngestError(FailureClass.TRANSIENT, "timeout", "No answer.")
    assert os.listdir(settings.home / "partial") == []


def test_a_run_whose_forerunner_still_writes_begins_anew_in_its_own_folder(
    settings: Settings, database: Database
) -> None:
    zombie = hold_partial(settings.home, "web-v")
    assert zombie is not None
    (zombie.path / "part").touch()
    with session(settings, database, dispatched(database)) as run:
        run.take(["web-v"])
        folder = run.partial_folder("web-v")
        assert folder.parent == run.scratch
        assert os.listdir(folder) == []
    assert os.listdir(zombie.path) == ["part"]
    zombie.close()


def test_disk_is_set_aside_for_a_run_and_given_back_at_its_end(settings: Settings, database: Database) -> None:
    with database.transaction() as connection:
        pauses.refused(connection, failure("disk_full"))
    with session(settings, database) as one, session(settings, database) as other:
        one.reserve_disk(1 << 20)
        with database.transaction() as connection:
            assert pauses.look(connection) == [], "the disk works"
        with pytest.raises(IngestError, match="no_room"):
            other.reserve_disk(1 << 60)
    assert os.listdir(settings.home / "reservations") == []
