"""Upkeep finds what nobody else will: runs without a worker, jobs whose run died early. Real Postgres and Dagster."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from narralytica_ingest.config import Settings
from narralytica_ingest.definitions import defs
from narralytica_ingest.engine.tags import ATTEMPT_TAG, JOB_TAG
from narralytica_ingest.sensors import dead_runs, status
from narralytica_ingest.sensors import upkeep as sensor
from narralytica_ingest.sensors.upkeep_memory import BLIND_SECONDS, Memory
from narralytica_ingest.store import dispatch, jobs, leases
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.dispatch import Dispatched
from narralytica_ingest_tests.job_table import commit_all, job, start, submit, video

Status = dg.DagsterRunStatus
LEASE_SECONDS = 0.2
ORIGIN = RemoteJobOrigin(  # Dagster wants to know where a queued run's code is
    RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("127.0.0.1", 1), "__repository__"), "ingest"
)


class Upkeep:
    """The sensor with an instance of its own and no patience. Each look remembers the last."""

    def __init__(self, instance: dg.DagsterInstance, database: Database) -> None:
        self.instance, self.database, self.cursor, self.said = instance, database, "", ""

    def look(self) -> None:
        context = dg.build_sensor_context(
            instance=self.instance, repository_def=defs.get_repository_def(), cursor=self.cursor or None
        )
        result = sensor.upkeep(context)
        assert isinstance(result, dg.SkipReason)
        self.cursor, self.said = context.cursor or self.cursor, result.skip_message or ""

    def look_twice(self) -> None:
        """A run must be in doubt in every look for as long as a lease lasts."""
        self.look()
        time.sleep(2 * LEASE_SECONDS)
        self.look()

    def make_run(self, status: Status, of: Dispatched | None = None, **more: Any) -> str:
        tags = more.pop("tags", {})
        if of is not None:
            tags |= {"dagster/run_key": of.run_key, JOB_TAG: str(of.job_id), ATTEMPT_TAG: str(of.attempt)}
        if status is Status.QUEUED:
            more["remote_job_origin"] = ORIGIN
        made = self.instance.create_run_for_job(defs.resolve_job_def("ingest"), status=status, tags=tags, **more)
        return str(made.run_id)

    def status(self, run_id: str) -> Status:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def row(self, job_id: UUID) -> dict[str, Any]:
        with self.database.transaction() as connection:
            return job(connection, job_id)

    def dispatched(self) -> Dispatched:
        with self.database.transaction() as connection:
            submit(connection)
            return dispatch.claim(connection, 1)[0]

    def running(self, run_id: str, name: str = "v", *, seconds: float = 60) -> UUID:
        """The id of a job that the run has taken up."""
        with self.database.transaction() as connection:
            job_id = submit(connection, name)
            start(connection, run_id, seconds, window=20)
        return job_id


@pytest.fixture
def upkeep(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upkeep]:
    monkeypatch.setenv("NARRALYTICA_LEASE_SECONDS", str(LEASE_SECONDS))
    monkeypatch.setattr(sensor, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(dead_runs, "NO_WORKER_SECONDS", 0.0)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Upkeep(instance, database)


# ---- runs that nobody executes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [Status.STARTED, Status.STARTING])
def test_a_run_whose_worker_died_before_it_took_a_lease_is_ended_and_its_job_goes_on_in_the_same_look(
    upkeep: Upkeep, state: Status
) -> None:
    claimed = upkeep.dispatched()
    run_id = upkeep.make_run(state, claimed)
    upkeep.look_twice()
    assert upkeep.status(run_id) == Status.FAILURE
    row = upkeep.row(claimed.job_id)
    assert (row["status"], row["error_code"], row["failures"]) == ("queued", "run_died", 0)
    assert f"job {claimed.job_id}: its run {run_id} ended before it began" in upkeep.said


def test_a_job_that_is_emitted_again_and_again_goes_on_when_its_run_has_ended(
    upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked for again is dispatched anew each time: that date says nothing of the run."""
    claimed = upkeep.dispatched()
    run = upkeep.instance.get_run_by_id(upkeep.make_run(Status.STARTING, claimed))
    assert run is not None
    upkeep.instance.report_run_failed(run)
    monkeypatch.setattr(sensor, "PATIENCE_SECONDS", 0.5)
    upkeep.look()
    assert upkeep.row(claimed.job_id)["status"] == "dispatched", "it ended just now"
    time.sleep(0.6)
    with upkeep.database.transaction() as connection:
        assert [each.job_id for each in dispatch.emit_again(connection, 0.0)] == [claimed.job_id]
    upkeep.look()
    assert upkeep.row(claimed.job_id)["status"] == "queued"


