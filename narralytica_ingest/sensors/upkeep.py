"""The guarantee that every job ends: finds what fell silent, puts it right, and says so.

Each thing has its time. A run that does not beat is noticed when its lease is over, and one that was begun, or sent to
the workers, and that nobody executes, when it was in doubt for as long: with the next look, at defaults within a
minute. What ended without a word is noticed PATIENCE_SECONDS after its end.
"""

import time
from dataclasses import dataclass

import dagster as dg
from dagster import DagsterRunStatus as Status

from narralytica_ingest.config import Settings, load_settings
from narralytica_ingest.endpoints import resolve_endpoints
from narralytica_ingest.engine.run_failures import ended_early, fell_silent, run_died
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.recovery.partitions import drop_orphans
from narralytica_ingest.sensors import dead_runs
from narralytica_ingest.sensors.upkeep_memory import Memory
from narralytica_ingest.store import contacts, outcomes
from narralytica_ingest.store import upkeep as table
from narralytica_ingest.store.database import Database, clock
from narralytica_ingest.store.leases import Dispatch

# A run in the queue or just launched has no lease yet, and one that was ended from outside needs a moment to notice:
# leave it this long (seconds) before its state is doubted.
PATIENCE_SECONDS = 20.0

# For how long (seconds) leases count when Postgres, or the way to it, is back: some heartbeats, and a slow connection.
GRACE_SECONDS = 20.0


@dg.sensor(
    name="upkeep",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requeues jobs whose run died, ends runs that nobody executes or waits for, frees expired leases.",
)
def upkeep(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Asks for no runs itself: what it requeues, `dispatch` claims."""
    settings = load_settings()
    try:
        look = _Look(context.instance, settings, Database(resolve_endpoints(settings).postgres_url), context.cursor)
        done = look.at_everything()
    except IngestError as error:
        if error.failure_class is FailureClass.LOCAL:
            return dg.SkipReason(error.message)
        raise
    for sentence in done:
        context.log.warning(sentence)
    context.update_cursor(look.memory.dump())
    return dg.SkipReason("; ".join(done) or "Nothing fell silent.")


@dataclass
class _Look:
    """One look at tables and runs. Each part returns sentences about what it did."""

    instance: dg.DagsterInstance
    settings: Settings
    database: Database
    cursor: str | None

    def __post_init__(self) -> None:
        self.memory = Memory.load(self.cursor)
        self._policy = outcomes.retry_policy(self.settings)

    def at_everything(self) -> list[str]:
        with self.database.transaction() as connection:
            self.memory.look(clock(connection))
            contacts.forget_old(connection)
        said = self._requeue_silent_jobs() + self._end_jobs_of_ended_runs()
        with self.database.transaction() as connection:
            alive = table.leased_runs(connection)
        said += dead_runs.end_unwanted(self.instance, self.database)
        said += dead_runs.end_canceling(self.instance, alive, PATIENCE_SECONDS)
        said += dead_runs.end_dead(
            self.instance, alive, self.settings.workers, self.memory, self.settings.lease_seconds
        )
        said += self._requeue_dead_dispatches()
        gone = drop_orphans(self.instance, self.database)
        return said + [f"partition {video_id} removed: there is no such video any more" for video_id in gone]

    def _requeue_silent_jobs(self) -> list[str]:
        """Jobs whose run no longer beats, and leases that it left behind; its Dagster run is ended, too."""
        grace = min(GRACE_SECONDS, self.settings.lease_seconds)
        with self.database.transaction() as connection:
            lost = table.silent_jobs(connection, grace, self.memory.back)
            for job in lost:
                outcomes.end_attempt(connection, job.job_id, job.attempt, fell_silent(job.unseen), self._policy)
            expired = table.clear_expired_leases(connection, grace, self.memory.back)
            # Before the commit: if this process dies here, the next look does it again.
            for stored in table.stored_by_silent(connection, expired):
                dead_runs.note_stored(self.instance, expired[stored["video_id"]], stored)
        without_job = set(expired.values()) - {job.run_id for job in lost}
        for run_id in {job.run_id for job in lost} | without_job:
            dead_runs.end_run(self.instance, run_id)
        return [f"job {job.job_id} requeued: its run {job.run_id} fell silent" for job in lost] + [
            f"run {run_id} fell silent: its lease is free" for run_id in sorted(without_job)
        ]

    def _end_jobs_of_ended_runs(self) -> list[str]:
        """Running jobs whose run has ended in Dagster: it could not say so, or somebody ended it there."""
        with self.database.transaction() as connection:
            running = {job.run_id: job for job in table.running_jobs(connection, self.memory.back)}
        if not running:
            return []
        said = []
        for record in self.instance.get_run_records(dg.RunsFilter(run_ids=list(running))):
            run, job = record.dagster_run, running[record.dagster_run.run_id]
            # A run writes its own verdict before it ends; one that was ended from outside notices, and does so, too.
            if not run.is_finished or time.time() - record.update_timestamp.timestamp() <= PATIENCE_SECONDS:
                continue
            canceled = dead_runs.was_canceled(self.instance, run)
            error = outcomes.canceled() if canceled else ended_early(job.unseen)
            with self.database.transaction() as connection:
                ended = outcomes.end_attempt(connection, job.job_id, job.attempt, error, self._policy)
                table.free_leases_of(connection, run.run_id)
            if ended is not None:
                said.append(f"job {job.job_id} ended as {ended.status}: its run {run.run_id} was over without a word")
        return said

    def _requeue_dead_dispatches(self) -> list[str]:
        """Dispatched jobs whose run ended before it took them up."""
        with self.database.transaction() as connection:
            waiting = table.dispatched(connection)
        said = []
        for dispatch, run in self._ended_runs(waiting).items():
            # Nothing of the job has run yet, so it is not the job's failure.
            canceled = dead_runs.was_canceled(self.instance, run)
            error = outcomes.canceled() if canceled else run_died()
            with self.database.transaction() as connection:
                outcomes.end_attempt(connection, dispatch.job_id, dispatch.attempt, error, self._policy)
            said.append(f"job {dispatch.job_id}: its run {run.run_id} ended before it began")
        return said

    def _ended_runs(self, dispatches: list[Dispatch]) -> dict[Dispatch, dg.DagsterRun]:
        """Of the runs that were made for these attempts those that ended a while ago; no re-execution, which copies the
        tag."""
        if not dispatches:
            return {}
        by_key = {f"{each.job_id}:{each.attempt}": each for each in dispatches}
        finished = [Status.SUCCESS, Status.FAILURE, Status.CANCELED]
        ended = dg.RunsFilter(tags={"dagster/run_key": list(by_key)}, statuses=finished)
        return {
            by_key[record.dagster_run.tags["dagster/run_key"]]: record.dagster_run
            for record in self.instance.get_run_records(ended)
            if record.dagster_run.parent_run_id is None
            and time.time() - record.update_timestamp.timestamp() > PATIENCE_SECONDS
        }
