"""How an attempt ends when it does not succeed: the consequences of each failure class, in one place.

The class decides (see `failures.py`): fail now, wait, try again within the budget, or leave the job untouched.

A refusal (`breaker.py`: a rate limit, bot check or captcha) speaks about the whole host. The host cools down until the
refused job's next try, so that the two always agree, or, where the job ended, for a time that grows with the refusals
since the last success. For the refused job:

- Where the host cools down already, the attempt began before that and tells nothing new: the job waits, uncharged.
- A rate limit is charged, and tried again when the source says, else after the cool-down, but at most after
  REFUSED_DELAY_SECONDS: the oldest job, mostly the refused one, tries the host for all of them, and a source that
  always refuses ends it within four minutes (4 attempts, 3 waits of 45 s). Only then the host has its long rest.
- The first bot check or captcha fails its job: somebody must act. At a host that is suspected already it is charged,
  tried again after the whole cool-down, and fails at the end of its budget. So a check that stays kills neither the
  queue at once nor a job with every try, and a job that meets one for a reason of its own does not wait for ever.

A refusal by a part of our own (`pauses.py`: object store or disk away or full) pauses the claim of all jobs; the
refused one waits as long, uncharged.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from narralytica_ingest.config import Settings
from narralytica_ingest.failures import FailureClass, IngestError, failure
from narralytica_ingest.store import breaker, pauses
from narralytica_ingest.store.breaker import Standing, is_refusal
from narralytica_ingest.store.database import Connection, Row, clock, storable_text
from narralytica_ingest.store.leases import Lease, release

# How long a job waits for something of our own that pauses no other, and for a source that named no time.
LOCAL_DELAY_SECONDS = 15.0  # doubles with each attempt, to at most:
LOCAL_MAX_DELAY_SECONDS = 300.0
NOT_YET_DELAY_SECONDS = 300.0  # doubles with each attempt too, to at most:
NOT_YET_MAX_DELAY_SECONDS = 3600.0
# The longest wait of a job whose host named no time: a source that always fails ends its job within four minutes.
REFUSED_DELAY_SECONDS = 45.0
MESSAGE_CHARACTERS = 2000

_FINAL = {FailureClass.PERMANENT, FailureClass.NEEDS_OPERATOR}
_UNCOUNTED = {FailureClass.NOT_YET, FailureClass.LOCAL}


@dataclass(frozen=True)
class RetryPolicy:
    """The budget and the delays (seconds) of attempts that may be repeated, and the cool-downs of hosts."""

    max_attempts: int
    base_seconds: float
    max_seconds: float
    random: Callable[[], float] = random.random
    cooldown_seconds: float = 60.0
    cooldown_max_seconds: float = 3600.0

    def delay(self, failures: int) -> float:
        """Exponential backoff after the `failures`-th failure, with up to a quarter of jitter on top."""
        plain = min(self.max_seconds, self.base_seconds * 2.0 ** (max(failures, 1) - 1))
        return plain * (1 + self.random() / 4)

    def cooldown(self, refusals: int) -> float:
        """How long (seconds) a host cools down at the `refusals`-th refusal since its last success."""
        return min(self.cooldown_max_seconds, self.cooldown_seconds * 2.0 ** min(max(refusals, 1) - 1, 60))


def retry_policy(settings: Settings) -> RetryPolicy:
    """The budget and the delays as the settings have them."""
    return RetryPolicy(
        settings.max_attempts,
        settings.retry_base_seconds,
        settings.retry_max_seconds,
        cooldown_seconds=settings.host_cooldown_seconds,
        cooldown_max_seconds=settings.host_cooldown_max_seconds,
    )


@dataclass(frozen=True)
class Verdict:
    """What becomes of a job: its next `status`, its failures so far, and from when on it may be tried again."""

    status: str
    failures: int
    not_before: datetime | None


def decide(
    error: IngestError,
    failures: int,
    max_attempts: int | None,
    policy: RetryPolicy,
    now: datetime,
    attempt: int = 1,
    host: Standing | None = None,
    paused_until: datetime | None = None,
) -> Verdict:
    """The verdict on a job that had `failures` failures before. Pure. `host` is given for a refusal by it."""
    kind = error.failure_class
    if kind is FailureClass.CANCELED:
        return Verdict("canceled", failures, None)
    if kind in _UNCOUNTED:
        own = now + timedelta(seconds=_uncounted_delay(kind, attempt))
        return Verdict("queued", failures, error.retry_at or paused_until or own)
    if host is not None and host.cool_until is not None and host.cools(now):
        return Verdict("queued", failures, max(host.cool_until, error.retry_at or now))
    suspected = host is not None and host.refusals > 0
    if (kind in _FINAL and not suspected) or failures + 1 >= (max_attempts or policy.max_attempts):
        return Verdict("failed", failures + 1, None)
    delay = policy.delay(failures + 1) if host is None else _refused_delay(kind, host, policy)
    return Verdict("queued", failures + 1, error.retry_at or now + timedelta(seconds=delay))


def _uncounted_delay(kind: FailureClass, attempt: int) -> float:
    """Seconds until a job that waits for us or for its time is tried again: twice as long with each attempt."""
    first, most = (
        (LOCAL_DELAY_SECONDS, LOCAL_MAX_DELAY_SECONDS)
        if kind is FailureClass.LOCAL
        else (NOT_YET_DELAY_SECONDS, NOT_YET_MAX_DELAY_SECONDS)
    )
    return min(most, first * 2.0 ** min(max(attempt, 1) - 1, 10))


def _refused_delay(kind: FailureClass, host: Standing, policy: RetryPolicy) -> float:
    cooldown = policy.cooldown(host.refusals + 1)
    return cooldown if kind in _FINAL else min(cooldown, REFUSED_DELAY_SECONDS)


def cool_until(
    error: IngestError, verdict: Verdict | None, policy: RetryPolicy, now: datetime, host: Standing
) -> datetime:
    """Until when a refusal cools its host: until the job's next try, or, where it has none, for the whole cool-down."""
    if verdict is not None and verdict.not_before is not None:
        return verdict.not_before
    own = now + timedelta(seconds=policy.cooldown(host.refusals + 1))
    return max(own, error.retry_at or own)