def test_a_run_that_no_worker_takes_waits_for_a_killed_one_to_come_back(
    upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_runs, "NO_WORKER_SECONDS", 60.0)
    run_id = upkeep.make_run(Status.STARTING)
    upkeep.look_twice()
    assert upkeep.status(run_id) == Status.STARTING


def test_a_run_that_is_without_a_lease_for_a_moment_is_left_alone(upkeep: Upkeep) -> None:
    run_id = upkeep.make_run(Status.STARTED)
    upkeep.look()
    assert upkeep.status(run_id) == Status.STARTED, "it may just have given its lease up, and end now"
    with upkeep.database.transaction() as connection:
        submit(connection)
        taken = leases.take(connection, run_id, ["web-v"], 60)
    upkeep.look_twice()
    with upkeep.database.transaction() as connection:
        leases.release(connection, taken.values())
    upkeep.look()
    assert upkeep.status(run_id) == Status.STARTED, "the doubt begins anew"


def test_a_run_that_waits_while_all_workers_are_busy_is_left_alone(upkeep: Upkeep) -> None:
    for name in ("a", "b"):
        upkeep.running(upkeep.make_run(Status.STARTED), name)
    waiting = upkeep.make_run(Status.STARTING)
    upkeep.look_twice()
    assert upkeep.status(waiting) == Status.STARTING


@pytest.mark.parametrize(("lane", "ended"), [("dagster", True), ("express", False)])
def test_a_run_whose_message_was_lost_is_ended_when_later_ones_of_its_lane_begin(
    upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch, lane: str, ended: bool
) -> None:
    lost = upkeep.make_run(Status.STARTING, tags={"dagster-celery/queue": "dagster"})
    later = [upkeep.make_run(Status.NOT_STARTED, tags={"dagster-celery/queue": lane}) for _ in range(2)]
    for number, run_id in enumerate(later):
        run = upkeep.instance.get_run_by_id(run_id)
        assert run is not None
        upkeep.instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.PIPELINE_STARTING.value, "ingest"), run_id
        )
        upkeep.instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.PIPELINE_START.value, "ingest"), run_id
        )
        upkeep.running(run_id, f"later-{number}")
    upkeep.look_twice()
    assert upkeep.status(lost) == (Status.FAILURE if ended else Status.STARTING)
    assert [upkeep.status(run_id) for run_id in later] == [Status.STARTED] * 2


def test_a_run_with_a_lease_is_left_alone_and_a_silent_one_is_ended(upkeep: Upkeep) -> None:
    alive, silent, by_hand = (upkeep.make_run(Status.STARTED) for _ in range(3))
    upkeep.running(alive, "alive")
    job_id = upkeep.running(silent, "silent", seconds=-1)
    with upkeep.database.transaction() as connection:
        submit(connection, "by-hand")
        leases.take(connection, by_hand, ["web-by-hand"], -1)
    upkeep.look()
    assert [upkeep.status(run_id) for run_id in (alive, silent, by_hand)] == [
        Status.STARTED,
        Status.FAILURE,
        Status.FAILURE,
    ]
    row = upkeep.row(job_id)
    assert (row["status"], row["error_code"], row["failures"]) == ("queued", "worker_lost", 1)
    assert f"job {job_id} requeued: its run {silent} fell silent" in upkeep.said
    assert f"run {by_hand} fell silent" in upkeep.said
    with upkeep.database.transaction() as connection:
        assert leases.take(connection, "next", ["web-silent", "web-by-hand"], 60).keys() == {
            "web-silent",
            "web-by-hand",
        }


