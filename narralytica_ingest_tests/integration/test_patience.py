"""A Postgres that goes away and comes back: what a run writes meanwhile is written once, late, nobody is charged."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import psycopg
import psycopg2
import pytest
import sqlalchemy.exc

from narralytica_ingest.config import Settings
from narralytica_ingest.engine import postgres_outages
from narralytica_ingest.engine.classify import classify, early_end
from narralytica_ingest.engine.interrupts import uninterrupted
from narralytica_ingest.engine.run_failures import ended_early, fell_silent
from narralytica_ingest.engine.run_session import RunInfo, RunSession
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.local.postgres import EmbeddedPostgres
from narralytica_ingest.store import dispatch as dispatching
from narralytica_ingest.store import jobs, leases, outcomes, upkeep
from narralytica_ingest.store.database import Connection, Database
from narralytica_ingest.store.leases import Dispatch, LeaseLost
from narralytica_ingest.store.migrate import migrate
from narralytica_ingest_tests.job_table import POLICY, commit_all, job, start, submit, video


class Outages:
    """A Postgres of its own, with our tables, that can be away."""

    def __init__(self, home: Path) -> None:
        (home / "run").mkdir(parents=True)
        (home / "logs").mkdir()
        self._postgres = EmbeddedPostgres(home)
        self._postgres.ensure()
        self.database = Database(self._postgres._url)
        migrate(self.database.url)

    @contextmanager
    def away(self, seconds: float) -> Iterator[None]:
        """It is gone when the block begins, and back after so many seconds."""
        self._postgres.stop()
        back = threading.Timer(seconds, self._postgres.ensure)
        back.start()
        try:
            yield
        finally:
            back.join()

    def stop(self) -> None:
        self._postgres.stop()


@pytest.fixture(scope="module")
def outages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    made = Outages(tmp_path_factory.mktemp("outages") / "home")
    yield made
    made.stop()


@pytest.fixture
def database(outages: Outages) -> Database:
    clear(outages.database)
    return outages.database


def clear(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("TRUNCATE ingest_jobs, videos, hosts, claim_pauses CASCADE")


def session(tmp_path: Path, database: Database, dispatch: Dispatch | None, **more: Any) -> RunSession:
    settings = Settings(home=tmp_path, lease_seconds=15.0, heartbeat_seconds=0.2, **more)
    run = RunInfo(f"run-{time.monotonic_ns()}", "web-v", dispatch, False, lambda: False, lambda: None)
    return RunSession(settings, database, run, logging.getLogger("test"))


def dispatched(database: Database) -> Dispatch:
    with database.transaction() as connection:
        submit(connection)
        claimed = dispatching.claim(connection, 1)[0]
    return Dispatch(claimed.job_id, claimed.attempt)


def row(database: Database, job_id: UUID) -> dict[str, Any]:
    with database.transaction() as connection:
        return job(connection, job_id)


# ---- a whole outage --------------------------------------------------------------------------------------------------


def test_take_commit_and_the_end_of_a_run_wait_for_a_postgres_that_is_away(
    outages: Outages, database: Database, tmp_path: Path
) -> None:
    mine = dispatched(database)
    with session(tmp_path, database, mine) as run:
        with outages.away(1.0), run.stage("fetch"):
            lease = run.take(["web-v"])["web-v"]
        with outages.away(1.0):
            run.commit(lambda connection: commit_all(connection, lease))
    assert (row(database, mine.job_id)["status"], row(database, mine.job_id)["attempt"]) == ("succeeded", 1)
    with database.transaction() as connection:
        assert video(connection)["lease_run_id"] is None


def test_a_verdict_is_written_when_postgres_is_back(outages: Outages, database: Database, tmp_path: Path) -> None:
    mine = dispatched(database)
    with session(tmp_path, database, mine) as run:
        run.take(["web-v"])
        with outages.away(1.0), pytest.raises(dg.Failure), run.stage("fetch"):
            raise IngestError(FailureClass.TRANSIENT, "timed_out", "No answer.")
    assert (row(database, mine.job_id)["error_code"], row(database, mine.job_id)["failures"]) == ("timed_out", 1)


def test_an_outage_longer_than_the_lease_ends_no_run_that_lives(
    outages: Outages, database: Database, tmp_path: Path
) -> None:
    mine = dispatched(database)
    run = session(tmp_path, database, mine)
    object.__setattr__(run, "settings", run.settings.model_copy(update={"lease_seconds": 1.0}))
    with run, run.stage("fetch"):
        lease = run.take(["web-v"])["web-v"]
        with outages.away(2.5):
            time.sleep(2.5)
        with database.transaction() as connection:
            assert upkeep.silent_jobs(connection, grace_seconds=20) == [], "Postgres has just started"
        with database.transaction() as connection:
            assert upkeep.clear_expired_leases(connection, grace_seconds=20) == {}
        run.commit(lambda connection: commit_all(connection, lease))
    assert row(database, mine.job_id)["status"] == "succeeded"


def test_a_run_that_is_not_heard_of_after_an_outage_is_not_charged(outages: Outages, database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        start(connection, seconds=0.1)
    with outages.away(0.1):
        pass
    with database.transaction() as connection:
        (lost,) = upkeep.silent_jobs(connection)
        assert lost.unseen
        outcomes.end_attempt(connection, job_id, lost.attempt, fell_silent(lost.unseen), POLICY)
    assert (row(database, job_id)["error_code"], row(database, job_id)["failures"]) == ("database_away", 0)


@pytest.mark.parametrize(("verdict", "code"), [(fell_silent, "worker_lost"), (ended_early, "run_ended_early")])
def test_one_that_was_heard_of_since_is_charged(verdict: Callable[[bool], IngestError], code: str) -> None:
    assert (verdict(False).code, verdict(False).failure_class) == (code, FailureClass.TRANSIENT)
    assert verdict(True).failure_class is FailureClass.LOCAL


def test_who_stops_the_worker_does_not_wait_long_for_a_postgres_that_is_away(
    outages: Outages, database: Database, tmp_path: Path
) -> None:
    mine = dispatched(database)
    run = session(tmp_path, database, mine, shutdown_seconds=1.0)
    with ExitStack() as later:
        with pytest.raises(SystemExit), run, run.stage("fetch"):
            run.take(["web-v"])
            later.enter_context(outages.away(3.0))
            stopped = time.monotonic()
            raise SystemExit
        assert time.monotonic() - stopped < 2.5
    assert row(database, mine.job_id)["status"] == "running", "upkeep will see to it"


# ---- an answer that is lost ------------------------------------------------------------------------------------------


class LosesAnswers(Database):
    """The first commit of each kind of work happens, and its answer is lost."""

    def patiently(self, work: Callable[[Connection], Any], seconds: float) -> Any:
        lost = False

        def once(connection: Connection) -> Any:
            nonlocal lost
            answer = work(connection)
            if not lost:
                lost = True
                connection.commit()
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            return answer

        return super().patiently(once, seconds)


def test_a_run_knows_its_own_lease_and_job_again(database: Database, tmp_path: Path) -> None:
    mine = dispatched(database)
    with session(tmp_path, LosesAnswers(database.url), mine) as run:
        lease = run.take(["web-v"])["web-v"]
        assert row(database, mine.job_id)["status"] == "running"
        with database.transaction() as connection:
            assert video(connection)["lease_epoch"] == lease.epoch
        run.commit(lambda connection: commit_all(connection, lease))
    with database.transaction() as connection:
        assert job(connection, mine.job_id)["status"] == "succeeded"
        files = connection.execute("SELECT kind, generation FROM media_files ORDER BY kind").fetchall()
        assert [(file["kind"], file["generation"]) for file in files] == [("audio_track", 1), ("raw_video", 1)]
        assert (video(connection)["status"], video(connection)["lease_run_id"]) == ("ready", None)


def test_a_run_by_hand_does_not_wait_for_itself(database: Database, tmp_path: Path) -> None:
    with database.transaction() as connection:
        submit(connection)
    with session(tmp_path, LosesAnswers(database.url), None) as run:
        assert run.take(["web-v"])


def test_a_verdict_that_was_written_is_not_written_twice(database: Database, tmp_path: Path) -> None:
    mine = dispatched(database)
    with pytest.raises(dg.Failure), session(tmp_path, LosesAnswers(database.url), mine) as run, run.stage("fetch"):
        run.take(["web-v"])
        raise IngestError(FailureClass.TRANSIENT, "timed_out", "No answer.")
    assert (row(database, mine.job_id)["status"], row(database, mine.job_id)["failures"]) == ("queued", 1)


def test_what_does_not_pass_by_itself_is_not_tried_again(database: Database) -> None:
    tries = []

    def work(connection: Connection) -> None:
        tries.append(connection.execute("SELECT 1").fetchone())
        raise LeaseLost(["web-v"])

    with pytest.raises(LeaseLost):
        database.patiently(work, 5)
    assert len(tries) == 1


# ---- what Dagster meets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        psycopg2.OperationalError("server closed the connection unexpectedly"),
        psycopg2.errors.AdminShutdown("terminating connection"),
        sqlalchemy.exc.OperationalError("INSERT", {}, Exception("gone")),
    ],
)
def test_an_outage_that_dagsters_own_tables_meet_is_ours(error: Exception) -> None:
    def wrapped() -> None:
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("too many retries") from cause

    assert classify(error).code == "database_away"
    with pytest.raises(RuntimeError) as raised:
        wrapped()
    assert (classify(raised.value).code, classify(raised.value).failure_class) == ("database_away", FailureClass.LOCAL)
    assert classify(RuntimeError("else")).code == "unexpected"


def test_the_main_thread_waits_for_a_connection_and_others_do_not(outages: Outages, database: Database) -> None:
    engine = sqlalchemy.create_engine(
        database.url.replace("postgresql://", "postgresql+psycopg2://"), poolclass=sqlalchemy.pool.NullPool
    )
    began = time.monotonic()
    failed: list[float] = []

    def elsewhere() -> None:
        try:
            engine.connect().close()
        except sqlalchemy.exc.OperationalError:
            failed.append(time.monotonic())

    assert early_end(began).code == "run_ended_early"
    postgres_outages.be_patient(10.0)
    try:
        with outages.away(1.5):
            other = threading.Thread(target=elsewhere)
            other.start()
            engine.connect().close()
            waited = time.monotonic() - began
            other.join()
    finally:
        postgres_outages.be_patient(0.0)
    assert waited > 1.4
    assert failed
    assert failed[0] - began < waited
    assert early_end(began).code == "database_away", "the run that ends without a reason has one"


# ---- interrupts ------------------------------------------------------------------------------------------------------


def test_a_signal_waits_until_what_must_not_be_cut_is_done() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            done.append("whole")
        done.append("too late")
    assert done == ["whole"]


def test_a_cancel_and_a_commit_at_once_have_one_truthful_end(database: Database, tmp_path: Path) -> None:
    """Whichever transaction is first decides: the other finds nothing to do."""
    for cancel_first in (True, False):
        clear(database)
        mine = dispatched(database)
        run = session(tmp_path, database, mine)
        run._heart.start = lambda: None  # type: ignore[method-assign]  # its beat is called below
        with run:
            lease = run.take(["web-v"])["web-v"]
            with database.transaction() as connection:
                jobs.cancel(connection, mine.job_id)
            if cancel_first:
                reason = run._beat()
                assert reason is not None
                assert reason.code == "canceled"
                with pytest.raises(LeaseLost):
                    run.commit(partial(commit_all, lease=lease))
            else:
                run.commit(partial(commit_all, lease=lease))
                assert run._beat() is None, "it has succeeded: nothing is canceled any more"
        expected = ("canceled", "pending") if cancel_first else ("succeeded", "ready")
        with database.transaction() as connection:
            assert (job(connection, mine.job_id)["status"], video(connection)["status"]) == expected


# ---- retry -----------------------------------------------------------------------------------------------------------


CODES = {
    FailureClass.PERMANENT: "not_found",
    FailureClass.NEEDS_OPERATOR: "login_required",
    FailureClass.NOT_YET: "upcoming",
    FailureClass.RATE_LIMITED: "rate_limited",
    FailureClass.TRANSIENT: "timed_out",
    FailureClass.RESTART: "source_changed",
    FailureClass.LOCAL: "disk_full",
    FailureClass.CANCELED: "canceled",
}


@pytest.mark.parametrize("kind", list(FailureClass))
@pytest.mark.parametrize("tries", [1, 3])
def test_a_retry_after_any_failure_brings_the_job_home_when_its_cause_is_gone(
    database: Database, tmp_path: Path, kind: FailureClass, tries: int
) -> None:
    failed = IngestError(kind, CODES[kind], "It failed.")
    with database.transaction() as connection:
        job_id = submit(connection)
    for number in range(tries):
        with database.transaction() as connection:
            if job(connection, job_id)["status"] != "queued":
                break
            cause_is_gone(connection)
            claimed, lease = start(connection, f"run-{number}")
            outcomes.end_run(connection, lease, failed, POLICY)
    with database.transaction() as connection:
        before = job(connection, job_id)
        jobs.retry(connection, job_id)
        cause_is_gone(connection)
        claimed, lease = start(connection, "run-last")
        assert claimed.attempt == before["attempt"] + 1
        commit_all(connection, lease)
        leases.release(connection, [lease])
        after, row = job(connection, job_id), video(connection)
    assert (after["status"], after["outcome"], after["error_code"]) == ("succeeded", "ingested", None)
    assert (row["status"], row["error_code"]) == ("ready", None)


def cause_is_gone(connection: Connection) -> None:
    """Neither the source's host nor a part of our own holds the job back any more, and its time has come."""
    connection.execute("UPDATE hosts SET cool_until = NULL")
    connection.execute("DELETE FROM claim_pauses")
    connection.execute("UPDATE ingest_jobs SET not_before = NULL")
