"""The guarantee that every job ends: finds what fell silent, puts it right, and says so."""

import shutil
import time
from contextlib import suppress
from uuid import UUID

import dagster as dg

from narralytica_ingest.config import Settings, load_settings
from narralytica_ingest.endpoints import resolve_endpoints
from narralytica_ingest.engine.partials import sweep_partials
from narralytica_ingest.failures import FailureClass, IngestError, failure
from narralytica_ingest.store import outcomes
from narralytica_ingest.store import upkeep as table
from narralytica_ingest.store.database import Database

# A run in the queue or just launched has no lease yet; leave it this long (seconds) before its state is doubted.
PATIENCE_SECONDS = 20.0
SCRATCH_AGE_SECONDS = 120.0


@dg.sensor(
    name="upkeep",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requeues jobs whose run died, ends runs that nobody executes, frees expired leases.",
)
def upkeep(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Asks for no runs itself: what it requeues, `dispatch` claims."""
    settings = load_settings()
    try:
        database = Database(resolve_endpoints(settings).postgres_url)
        done = _requeue_silent_jobs(context, settings, database)
        done += _requeue_dead_dispatches(context, settings, database)
        done += _end_canceling_runs(context, database)
        done += _end_dead_runs(context, settings, database)
        _sweep_scratch(settings, database)
        sweep_partials(settings.home, database)
    except IngestError as error:
        if error.failure_class is FailureClass.LOCAL:
            return dg.SkipReason(error.message)
        raise
    return dg.SkipReason("; ".join(done) or "Nothing fell silent.")


def _requeue_silent_jobs(context: dg.SensorEvaluationContext, settings: Settings, database: Database) -> list[str]:
    """Jobs whose run no longer beats, and leases that it left behind; its Dagster run is ended, too."""
    lost_worker = failure("worker_lost", "The worker died or lost its connection during the run.")
    with database.transaction() as connection:
        lost = table.silent_jobs(connection)
        for job in lost:
            outcomes.end_attempt(connection, job.job_id, job.attempt, lost_worker, outcomes.retry_policy(settings))
        expired = table.clear_expired_leases(connection)
    for run_id in {job.run_id for job in lost} | set(expired.values()):
        _end_run(context.instance, run_id)
    return _said(context, [f"job {job.job_id} requeued: its run {job.run_id} fell silent" for job in lost])


def _requeue_dead_dispatches(context: dg.SensorEvaluationContext, settings: Settings, database: Database) -> list[str]:
    """Dispatched jobs whose run ended before it took them up."""
    with database.transaction() as connection:
        waiting = table.dispatched_for(connection, PATIENCE_SECONDS)
    said = []
    for job_id, attempt in waiting:
        ended = _ended_run(context.instance, job_id, attempt)
        if ended is None:
            continue
        canceled = ended.status is dg.DagsterRunStatus.CANCELED
        # Nothing of the job has run yet, so it is not the job's failure.
        error = outcomes.canceled() if canceled else failure("run_died", "The run ended before it began its work.")
        with database.transaction() as connection:
            outcomes.end_attempt(connection, job_id, attempt, error, outcomes.retry_policy(settings))
        said.append(f"job {job_id}: its run {ended.run_id} ended before it began")
    return _said(context, said)


def _ended_run(instance: dg.DagsterInstance, job_id: UUID, attempt: int) -> dg.DagsterRun | None:
    """The run that was made for this attempt, if it has ended; not a re-execution, which copies the tag."""
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": f"{job_id}:{attempt}"}))
    originals = [run for run in runs if run.parent_run_id is None]
    return next((run for run in originals if run.is_finished), None)


def _end_canceling_runs(context: dg.SensorEvaluationContext, database: Database) -> list[str]:
    """Terminated runs that no worker executes (it died, or they were never taken up) end here."""
    with database.transaction() as connection:
        alive = table.leased_runs(connection)
    records = context.instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELING]))
    stuck = [
        record.dagster_run
        for record in records
        if record.dagster_run.run_id not in alive
        and time.time() - record.update_timestamp.timestamp() > PATIENCE_SECONDS
    ]
    for run in stuck:
        context.instance.report_run_canceled(run, message="No worker executes this run any more.")
    return _said(context, [f"run {run.run_id} canceled: no worker executes it" for run in stuck])


def _end_dead_runs(context: dg.SensorEvaluationContext, settings: Settings, database: Database) -> list[str]:
    """Runs without a lease that have not moved for two leases' time: their worker died before or after it had one.

    Started runs are without a lease for moments only. A launched one may wait for a worker for hours, but not while
    slots are free: then its message is lost. Both would keep their place among the concurrent runs for ever.
    """
    with database.transaction() as connection:
        alive = table.leased_runs(connection)
    statuses = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]
    records = context.instance.get_run_records(dg.RunsFilter(statuses=statuses))
    busy = sum(record.dagster_run.status is dg.DagsterRunStatus.STARTED for record in records)
    dead = [
        record.dagster_run
        for record in records
        if record.dagster_run.run_id not in alive
        and time.time() - record.update_timestamp.timestamp() > 2 * settings.lease_seconds
        and (record.dagster_run.status is dg.DagsterRunStatus.STARTED or busy < settings.workers)
    ]
    for run in dead:
        context.instance.report_run_failed(run, message="No worker executes this run any more.")
    return _said(context, [f"run {run.run_id} ended: no worker executes it" for run in dead])


def _end_run(instance: dg.DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return
    if run.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, message="The run fell silent while it was being canceled.")
    else:
        instance.report_run_failed(run, message="The run's worker fell silent. Its job, if it has one, is tried again.")


def _sweep_scratch(settings: Settings, database: Database) -> None:
    """Scratch folders on this machine whose run holds no lease and that nothing was added to for two minutes.

    A run that ends removes its own; these were killed, and may have left a whole original.
    """
    root = settings.home / "scratch"
    if not root.is_dir():
        return
    with database.transaction() as connection:
        alive = table.leased_runs(connection)
    for folder in root.iterdir():
        with suppress(FileNotFoundError):  # its run ended just now
            if folder.name not in alive and time.time() - folder.stat().st_mtime > SCRATCH_AGE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _said(context: dg.SensorEvaluationContext, sentences: list[str]) -> list[str]:
    for sentence in sentences:
        context.log.warning(sentence)
    return sentences
