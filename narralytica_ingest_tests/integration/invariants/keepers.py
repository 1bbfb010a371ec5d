"""The steps of everybody but the runs: who inserts jobs, the sensors, the sweeper, and people at the command line."""

import json
from typing import Any
from uuid import UUID

from narralytica_ingest.failures import FailureClass, IngestError, failure
from narralytica_ingest.store import (
    breaker,
    deletion,
    dispatch,
    jobs,
    objects,
    outcomes,
    repair,
    upkeep,
    verification,
)
from narralytica_ingest.store.database import Connection
from narralytica_ingest.store.dispatch import Dispatched, NewJob
from narralytica_ingest.store.jobs import JobRequest
from narralytica_ingest.store.verification import StoredObject
from narralytica_ingest_tests.integration.invariants.runs import COUNTED
from narralytica_ingest_tests.integration.invariants.steps import Step
from narralytica_ingest_tests.integration.invariants.world import (
    BUCKET,
    GRACE_SECONDS,
    POLICY,
    SOURCES,
    Removal,
    World,
    key_of,
)

WINDOW = 4
# A dispatched job is emitted again after so many seconds.
REDISPATCH_SECONDS = 60.0


# ---- the API --------------------------------------------------------------------------------------------------------


def insert(name: str, max_attempts: int | None, **wishes: Any) -> Step:
    """A job for a source."""
    source = key_of(name)
    request = JobRequest(source_url=source.source_url, upload_ref=source.upload_ref, **wishes)

    def act(connection: Connection) -> None:
        job_id = jobs.insert(connection, request)
        connection.execute("UPDATE ingest_jobs SET max_attempts = %s WHERE job_id = %s AND attempt = 0",
                           (max_attempts, job_id))  # fmt: skip

    return Step("insert", act)


def cancel_in_sql(job_id: UUID) -> Step:
    """As docs/job-table.md tells the API to do it."""
    statement = "UPDATE ingest_jobs SET cancel_requested = true WHERE job_id = %(job)s OR parent_job_id = %(job)s"
    return Step("cancel in SQL", lambda connection: connection.execute(statement, {"job": job_id}))


# ---- people ---------------------------------------------------------------------------------------------------------


def cancel(job_id: UUID) -> Step:
    """Of one job and of its children."""

    def act(connection: Connection) -> None:
        jobs.cancel_children(connection, job_id)
        jobs.cancel(connection, job_id)

    return Step("cancel", act)


def retry(job_id: UUID, *, force: bool) -> Step:
    """Of one job."""
    return Step("retry", lambda connection: jobs.retry(connection, job_id, force=force), revives=True)


def retry_children(job_id: UUID) -> Step:
    """Of an expanded job's children."""
    return Step("retry children", lambda connection: jobs.retry_children(connection, job_id), revives=True)


def reset_hosts() -> Step:
    """All hosts are trusted again."""
    return Step("reset hosts", lambda connection: breaker.reset(connection, None))


# ---- the dispatch sensor --------------------------------------------------------------------------------------------


def unidentified(world: World) -> list[NewJob]:
    """The jobs that the sensor is about to identify."""
    found: list[NewJob] = []
    world.do(Step("look", lambda connection: dispatch.unidentified(connection, 10), found.extend))
    return found


def identify(job: NewJob) -> Step:
    """One job gets its video."""
    name = (job.source_url or job.upload_ref or "").rpartition("/")[2]
    force = json.loads(job.options).get("force") is True
    hints = {"title": job.title} if job.title else {}
    return Step(
        f"identify {name}",
        lambda connection: dispatch.attach(connection, job.job_id, key_of(name), hints=hints, force=force),
    )


def refuse(job: NewJob, error: IngestError) -> Step:
    """One job cannot be identified."""
    return Step(
        "refuse",
        lambda connection: outcomes.refuse(connection, job.job_id, job.attempt, error, POLICY),
        charges=error.failure_class.value in COUNTED,
    )


def cancel_requested() -> Step:
    """Jobs that were canceled before a run had them."""
    return Step("cancel requested", dispatch.cancel_requested)


def answer_ready() -> Step:
    """Jobs whose video is ready."""
    return Step("answer ready", dispatch.answer_ready)


def claim(world: World, *, lost: bool = False) -> Step:
    """`lost`: the sensor dies before Dagster has heard of it."""

    def then(claimed: list[Dispatched]) -> None:
        for each in claimed:
            world.history.claimed(each.run_key)
        if not lost:
            world.requests += claimed
            world.known_run_keys |= {each.run_key for each in claimed}

    return Step("claim", lambda connection: dispatch.claim(connection, WINDOW), then)


def emit_again(world: World) -> Step:
    """Dagster drops the run keys that it has seen."""

    def then(emitted: list[Dispatched]) -> None:
        for each in emitted:
            if each.run_key not in world.known_run_keys:
                world.known_run_keys.add(each.run_key)
                world.requests.append(each)

    return Step("emit again", lambda connection: dispatch.emit_again(connection, REDISPATCH_SECONDS), then)


# ---- the sensors that watch runs ------------------------------------------------------------------------------------


