"""Upkeep finds what nobody else will: runs without a worker, jobs whose run died early. Real Postgres and Dagster."""

import time
from collections.abc import Iterator

import dagster as dg
import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.definitions import defs
from narralytica_ingest.sensors import upkeep as sensor
from narralytica_ingest.store import dispatch, leases
from narralytica_ingest.store.database import Database
from narralytica_ingest_tests.job_table import job, start, submit


@pytest.fixture
def instance(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance of its own, and no patience."""
    monkeypatch.setenv("NARRALYTICA_LEASE_SECONDS", "0.2")
    monkeypatch.setattr(sensor, "PATIENCE_SECONDS", 0.0)
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def make_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, run_key: str = "") -> str:
    job_def = defs.resolve_job_def("ingest")
    tags = {"dagster/run_key": run_key} if run_key else {}
    return str(instance.create_run_for_job(job_def, status=status, tags=tags).run_id)


def look(instance: dg.DagsterInstance) -> None:
    sensor.upkeep(dg.build_sensor_context(instance=instance, repository_def=defs.get_repository_def()))


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.mark.parametrize("state", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
def test_a_run_whose_worker_died_before_it_took_a_lease_is_ended_and_its_job_goes_on(
    instance: dg.DagsterInstance, database: Database, state: dg.DagsterRunStatus
) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        claimed = dispatch.claim(connection, 1)[0]
    run_id = make_run(instance, state, claimed.run_key)
    time.sleep(0.5)
    look(instance)
    assert status(instance, run_id) == dg.DagsterRunStatus.FAILURE
    look(instance)
    with database.transaction() as connection:
        row = job(connection, job_id)
    assert (row["status"], row["error_code"], row["failures"]) == ("queued", "run_died", 0)


def test_a_run_that_waits_while_all_workers_are_busy_is_left_alone(
    instance: dg.DagsterInstance, database: Database
) -> None:
    with database.transaction() as connection:
        submit(connection, "a")
        submit(connection, "b")
        for number in (1, 2):
            run_id = make_run(instance, dg.DagsterRunStatus.STARTED)
            start(connection, run_id, window=number)
    waiting = make_run(instance, dg.DagsterRunStatus.STARTING)
    time.sleep(0.5)
    look(instance)
    assert status(instance, waiting) == dg.DagsterRunStatus.STARTING


def test_a_run_with_a_lease_is_left_alone_and_a_silent_one_is_ended(
    instance: dg.DagsterInstance, database: Database
) -> None:
    alive, silent = (make_run(instance, dg.DagsterRunStatus.STARTED) for _ in range(2))
    with database.transaction() as connection:
        submit(connection, "alive", priority=1)
        job_id = submit(connection, "silent")
        start(connection, alive)
        start(connection, silent, seconds=-1, window=2)
    time.sleep(0.5)
    look(instance)
    assert status(instance, alive) == dg.DagsterRunStatus.STARTED
    assert status(instance, silent) == dg.DagsterRunStatus.FAILURE
    with database.transaction() as connection:
        row = job(connection, job_id)
        assert (row["status"], row["error_code"], row["failures"]) == ("queued", "worker_lost", 1)
        assert leases.take(connection, "next", ["web-silent"], 60)


def test_a_terminated_run_that_no_worker_executes_is_canceled(instance: dg.DagsterInstance, database: Database) -> None:
    run_id = make_run(instance, dg.DagsterRunStatus.CANCELING)
    time.sleep(0.2)
    look(instance)
    assert status(instance, run_id) == dg.DagsterRunStatus.CANCELED


def test_unfinished_downloads_that_no_job_waits_for_are_removed(
    instance: dg.DagsterInstance, database: Database, settings: Settings
) -> None:
    with database.transaction() as connection:
        submit(connection, "waited")
    for video_id in ("web-waited", "web-forgotten"):
        (settings.home / "partial" / video_id).mkdir(parents=True)
    look(instance)
    assert [path.name for path in (settings.home / "partial").iterdir()] == ["web-waited"]
