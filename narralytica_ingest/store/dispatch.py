"""From queued jobs to runs: identify, answer what is ready already, claim, and emit again what got lost.

Claiming and making a run are two systems, so `dispatched` is an outbox: a dispatched job without a run is emitted again
with the same run key. What looks at many jobs again and again passes over those that somebody else has locked, so that
it neither waits nor runs into a deadlock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from narralytica_ingest.store import hosts, metadata_rows, pauses
from narralytica_ingest.store.database import Connection, as_jsonb
from narralytica_ingest.store.hosts import NO_RULES, HostRules

# Any constant; one claimer at a time keeps priorities and fairness exact. The unique index is what makes it safe.
_CLAIM_LOCK = 7_264_002


@dataclass(frozen=True)
class NewJob:
    """A queued job whose video is not known yet."""

    job_id: UUID
    attempt: int
    source_url: str | None
    upload_ref: str | None
    title: str | None
    channel: str | None
    language: str | None
    options: str  # JSON, unread: what strangers wrote may break a parser, and must break nobody's look at other jobs


@dataclass(frozen=True)
class VideoKey:
    """What a source's identity says, as the `videos` row wants it."""

    video_id: str
    source: str
    source_id: str
    source_url: str | None
    upload_ref: str | None
    upload_version: str | None
    host: str


@dataclass(frozen=True)
class Dispatched:
    """A claimed job: its run key is `job_id:attempt`. `turn` counts the jobs of its host in flight up to this one,
    `ahead` those of all hosts before it."""

    job_id: UUID
    attempt: int
    video_id: str
    priority: int
    turn: int = 1
    ahead: int = 0

    @property
    def run_key(self) -> str:
        """The key by which Dagster makes one run, and only one, of this attempt."""
        return f"{self.job_id}:{self.attempt}"


_UNIDENTIFIED = """
SELECT job_id, attempt, source_url, upload_ref, title, channel, language, options::text FROM ingest_jobs
 WHERE status = 'queued' AND video_id IS NULL AND NOT cancel_requested AND (not_before IS NULL OR not_before <= now())
   AND (%(job_ids)s::uuid[] IS NULL OR job_id = ANY(%(job_ids)s))
 ORDER BY priority DESC, created_at LIMIT %(limit)s
"""


def unidentified(connection: Connection, limit: int, job_ids: Sequence[UUID] | None = None) -> list[NewJob]:
    """Queued jobs (of all, or of `job_ids`) that still need an identity, most urgent first."""
    values = {"limit": limit, "job_ids": None if job_ids is None else list(job_ids)}
    return [NewJob(**row) for row in connection.execute(_UNIDENTIFIED, values).fetchall()]


# Names of videos, locked in the order of the numbers that stand for them.
_LOCK_NAMES = """
SELECT pg_advisory_xact_lock(number)
  FROM (SELECT DISTINCT hashtextextended(name, 7264004) AS number FROM unnest(%s::text[]) AS name ORDER BY number) AS n
"""


def lock_names(connection: Connection, names: Sequence[str]) -> None:
    """The locks on these names, until the end of the transaction, before any row is locked. No row stands for a name
    that is new, and without a lock two could give it to two videos at once."""
    connection.execute(_LOCK_NAMES, (list(names),))


# A video that is known by another name is fetched from where its first job said, and that host is the one to mind.
_KNOWN = """
SELECT a.video_id, j.source_host FROM video_aliases a LEFT JOIN LATERAL (
       SELECT source_host FROM ingest_jobs j WHERE j.video_id = a.video_id AND source_host IS NOT NULL
        ORDER BY created_at LIMIT 1) j ON true
 WHERE a.alias = %s
"""
_ADD_VIDEO = """
INSERT INTO videos (video_id, source, source_id, source_url, upload_ref, upload_version)
VALUES (%(video_id)s, %(source)s, %(source_id)s, %(source_url)s, %(upload_ref)s, %(upload_version)s)
ON CONFLICT (video_id) DO UPDATE
   SET source_url = excluded.source_url, upload_ref = excluded.upload_ref, upload_version = excluded.upload_version
 WHERE (videos.status <> 'ready' OR %(force)s) AND (videos.lease_run_id IS NULL OR videos.lease_expires_at < now())
"""
# The first job that states a hint wins.
_MERGE_HINTS = "UPDATE videos SET hints = %(hints)s || hints WHERE video_id = %(video_id)s AND NOT hints @> %(hints)s"
_ATTACH = """
UPDATE ingest_jobs SET video_id = %(video_id)s, source_host = %(host)s
 WHERE job_id = %(job_id)s AND status = 'queued' AND video_id IS NULL
"""


