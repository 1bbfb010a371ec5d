"""Back-pressure: while a part of our own is away or full, no job is claimed, and every job keeps its place.

A run that the object store or the disk refuses notes a *pause* with its verdict. Until it is over nothing is claimed,
claimed jobs that only wait for a worker go back to the queue, and the refused job waits as long as the pause does,
uncharged. Afterwards one job at a time tries the part, until one succeeds at what the part is for: then the pause is
gone, and all that waited for it go on at once. A further refusal pauses longer.

A job may also be refused for a reason of its own, such as a damaged file, and would pause all others for ever. So a
job that is refused a second time lets others try first; and if the part has served others meanwhile, it speaks for
itself alone and waits alone, until a second job says the same.

Lock order: a video, its jobs, then a pause. Who holds a pause waits for no row of another job.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from narralytica_ingest.failures import CATALOGUE, IngestError
from narralytica_ingest.store.database import CHANNEL, Connection, Row, storable_text

# A pause is short at first, since most outages are a restart, and doubles while it goes on. The longest, a look of the
# sensor (5 s) and the standing back of a job that is alone together stay below a minute: so long after the end of an
# outage, at the most, the first job goes.
FIRST_SECONDS = 5.0
LONGEST_SECONDS = 40.0
# By so much a job that is refused again waits longer than the pause: two looks, in which another job may have the try.
STAND_BACK_SECONDS = 10.0
# A try holds the others up for so long. One that downloads for an hour may tell nothing about the bucket until then.
TRY_SECONDS = 60.0

MESSAGE_CHARACTERS = 2000
NO_LIMIT = 1_000_000_000  # more jobs than any window has


class Resource(StrEnum):
    """A part of our own that every job needs."""

    OBJECT_STORE = "object_store"
    DISK = "disk"


# The failures that speak about a part and not about the job, so that every other job would meet them, too.
RESOURCE_OF: Mapping[str, Resource] = MappingProxyType(
    {
        "object_store_away": Resource.OBJECT_STORE,
        "object_store_refused": Resource.OBJECT_STORE,
        "object_store_full": Resource.OBJECT_STORE,
        "bucket_missing": Resource.OBJECT_STORE,
        "disk_full": Resource.DISK,
        "disk_unusable": Resource.DISK,
    }
)


@dataclass(frozen=True)
class Pause:
    """A pause as it stands: `closed` until `until`, by the database's clock, then `trying` jobs have the try."""

    resource: str
    since: datetime
    until: datetime
    refusals: int
    error_code: str
    error_message: str
    closed: bool
    trying: int

    @property
    def room(self) -> int:
        """How many jobs may be claimed now: none, or one."""
        return 0 if self.closed or self.trying else 1

    @property
    def state(self) -> str:
        """What is (not) claimed, and the next look, as the beginning of a sentence."""
        if self.closed:
            return f"No job is claimed until {self.until.astimezone(UTC):%H:%M:%S} UTC"
        return "One job at a time is claimed until one succeeds"

    @property
    def sentence(self) -> str:
        """What is paused, why, since when, and what a person can do about it."""
        known = CATALOGUE[self.error_code]
        since = f"since {self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.state} ({self.error_code}, {since}): {known.meaning} {known.action}".strip()


_LOOK = """
SELECT p.resource, p.since, p.until, p.refusals, p.error_code, p.error_message, p.until > now() AS closed,
       (SELECT count(*) FROM ingest_jobs j
         WHERE j.status IN ('dispatched', 'running') AND j.dispatched_at >= p.until
           AND j.dispatched_at > now() - make_interval(secs => %s)) AS trying
  FROM claim_pauses p ORDER BY p.until DESC
"""


def look(connection: Connection) -> list[Pause]:
    """What is paused now, the longest first; empty is the usual case."""
    return [Pause(**row) for row in connection.execute(_LOOK, (TRY_SECONDS,)).fetchall()]


def room(connection: Connection) -> int:
    """How many jobs may be claimed, as far as our own parts are concerned: none, one, or NO_LIMIT."""
    return min((pause.room for pause in look(connection)), default=NO_LIMIT)


def waits(connection: Connection, jobs: Sequence[Row]) -> list[Row]:
    """The job rows with one more column, `pause`: what keeps a queued job waiting, as the fields of a Pause and its
    `sentence`; or None."""
    queued = any(job["status"] == "queued" for job in jobs)
    pause = next(iter(look(connection)), None) if queued else None
    said = asdict(pause) | {"sentence": pause.sentence} if pause else None
    return [job | {"pause": said if pause and _is_held(job, pause) else None} for job in jobs]


