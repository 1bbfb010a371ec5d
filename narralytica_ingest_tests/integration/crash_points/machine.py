"""All that works on an ingestion, in one process: the API's insert, Dagster's daemon with its queue, and a worker.

What belongs here: Dagster's own loops over the real sensors, launcher and job, turned by hand. Only the broker is a
memory, so that whatever was sent and not taken up is lost with the process, and no sensor waits for its next time.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from unittest.mock import patch

import dagster as dg
import sqlalchemy.pool
from dagster._cli.api import _execute_run_command_body
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.remote_representation.external import RemoteSensor
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration

from narralytica_ingest.config import load_settings
from narralytica_ingest.endpoints import resolve_endpoints
from narralytica_ingest.recovery import sweep
from narralytica_ingest.sensors import dispatch, upkeep_memory
from narralytica_ingest.store import jobs
from narralytica_ingest.store.database import Database

_CODE = LoadableTargetOrigin(module_name="narralytica_ingest.definitions", attribute="defs")
_LOG = logging.getLogger("crash_points")


@dataclass(frozen=True)
class Machine:
    """A daemon, a queue and a worker that do something when they are told to."""

    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext
    database: Database

    def submit(self, request: jobs.JobRequest) -> None:
        """What the API does; it repeats itself with the same idempotency key until it knows that it was heard."""
        with self.database.transaction() as connection:
            jobs.insert(connection, request)

    def tick(self, *names: str) -> None:
        """One evaluation of each of these sensors, or of all, however short ago the last one was."""

        def is_left_out(_: object, sensor: RemoteSensor) -> bool:
            return bool(names) and sensor.name not in names

        with patch("dagster._daemon.sensor.is_under_min_interval", is_left_out):
            for error in execute_sensor_iteration(self.workspace, _LOG, None, None):
                assert error is None, error

    def work(self) -> None:
        """Launches what is queued, and executes it as the worker's task does."""
        lost = {run.run_id for run in self._launched()}  # their message went with an earlier process
        for error in QueuedRunCoordinatorDaemon(interval_seconds=1).run_iteration(self.workspace):
            assert error is None, error
        for run in self._launched():
            if run.run_id not in lost:
                _execute_run_command_body(run.run_id, self.instance, lambda _: None, True)

    def _launched(self) -> list[dg.DagsterRun]:
        return list(self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])))


@contextmanager
def machine() -> Iterator[Machine]:
    """The machine that the environment describes."""
    target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(_CODE, location_name="ingest"))
    database = Database(resolve_endpoints(load_settings()).postgres_url)
    with (
        patch.object(dispatch, "WAIT_SECONDS", 0.0),  # there is no news but what was submitted before
        patch.object(upkeep_memory, "BLIND_SECONDS", inf),  # upkeep has looked all the while: it is the run that died
        # What is in doubt has been so for an hour, of which upkeep's own memory knows nothing.
        patch.object(upkeep_memory.Memory, "suspect", lambda _memory, doubtful: set(doubtful)),
        patch.object(sweep, "PASS_SECONDS", 0.0),
        patch.object(sweep, "STALE_UPLOAD", timedelta(seconds=-2)),  # the bucket's own dates are in seconds
        patch.object(sqlalchemy.pool, "NullPool", sqlalchemy.pool.QueuePool),  # Dagster connects for each event
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, target) as workspace,
    ):
        yield Machine(instance, workspace, database)