def test_dagster_learns_what_a_run_had_stored_that_died_before_it_could_say_so(upkeep: Upkeep) -> None:
    silent = upkeep.make_run(Status.STARTED, tags={"dagster/partition": "web-v"})
    reported = dg.AssetMaterialization("raw_video", partition="web-v")
    event = DagsterEvent("ASSET_MATERIALIZATION", "ingest", event_specific_data=StepMaterializationData(reported))
    upkeep.instance.report_dagster_event(event, silent)
    with upkeep.database.transaction() as connection:
        submit(connection)
        _, lease = start(connection, silent, -1)
        commit_all(connection, lease)
    upkeep.look()
    assert upkeep.status(silent) is Status.FAILURE
    runs = {}
    for name in ("raw_video", "audio_track", "video_metadata"):
        latest = upkeep.instance.get_latest_materialization_event(dg.AssetKey(name))
        assert latest is not None
        assert latest.asset_materialization is not None
        assert latest.asset_materialization.partition == "web-v"
        runs[name] = latest.run_id
    assert runs["raw_video"] == silent != runs["audio_track"]
    assert upkeep.instance.get_latest_data_version_record(dg.AssetKey("audio_track")) is not None
    upkeep.look()
    events = upkeep.instance.fetch_materializations(dg.AssetKey("audio_track"), limit=5).records
    assert len(events) == 1


def test_a_terminated_run_that_no_worker_executes_is_canceled(upkeep: Upkeep) -> None:
    run_id = upkeep.make_run(Status.CANCELING)
    time.sleep(0.2)
    upkeep.look()
    assert upkeep.status(run_id) == Status.CANCELED


# ---- runs that nobody waits for --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [Status.QUEUED, Status.NOT_STARTED, Status.STARTING])
@pytest.mark.parametrize("moved", ["canceled", "other attempt", "succeeded", "gone"])
def test_a_queued_run_whose_job_moved_on_is_canceled(upkeep: Upkeep, state: Status, moved: str) -> None:
    claimed = upkeep.dispatched()
    run_id = upkeep.make_run(state, claimed)
    upkeep.look()
    assert upkeep.status(run_id) == state, "its job waits for it, however long the daemon is away"
    with upkeep.database.transaction() as connection:
        if moved == "canceled":
            jobs.cancel(connection, claimed.job_id)
            dispatch.cancel_requested(connection)
        elif moved == "other attempt":
            connection.execute("UPDATE ingest_jobs SET attempt = attempt + 1")
        elif moved == "succeeded":
            connection.execute("UPDATE ingest_jobs SET status = 'queued'")
            connection.execute("UPDATE ingest_jobs SET status = 'succeeded', outcome = 'ingested', finished_at = now()")
        else:
            connection.execute("DELETE FROM ingest_jobs")
    upkeep.look()
    assert upkeep.status(run_id) == Status.CANCELED
    assert f"run {run_id} canceled before it began" in upkeep.said


def test_queued_runs_of_people_and_re_executions_wait_for_nobodys_job(upkeep: Upkeep) -> None:
    claimed = upkeep.dispatched()
    original = upkeep.make_run(Status.FAILURE, claimed)
    copy = upkeep.make_run(Status.QUEUED, claimed, parent_run_id=original, root_run_id=original)
    by_hand = upkeep.make_run(Status.QUEUED)
    upkeep.look()
    assert upkeep.row(claimed.job_id)["status"] == "queued", "its own run has ended"
    upkeep.look_twice()
    assert [upkeep.status(run_id) for run_id in (copy, by_hand)] == [Status.QUEUED, Status.QUEUED]


def test_a_run_by_hand_that_was_never_put_into_the_queue_is_ended(
    upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = upkeep.make_run(Status.NOT_STARTED)
    upkeep.look()
    assert upkeep.status(run_id) == Status.NOT_STARTED
    monkeypatch.setattr(dead_runs, "NEVER_QUEUED_SECONDS", 0.0)
    upkeep.look()
    assert upkeep.status(run_id) == Status.FAILURE


# ---- jobs whose run ended without a word -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (Status.FAILURE, ("queued", "run_ended_early", 1)),
        (Status.SUCCESS, ("queued", "run_ended_early", 1)),
        (Status.CANCELED, ("canceled", "canceled", 0)),
    ],
)
def test_a_running_job_whose_run_has_ended_ends_at_the_next_look_though_the_lease_still_lasts(
    upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch, ended: Status, expected: tuple[object, ...]
) -> None:
    run_id = upkeep.make_run(ended)
    job_id = upkeep.running(run_id)
    monkeypatch.setattr(sensor, "PATIENCE_SECONDS", 60.0)
    upkeep.look()
    assert upkeep.row(job_id)["status"] == "running", "it was ended from outside just now, and may still say so"
    monkeypatch.setattr(sensor, "PATIENCE_SECONDS", 0.0)
    time.sleep(0.1)
    upkeep.look()
    row = upkeep.row(job_id)
    assert (row["status"], row["error_code"], row["failures"]) == expected
    with upkeep.database.transaction() as connection:
        assert video(connection)["lease_run_id"] is None
    assert "was over without a word" in upkeep.said


