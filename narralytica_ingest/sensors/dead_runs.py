"""Runs in Dagster that nobody executes, or that nobody waits for: they keep a place in the queue or among the runs.

What belongs here: how such a run is told from one that lives, and its end in Dagster. `upkeep.py` sees to its job.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import dagster as dg
from dagster import DagsterRunStatus as Status
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG

from narralytica_ingest.engine.tags import ATTEMPT_TAG, JOB_TAG
from narralytica_ingest.sensors.upkeep_memory import Memory
from narralytica_ingest.store import upkeep as table
from narralytica_ingest.store.database import Database, Row
from narralytica_ingest.store.leases import Dispatch

# A run that was made and never put into the queue: whoever made it died in between. (Those of jobs are emitted again.)
NEVER_QUEUED_SECONDS = 600.0
# For how long (seconds) a run that was sent to the workers waits while none takes it.
NO_WORKER_SECONDS = 60.0
_OVERTAKERS = 50


def end_unwanted(instance: dg.DagsterInstance, database: Database) -> list[str]:
    """Cancels runs that wait, in the queue or for a worker, for a job that moved on: canceled, answered, or at another
    attempt. A worker that has such a run's message begins nothing."""
    records = instance.get_run_records(dg.RunsFilter(statuses=[Status.QUEUED, Status.NOT_STARTED, Status.STARTING]))
    by_hand = [record for record in records if _dispatch(record.dagster_run) is None]
    waiting = {dispatch: record for record in records if (dispatch := _dispatch(record.dagster_run)) is not None}
    with database.transaction() as connection:
        unwanted = table.moved_on(connection, waiting) if waiting else set()
    said = []
    for dispatch in unwanted:
        run = waiting[dispatch].dagster_run
        instance.report_run_canceling(run, message="Its job moved on before the run began.")
        instance.report_run_canceled(run)
        said.append(f"run {run.run_id} canceled before it began: job {dispatch.job_id} moved on")
    for record in by_hand:
        age = time.time() - record.create_timestamp.timestamp()
        if record.dagster_run.status is Status.NOT_STARTED and age > NEVER_QUEUED_SECONDS:
            instance.report_run_failed(record.dagster_run, message="The run was never put into the queue.")
            said.append(f"run {record.dagster_run.run_id} ended: it was never put into the queue")
    return said


def end_canceling(instance: dg.DagsterInstance, alive: set[str], after_seconds: float) -> list[str]:
    """Terminated runs that no worker executes (it died, or they were never taken up) end here."""
    records = instance.get_run_records(dg.RunsFilter(statuses=[Status.CANCELING]))
    stuck = [
        record.dagster_run
        for record in records
        if record.dagster_run.run_id not in alive and time.time() - record.update_timestamp.timestamp() > after_seconds
    ]
    for run in stuck:
        instance.report_run_canceled(run, message="No worker executes this run any more.")
    return [f"run {run.run_id} canceled: no worker executes it" for run in stuck]


def end_dead(
    instance: dg.DagsterInstance, alive: set[str], workers: int, memory: Memory, after_seconds: float
) -> list[str]:
    """Fails runs that were begun, or sent to the workers, and that nobody executes: in doubt in every look for so long.

    A begun run is without a lease for moments only: before it takes one, and after it gave it up. The message of one
    that was sent is lost if later ones of its lane begin (it may as well wait behind a long run on another machine: it
    is ended, too, and its job finds a free worker). While slots are free it may also be that no worker is there:
    one that was killed has its time to come back.
    """
    records = instance.get_run_records(dg.RunsFilter(statuses=[Status.STARTED, Status.STARTING]))
    runs = {record.dagster_run.run_id: record for record in records}
    begun = sum(record.dagster_run.status is Status.STARTED for record in records)
    patience: dict[str, float] = {}
    for run_id in runs.keys() - alive:
        if runs[run_id].dagster_run.status is Status.STARTED or _overtaken(instance, runs[run_id]):
            patience[run_id] = after_seconds
        elif begun < workers:
            patience[run_id] = max(after_seconds, NO_WORKER_SECONDS)
    said = []
    for run in (runs[run_id].dagster_run for run_id in sorted(memory.suspect(patience))):
        now = instance.get_run_by_id(run.run_id)
        if now is not None and now.status is run.status:  # else a worker took it up since it was seen
            instance.report_run_failed(run, message="No worker executes this run any more.")
            said.append(f"run {run.run_id} ended: no worker executes it")
    return said


def was_canceled(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether somebody terminated the run, however it ended: one that begins while it is CANCELING ends as failed."""
    if run.status is Status.CANCELED:
        return True
    asked = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.PIPELINE_CANCELING, limit=1)
    return bool(asked.records)


def end_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Ends the run of a worker that fell silent."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return
    if run.status is Status.CANCELING:
        instance.report_run_canceled(run, message="The run fell silent while it was being canceled.")
    else:
        instance.report_run_failed(run, message="The run's worker fell silent. Its job, if it has one, is tried again.")


def note_stored(instance: dg.DagsterInstance, run_id: str, stored: Row) -> None:
    """Dagster learns what a run had stored that fell silent before it could say so; else the tables alone knew.

    Ranges are left out: such a backfill shows as failed, and is repeated in one run.
    """
    run, asset, video_id = instance.get_run_by_id(run_id), dg.AssetKey(stored["asset"]), stored["video_id"]
    if run is None or run.tags.get("dagster/partition") != video_id:
        return
    events = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    if any(event.asset_key == asset for event in events):
        return
    tags = {"dagster/data_version": stored["version"]} if stored["version"] else {}
    note = f"Stored by run {run_id}, which fell silent before it could say so; the upkeep sensor noted it."
    instance.report_runless_asset_event(dg.AssetMaterialization(asset, description=note, partition=video_id, tags=tags))


def _dispatch(run: dg.DagsterRun) -> Dispatch | None:
    """The attempt for which the run was made; None for one that a person started, a re-execution too."""
    if JOB_TAG not in run.tags or run.parent_run_id is not None:
        return None
    return Dispatch(UUID(run.tags[JOB_TAG]), int(run.tags[ATTEMPT_TAG]))


def _overtaken(instance: dg.DagsterInstance, sent: dg.RunRecord) -> bool:
    """Whether a run that was sent to the same lane later has begun."""
    sent_at = _sent_at(instance, sent)
    lane = sent.dagster_run.tags.get(DAGSTER_CELERY_QUEUE_TAG)
    later: Sequence[dg.RunRecord] = instance.get_run_records(
        dg.RunsFilter(updated_after=datetime.fromtimestamp(sent_at, UTC)), limit=_OVERTAKERS
    )
    return any(
        record.start_time is not None
        and record.start_time > sent_at
        and record.dagster_run.tags.get(DAGSTER_CELERY_QUEUE_TAG) == lane
        and _sent_at(instance, record) > sent_at
        for record in later
    )


def _sent_at(instance: dg.DagsterInstance, record: dg.RunRecord) -> float:
    """Epoch seconds."""
    stats = instance.get_run_stats(record.dagster_run.run_id)
    return float(getattr(stats, "launch_time", None) or record.create_timestamp.timestamp())