def attach(
    connection: Connection, job_id: UUID, key: VideoKey, *, hints: Mapping[str, str] | None = None, force: bool = False
) -> str:
    """Gives a job its video, which is made if it is new. Returns the video's id: an alias leads to the known one.

    Where a video that is not ready (or is to be fetched anew) is named by another location, that one is used from now
    on: the old one may be gone. `hints` are normalized already.
    """
    lock_names(connection, [key.video_id])
    known = connection.execute(_KNOWN, (key.video_id,)).fetchone()
    values: dict[str, Any] = {**vars(key), "job_id": job_id, "force": force, "hints": as_jsonb(dict(hints or {}))}
    if known is not None:
        values |= {"video_id": known["video_id"], "host": known["source_host"] or key.host}
    else:
        connection.execute(_ADD_VIDEO, values)
    connection.execute(_MERGE_HINTS, values)
    connection.execute(_ATTACH, values)
    return str(values["video_id"])


# Videos are locked before their jobs and metadata, as a run's commit does it. What somebody else holds is passed over:
# a commit answers its jobs itself, and the next look does the rest.
_ANSWER = """
WITH ready AS (
    SELECT v.video_id, v.generation FROM videos v
     WHERE v.status = 'ready' AND v.video_id IN (SELECT video_id FROM ingest_jobs WHERE status = 'queued')
     ORDER BY v.video_id FOR NO KEY UPDATE SKIP LOCKED),
waiting AS (
    SELECT job_id FROM ingest_jobs JOIN ready USING (video_id)
     WHERE status = 'queued' AND NOT cancel_requested AND options -> 'force' IS DISTINCT FROM 'true'::jsonb
       AND NOT asks_for_more(options, video_id, generation)
       FOR UPDATE OF ingest_jobs SKIP LOCKED)
UPDATE ingest_jobs j
   SET status = 'succeeded', outcome = 'deduplicated', finished_at = now(), not_before = NULL, progress = NULL,
       error_class = NULL, error_code = NULL, error_message = NULL
  FROM waiting WHERE j.job_id = waiting.job_id
RETURNING j.job_id, j.video_id
"""
_BACK_TO_QUEUE_IF_READY = """
UPDATE ingest_jobs j SET status = 'queued' FROM videos v
 WHERE j.job_id = %s AND j.attempt = %s AND j.status = 'dispatched' AND v.video_id = j.video_id AND v.status = 'ready'
   AND NOT asks_for_more(j.options, v.video_id, v.generation)
"""


def answer_ready(connection: Connection) -> int:
    """Answers every queued job whose video is ready as deduplicated, but for those that ask for audio tracks that are
    not there. Its hints fill what the metadata leaves open."""
    rows = connection.execute(_ANSWER).fetchall()
    if rows:
        metadata_rows.fill_from_hints(connection, [row["video_id"] for row in rows])
    return len(rows)


def answer_dispatched(connection: Connection, job_id: UUID, attempt: int) -> bool:
    """Answers a dispatched job whose video became ready meanwhile, by the UI or a backfill. False if it is not."""
    is_ready = connection.execute(_BACK_TO_QUEUE_IF_READY, (job_id, attempt)).rowcount > 0
    if is_ready:
        answer_ready(connection)
    return is_ready


_CANCEL_REQUESTED = """
WITH ended AS (
    SELECT job_id FROM ingest_jobs
     WHERE cancel_requested AND status IN ('queued', 'dispatched') FOR UPDATE SKIP LOCKED)
UPDATE ingest_jobs j
   SET status = 'canceled', finished_at = now(), not_before = NULL, progress = NULL, error_class = 'canceled',
       error_code = 'canceled', error_message = 'Canceled on request; `retry` starts it again.'
  FROM ended WHERE j.job_id = ended.job_id
"""


def cancel_requested(connection: Connection) -> int:
    """Ends the jobs that were canceled before a run had them. A run that comes late finds nothing to bind."""
    return connection.execute(_CANCEL_REQUESTED).rowcount