def test_a_job_whose_run_wrote_its_verdict_and_has_not_ended_in_dagster_is_left_alone(upkeep: Upkeep) -> None:
    run_id = upkeep.make_run(Status.STARTED)
    with upkeep.database.transaction() as connection:
        job_id = submit(connection)
        _, lease = start(connection, run_id)
        commit_all(connection, lease)
        leases.release(connection, [lease])
    upkeep.look()
    assert upkeep.status(run_id) == Status.STARTED
    assert upkeep.row(job_id)["status"] == "succeeded"


def test_a_run_that_was_terminated_while_its_message_waited_cancels_its_job_however_it_ended(upkeep: Upkeep) -> None:
    """Dagster fails a run that a worker begins while it is CANCELING."""
    claimed = upkeep.dispatched()
    run = upkeep.instance.get_run_by_id(upkeep.make_run(Status.STARTING, claimed))
    assert run is not None
    upkeep.instance.report_run_canceling(run)
    upkeep.instance.report_run_failed(run)
    upkeep.look()
    assert upkeep.row(claimed.job_id)["status"] == "canceled"


@pytest.mark.parametrize(("seconds", "left"), [(60, "running"), (None, "queued")])
def test_a_failed_run_costs_its_job_an_attempt_unless_it_holds_a_lease_and_so_may_live(
    upkeep: Upkeep, seconds: int | None, left: str
) -> None:
    """Upkeep may take a run for dead just when a worker begins it."""
    run_id = upkeep.make_run(Status.STARTED)
    job_id = upkeep.running(run_id)
    if seconds is None:
        upkeep.database.all("UPDATE videos SET lease_run_id = NULL, lease_expires_at = NULL RETURNING 1")
    run = upkeep.instance.get_run_by_id(run_id)
    assert run is not None
    upkeep.instance.report_run_failed(run)
    failed = upkeep.instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records[0]
    event = failed.event_log_entry.dagster_event
    assert event is not None
    status.run_failed(dg.build_run_status_sensor_context("run_failed", event, upkeep.instance, run))
    assert upkeep.row(job_id)["status"] == left


# ---- outages ---------------------------------------------------------------------------------------------------------


def test_leases_that_could_not_be_renewed_in_an_outage_last_for_a_grace_period_and_nobody_is_charged(
    upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARRALYTICA_LEASE_SECONDS", "1.5")
    run_id = upkeep.make_run(Status.STARTED)
    job_id = upkeep.running(run_id, seconds=-60)
    upkeep.database.all("UPDATE ingest_jobs SET heartbeat_at = now() - interval '2 minutes' RETURNING 1")
    then = (datetime.now(UTC) - timedelta(seconds=BLIND_SECONDS + 60)).timestamp()
    upkeep.cursor = Memory(looked_at=then).dump()
    upkeep.look()
    assert upkeep.row(job_id)["status"] == "running", "runs have their chance to beat first"
    time.sleep(1.6)
    upkeep.look()
    row = upkeep.row(job_id)
    assert (row["status"], row["error_code"], row["failures"]) == ("queued", "database_away", 0)
    assert upkeep.status(run_id) == Status.FAILURE


def test_a_look_that_comes_in_time_gives_no_grace() -> None:
    now = datetime.now(UTC)
    memory = Memory(looked_at=(now - timedelta(seconds=20)).timestamp())
    memory.look(now)
    assert memory.back is None


@pytest.mark.parametrize("cursor", [None, "", "not json", "[]", '{"suspected": 3}'])
def test_a_cursor_that_nobody_understands_begins_anew(cursor: str | None) -> None:
    assert Memory.load(cursor) == Memory()