def _is_held(job: Row, pause: Pause) -> bool:
    """Not a job that waits for a time of its own beyond the pause."""
    if job["status"] != "queued":
        return False
    return job["not_before"] is None or job["not_before"] <= pause.until or job["error_code"] in RESOURCE_OF


_STANDING = "SELECT FROM claim_pauses WHERE resource = %s FOR UPDATE"
_OTHERS_SAY_SO = """
SELECT FROM ingest_jobs
 WHERE status = 'queued' AND not_before > now() AND error_code = ANY(%s) AND job_id <> %s LIMIT 1
"""
# A run that was at work when the pause began and fails within it tells nothing new.
_PAUSE = """
INSERT INTO claim_pauses (resource, until, error_code, error_message)
VALUES (%(resource)s, clock_timestamp() + make_interval(secs => %(first)s), %(code)s, %(message)s)
ON CONFLICT (resource) DO UPDATE
   SET error_code = excluded.error_code, error_message = excluded.error_message,
       refusals = claim_pauses.refusals + CASE WHEN claim_pauses.until > clock_timestamp() THEN 0 ELSE 1 END,
       until = CASE WHEN claim_pauses.until > clock_timestamp() THEN claim_pauses.until
               ELSE clock_timestamp() + make_interval(
                   secs => least(%(longest)s, %(first)s * 2.0 ^ least(claim_pauses.refusals, 30))) END
RETURNING until
"""
# Their runs find nothing to bind and end at once. What somebody else has locked is on its way elsewhere.
_RECALL = """
WITH waiting AS (SELECT job_id FROM ingest_jobs WHERE status = 'dispatched' FOR UPDATE SKIP LOCKED)
UPDATE ingest_jobs j SET status = 'queued' FROM waiting WHERE j.job_id = waiting.job_id
"""


def refused(connection: Connection, error: IngestError, job: Row | None = None) -> datetime | None:
    """Notes that a part of our own refused us, if that is what the failure says.

    `job` is the row of the job that met it, as it was before: `job_id`, and the `error_code` of its last attempt.
    Returns until when that job waits; None where nothing is paused: it is another failure, or the job speaks for
    itself alone.
    """
    resource = RESOURCE_OF.get(error.code)
    if resource is None:
        return None
    again = job is not None and RESOURCE_OF.get(job["error_code"]) is resource
    if again and job is not None and not _is_believed(connection, resource, job["job_id"]):
        return None
    row = connection.execute(
        _PAUSE,
        {
            "resource": resource.value,
            "code": error.code,
            "message": storable_text(error.message)[:MESSAGE_CHARACTERS],
            "first": FIRST_SECONDS,
            "longest": LONGEST_SECONDS,
        },
    ).fetchone()
    assert row is not None
    connection.execute(_RECALL)
    until: datetime = row["until"]
    return until + timedelta(seconds=STAND_BACK_SECONDS) if again else until


def _is_believed(connection: Connection, resource: Resource, job_id: UUID) -> bool:
    """Whether a job that is refused again speaks for all: no other one was served meanwhile, or another says the
    same."""
    if connection.execute(_STANDING, (resource.value,)).fetchone() is not None:
        return True
    return connection.execute(_OTHERS_SAY_SO, (_codes([resource]), job_id)).fetchone() is not None


_END = "DELETE FROM claim_pauses WHERE resource = ANY(%s) RETURNING resource"
_LET_GO = """
WITH refused AS (
    SELECT job_id FROM ingest_jobs
     WHERE status = 'queued' AND not_before > now() AND error_code = ANY(%s) FOR UPDATE SKIP LOCKED)
UPDATE ingest_jobs j SET not_before = NULL FROM refused WHERE j.job_id = refused.job_id
"""
_WAKE = "SELECT pg_notify(%s, %s)"


def succeeded(connection: Connection, resources: Collection[Resource] = tuple(Resource)) -> None:
    """These parts did what they are for, just now: ends their pauses, and lets go what waited for them.

    A commit of media files shows that all work; space that was set aside, that the disk does. The dispatch sensor is
    woken when this transaction commits.
    """
    rows = connection.execute(_END, ([resource.value for resource in resources],)).fetchall()
    if rows:
        connection.execute(_LET_GO, (_codes([Resource(row["resource"]) for row in rows]),))
        connection.execute(_WAKE, (CHANNEL, '{"claims": "resumed"}'))


def _codes(resources: Collection[Resource]) -> list[str]:
    return [code for code, resource in RESOURCE_OF.items() if resource in resources]