_JOB_OF_RUN = """
SELECT job_id, attempt, source_host, failures, max_attempts, cancel_requested, error_code FROM ingest_jobs
 WHERE run_id = %s AND status = 'running' FOR UPDATE
"""
_JOB = """
SELECT job_id, attempt, video_id, source_host, failures, max_attempts, cancel_requested, error_code FROM ingest_jobs
 WHERE job_id = %s AND attempt = %s AND status = ANY(%s) FOR UPDATE
"""
# The lock order of this package: the video before its jobs.
_LOCK_VIDEO_OF = "SELECT FROM videos WHERE video_id = (SELECT video_id FROM ingest_jobs WHERE job_id = %s) FOR UPDATE"
_HOST_OF_VIDEO = """
SELECT source_host FROM ingest_jobs WHERE video_id = %s AND source_host <> '' ORDER BY created_at DESC LIMIT 1
"""
_APPLY = """
UPDATE ingest_jobs
   SET status = %(status)s, failures = %(failures)s, not_before = %(not_before)s, progress = NULL, run_id = %(run_id)s,
       finished_at = CASE WHEN %(status)s IN ('failed', 'canceled') THEN now() END,
       error_class = %(error_class)s, error_code = %(error_code)s, error_message = %(error_message)s
 WHERE job_id = %(job_id)s
"""
# A video that was ready stays ready: what failed was the making of its next generation.
_VIDEO = """
UPDATE videos SET status = CASE WHEN status = 'ready' THEN 'ready' ELSE %(video_status)s END,
       error_class = %(error_class)s, error_code = %(error_code)s, error_message = %(error_message)s
 WHERE video_id = %(video_id)s
"""
# A verdict speaks about the video as the job wished it: one job's limit, or format, must not fail another's. And a
# playlist within a playlist is refused as an entry only, not as a job of its own.
_WAITING_SHARE_VERDICT = """
UPDATE ingest_jobs w
   SET status = 'failed', finished_at = now(), not_before = NULL, progress = NULL,
       error_class = %(error_class)s, error_code = %(error_code)s, error_message = %(error_message)s
  FROM ingest_jobs j, videos v
 WHERE j.job_id = %(job_id)s AND v.video_id = %(video_id)s
   AND w.video_id = v.video_id AND w.status = 'queued' AND w.job_id <> j.job_id
   AND (v.status <> 'ready' OR w.options -> 'force' = 'true'::jsonb)
   AND w.options - 'force' = j.options - 'force'
   AND (w.parent_job_id IS NOT NULL OR %(error_code)s <> 'nested_playlist')
"""
# After a verdict on the video itself nothing of it is worth keeping: a later attempt fetches it anew. After other ends
# the first generation's files stay for the next attempt; those of a forced one go, so that the served ones stand alone.
_DROP_UNFINISHED = """
WITH files AS (
    DELETE FROM media_files f USING videos v
     WHERE f.video_id = v.video_id AND v.video_id = %(video_id)s AND f.generation > v.generation
       AND (v.generation > 0 OR %(error_class)s = 'permanent'))
DELETE FROM video_metadata m USING videos v
 WHERE m.video_id = v.video_id AND v.video_id = %(video_id)s AND m.generation > v.generation
   AND (v.generation > 0 OR %(error_class)s = 'permanent')
"""