# Of each host the first in line, as many as it has room for. A job stands back while its video is at work (by a job,
# the UI or a backfill) or was told to wait, and behind the video's more urgent or older jobs. Urgent ones go first;
# then hosts take turns. (OFFSET 0: looked up for each job; as joins these take seconds until a table is analyzed.)
_CLAIM = """
WITH in_line AS (
    SELECT j.*, room.n + row_number() OVER (PARTITION BY room.host, j.priority ORDER BY j.created_at) AS turn
      FROM unnest(%(hosts)s::text[], %(in_flight)s::int[], %(rooms)s::int[]) AS room (host, n, jobs)
     CROSS JOIN LATERAL (
        SELECT j.job_id, j.priority, j.created_at FROM ingest_jobs j JOIN videos v USING (video_id)
         WHERE coalesce(j.source_host, '') = room.host AND j.status = 'queued' AND NOT j.cancel_requested
           AND (j.not_before IS NULL OR j.not_before <= now())
           AND (v.lease_run_id IS NULL OR v.lease_expires_at < now())
           AND NOT EXISTS (SELECT FROM ingest_jobs o
                            WHERE o.video_id = j.video_id AND o.status IN ('dispatched', 'running') OFFSET 0)
           AND NOT EXISTS (SELECT FROM ingest_jobs o
                            WHERE o.video_id = j.video_id AND o.finished_at IS NULL AND o.job_id <> j.job_id
                              AND CASE WHEN o.not_before > now() THEN o.attempt > 0
                                  ELSE NOT o.cancel_requested AND (-o.priority::bigint, o.created_at, o.job_id)
                                                                < (-j.priority::bigint, j.created_at, j.job_id) END
                           OFFSET 0)
         ORDER BY j.priority DESC, j.created_at LIMIT room.jobs) j),
chosen AS (
    SELECT job_id FROM ingest_jobs
     WHERE status = 'queued' AND job_id IN (
           SELECT job_id FROM (
                  SELECT *, row_number() OVER (ORDER BY priority DESC, turn, created_at) AS place FROM in_line)
            WHERE turn = 1 OR place <= %(open)s ORDER BY place LIMIT %(slots)s) FOR UPDATE SKIP LOCKED),
claimed AS (
    UPDATE ingest_jobs j
       SET status = 'dispatched', attempt = j.attempt + 1, dispatched_at = now(), run_id = NULL, heartbeat_at = NULL,
           not_before = NULL, progress = NULL
      FROM chosen WHERE j.job_id = chosen.job_id
    RETURNING j.job_id, j.attempt, j.video_id, j.source_host)  -- the most urgent first, as Dagster shall have them
SELECT job_id, attempt, video_id, priority, turn, source_host FROM claimed JOIN in_line USING (job_id)
 ORDER BY priority DESC, turn, created_at
"""


def claim(connection: Connection, window: int, rules: HostRules = NO_RULES, reserve: int = 0) -> list[Dispatched]:
    """Claims queued jobs until `window` of them are dispatched or running. The claim is the attempt's beginning.

    No host gets more than `rules` and its breaker allow. The last `reserve` places of the window are for hosts with
    nothing in flight: however many jobs busy hosts have, another one's first job is claimed at once. While a part of
    our own is away or full nothing is claimed, and afterwards one job at a time (`pauses.py`).
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CLAIM_LOCK,))
    allowed = pauses.room(connection)
    if allowed == 0:
        return []
    known = hosts.look(connection)
    ahead = sum(host.in_flight for host in known)
    free = max(0, window - ahead)
    slots = min(free, allowed)
    rooms = {host: host.room(rules.of(host.host))[0] for host in known if host.queued}
    values = {
        "hosts": [host.host for host in rooms],
        "in_flight": [host.in_flight for host in rooms],
        "rooms": [min(room, slots) for room in rooms.values()],
    }
    rows = connection.execute(_CLAIM, values | {"slots": slots, "open": free - reserve}).fetchall()
    hosts.started(connection, rules, {row.pop("source_host") for row in rows})
    return [Dispatched(**row, ahead=ahead + place) for place, row in enumerate(rows)]


_CLAIMABLE = """
SELECT (SELECT count(*) FROM ingest_jobs WHERE status IN ('dispatched', 'running')) < %s
   AND EXISTS (SELECT FROM ingest_jobs
                WHERE status = 'queued' AND video_id IS NOT NULL AND NOT cancel_requested
                  AND (not_before IS NULL OR not_before <= now())) AS claimable
"""


def may_claim(connection: Connection, window: int) -> bool:
    """Whether a claim has room and a job that is due. It may still find none: hosts have limits of their own."""
    if pauses.room(connection) == 0:
        return False
    row = connection.execute(_CLAIMABLE, (window,)).fetchone()
    return bool(row and row["claimable"])


_LOST = """
WITH lost AS (
    SELECT job_id FROM ingest_jobs
     WHERE status = 'dispatched' AND dispatched_at < now() - make_interval(secs => %s) FOR UPDATE SKIP LOCKED)
UPDATE ingest_jobs j SET dispatched_at = now() FROM lost WHERE j.job_id = lost.job_id
RETURNING j.job_id, j.attempt, j.video_id, j.priority
"""


def emit_again(connection: Connection, after_seconds: float) -> list[Dispatched]:
    """Dispatched jobs that no run has taken up for so long. Dagster makes no second run of a run key that it knows."""
    return [Dispatched(**row) for row in connection.execute(_LOST, (after_seconds,)).fetchall()]
