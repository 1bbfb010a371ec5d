"""Runs to jobs, as a back-up: a run writes its job's status itself; these see the runs that could not."""

from collections.abc import Callable

import dagster as dg

from narralytica_ingest.config import load_settings
from narralytica_ingest.endpoints import resolve_endpoints
from narralytica_ingest.engine.run_failures import ended_early
from narralytica_ingest.failures import IngestError
from narralytica_ingest.store import outcomes, upkeep
from narralytica_ingest.store.database import Database


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.FAILURE,
    name="run_failed",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells the job of a failed run, if the run could not.",
)
def run_failed(context: dg.RunStatusSensorContext) -> None:
    """A failed run whose job still counts as running."""
    _end_job_of(context, ended_early)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    name="run_canceled",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Cancels the job of a terminated run, if the run could not.",
)
def run_canceled(context: dg.RunStatusSensorContext) -> None:
    """A terminated run whose job still counts as running."""
    _end_job_of(context, lambda _unseen: outcomes.canceled())


def _end_job_of(context: dg.RunStatusSensorContext, verdict: Callable[[bool], IngestError]) -> None:
    """Never raises: an event whose handler raises is lost. The upkeep sensor finds what is missed here."""
    run_id = context.dagster_run.run_id
    settings = load_settings()
    try:
        with Database(resolve_endpoints(settings).postgres_url).transaction() as connection:
            job = upkeep.running_job_of(connection, run_id)
            # Who has a lease may live, whatever Dagster says of it, and then says itself how it ends.
            if job is not None and run_id not in upkeep.leased_runs(connection):
                error = verdict(job.unseen)
                outcomes.end_attempt(connection, job.job_id, job.attempt, error, outcomes.retry_policy(settings))
                context.log.warning("job %s of run %s: %s", job.job_id, run_id, error)
    except IngestError as failed:
        context.log.warning("run %s: %s; upkeep will see to its job", run_id, failed)