def end_run(connection: Connection, lease: Lease, error: IngestError, policy: RetryPolicy) -> Verdict | None:
    """Ends the attempt of a run with a failure, and gives its lease up. Changes nothing if the lease was lost.

    Returns the verdict on the run's job, or None where the run had no job (UI, backfill) or no lease any more.
    """
    held = connection.execute(
        "SELECT FROM videos WHERE video_id = %s AND lease_run_id = %s AND lease_epoch = %s FOR UPDATE",
        (lease.video_id, lease.run_id, lease.epoch),
    ).fetchone()
    if held is None:
        return None
    job = connection.execute(_JOB_OF_RUN, (lease.run_id,)).fetchone()
    verdict = None
    if job is not None:
        verdict = _apply(connection, job["job_id"], lease.video_id, job, error, policy, lease.run_id)
    else:
        _apply_without_job(connection, lease.video_id, error, policy)
    release(connection, [lease])
    return verdict


def end_attempt(
    connection: Connection, job_id: UUID, attempt: int, error: IngestError, policy: RetryPolicy
) -> Verdict | None:
    """Ends an attempt that its run cannot end itself. Returns None, and changes nothing, if it has ended already."""
    return _end_job(connection, job_id, attempt, ["dispatched", "running"], error, policy)


def refuse(connection: Connection, job_id: UUID, attempt: int, error: IngestError, policy: RetryPolicy) -> None:
    """Ends, or defers, a queued job whose source could not be identified."""
    _end_job(connection, job_id, attempt, ["queued"], error, policy)


def _end_job(
    connection: Connection, job_id: UUID, attempt: int, statuses: list[str], error: IngestError, policy: RetryPolicy
) -> Verdict | None:
    connection.execute(_LOCK_VIDEO_OF, (job_id,))
    job = connection.execute(_JOB, (job_id, attempt, statuses)).fetchone()
    if job is None:
        return None
    return _apply(connection, job_id, job["video_id"], job, error, policy, None)


def _apply(
    connection: Connection,
    job_id: UUID,
    video_id: str | None,
    job: Row,
    error: IngestError,
    policy: RetryPolicy,
    run_id: str | None,
) -> Verdict:
    now, refusal = clock(connection), error
    host = breaker.standing(connection, job["source_host"]) if is_refusal(error) and job["source_host"] else None
    if job["cancel_requested"]:
        error = canceled()
    paused_until = pauses.refused(connection, refusal, job)
    verdict = decide(error, job["failures"], job["max_attempts"], policy, now, job["attempt"], host, paused_until)
    values = {
        **vars(verdict),
        "job_id": job_id,
        "video_id": video_id,
        "run_id": run_id,
        "video_status": "failed" if verdict.status == "failed" else "pending",
        **_error(error),
    }
    connection.execute(_APPLY, values)
    if video_id is not None:
        connection.execute(_VIDEO, values)
        if verdict.status in ("failed", "canceled"):
            connection.execute(_DROP_UNFINISHED, values)
        if error.failure_class in _FINAL and verdict.status == "failed":
            connection.execute(_WAITING_SHARE_VERDICT, values)
    if host is not None:
        _cool(connection, job["source_host"], host, refusal, verdict, policy, now)
    return verdict


def _apply_without_job(connection: Connection, video_id: str, error: IngestError, policy: RetryPolicy) -> None:
    """A run of the UI or a backfill has no job to judge, but what it met is true of the video and of others."""
    pauses.refused(connection, error)
    if error.failure_class in _FINAL:
        connection.execute(_VIDEO, _error(error) | {"video_id": video_id, "video_status": "failed"})
    found = connection.execute(_HOST_OF_VIDEO, (video_id,)).fetchone() if is_refusal(error) else None
    if found is not None:
        standing = breaker.standing(connection, found["source_host"])
        _cool(connection, found["source_host"], standing, error, None, policy, clock(connection))


def _cool(
    connection: Connection,
    name: str,
    host: Standing,
    refusal: IngestError,
    verdict: Verdict | None,
    policy: RetryPolicy,
    now: datetime,
) -> None:
    until = cool_until(refusal, verdict, policy, now, host)
    breaker.cool(connection, name, until, _error(refusal), counts=not host.cools(now))


def _error(error: IngestError) -> dict[str, object]:
    message = storable_text(error.message)[:MESSAGE_CHARACTERS]
    return {"error_class": error.failure_class.value, "error_code": error.code, "error_message": message}


def canceled() -> IngestError:
    """The verdict of a job that a person ended."""
    return failure("canceled", "Canceled on request; `retry` starts it again.")