def requeue_silent(*, ours: bool = False) -> Step:
    """Jobs whose run died, and leases that nobody holds. `ours`: no job pays for an outage of Postgres. (Here time
    moves the dates, so that every heartbeat soon is older than the server.)"""

    def act(connection: Connection) -> None:
        for lost in upkeep.silent_jobs(connection):
            error = failure("database_away" if lost.unseen and ours else "worker_lost")
            outcomes.end_attempt(connection, lost.job_id, lost.attempt, error, POLICY)
        upkeep.clear_expired_leases(connection)

    return Step("requeue silent jobs", act, charges=not ours)


def requeue_dead_dispatches(world: World) -> Step:
    """Dispatched jobs whose run Dagster counts as ended: it died in the queue, or before it took its job up."""

    def act(connection: Connection) -> set[str]:
        dead = set()
        for job_id, attempt in ((each.job_id, each.attempt) for each in upkeep.dispatched(connection)):
            if f"{job_id}:{attempt}" in world.known_run_keys:
                outcomes.end_attempt(connection, job_id, attempt, failure("run_died"), POLICY)
                dead.add(f"{job_id}:{attempt}")
        return dead

    def then(dead: set[str]) -> None:
        world.requests = [each for each in world.requests if each.run_key not in dead]

    return Step("requeue dead dispatches", act, then)


def run_ended(run_id: str, error: IngestError, *, frees: bool) -> Step:
    """Dagster says that a run failed or was terminated. `frees`: the upkeep sensor, which frees its videos too."""

    def act(connection: Connection) -> None:
        job = upkeep.running_job_of(connection, run_id)
        if job is not None:
            outcomes.end_attempt(connection, job.job_id, job.attempt, error, POLICY)
            if frees:
                upkeep.free_leases_of(connection, run_id)

    name = f"{run_id} ended as {error.code}"
    return Step(name, act, run_id=run_id, charges=error.failure_class.value in COUNTED)


# ---- the sweeper ----------------------------------------------------------------------------------------------------


def end_abandoned() -> Step:
    """Publications whose run has lost its lease."""
    return Step("end abandoned publications", objects.end_abandoned_publications)


def walk_bucket(world: World) -> Step:
    """Objects that no table knows."""

    def act(connection: Connection) -> None:
        objects.note_leftovers(connection, BUCKET, objects.unknown_keys(connection, BUCKET, sorted(world.bucket)))

    return Step("walk through the bucket", act)


def begin_removal(world: World, index: int = 0) -> Step:
    """One of the leftovers whose grace period is over; see recovery/removal.py."""

    def act(connection: Connection) -> Removal | None:
        due = sorted(each.object_key for each in objects.due_leftovers(connection, GRACE_SECONDS, 1000))
        if not due:
            return None
        key = due[index % len(due)]
        objects.lock(connection, BUCKET, [key])
        alone = not objects.being_removed(connection, BUCKET, [key])
        if not objects.begin_removal(connection, BUCKET, key, GRACE_SECONDS):
            return None
        return Removal(key, alone, objects.removal_begun_at(connection, BUCKET, key))

    def then(removal: Removal | None) -> None:
        world.removing = removal

    return Step("begin removal", act, then)


def remove(world: World) -> Step:
    """The object goes, unless somebody wants it again. Another remover's note stays."""
    removal = world.removing
    assert removal is not None
    key = removal.key

    def act(connection: Connection) -> None:
        objects.lock(connection, BUCKET, [key])
        alone = removal.alone and objects.removal_begun_at(connection, BUCKET, key) == removal.began_at
        if objects.begin_removal(connection, BUCKET, key, GRACE_SECONDS):
            world.bucket.discard(key)
            if alone:
                objects.forget_leftover(connection, BUCKET, key)
        elif alone:
            objects.withdraw_removal(connection, BUCKET, key)

    def then(_: None) -> None:
        world.removing = None

    return Step("remove", act, then)


class DiesNow(IngestError):
    """The sweeper, after it has sent its request; what it noted in this transaction is rolled back."""

    def __init__(self) -> None:
        super().__init__(FailureClass.LOCAL, "interrupted", "dies")


def ask_and_die(world: World) -> Step:
    """The sweeper dies after it has asked the bucket to remove the object, which it will do some time later."""
    assert world.removing is not None
    key = world.removing.key

    def act(connection: Connection) -> None:
        if objects.begin_removal(connection, BUCKET, key, GRACE_SECONDS):
            world.late_removals.append(key)
            raise DiesNow

    return Step("ask and die", act)


# ---- losses, and what mends them ------------------------------------------------------------------------------------


def delete(video_id: str) -> Step:
    """The rows of a video."""
    return Step("delete", lambda connection: deletion.delete_rows(connection, video_id))


def mend(world: World, key: str) -> Step:
    """As `verify --mend` does it for an object that the bucket has lost; see recovery/mend.py."""
    file = world.files[key]
    stored = StoredObject(BUCKET, key, file.size_bytes, file.sha256, file.content_type)

    def act(connection: Connection) -> None:
        objects.lock(connection, BUCKET, [key])
        files = verification.references(connection, stored, lock=True)
        published = objects.keys_in_publication(connection, BUCKET, [key])
        if published or key in world.bucket or any(file.lease_run_id for file in files):
            return
        for file in files:
            repair.lost_file(connection, file)

    return Step("mend", act, unserves=True)


# Some come more often, so that jobs meet.
NAMES = ("a", "a", "a", "b", *SOURCES)
