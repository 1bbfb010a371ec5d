"""The circuit breaker that rests a source host which refuses us.

A *refusal* is a failure that speaks about the host and not about the video: a rate limit, a bot check, a captcha, a
blocked address. It cools the host down: until `cool_until` no job of it is claimed, and those that only waited for a
worker go back to the queue. Afterwards, while `refusals` is above 0, one job of it is tried at a time. A success ends
that; a further refusal cools longer. How long, and what becomes of the refused job, is decided in `outcomes.py`.

Lock order: the row of a video, its jobs, then hosts, these in the order of their names. Who holds a host waits for no
other video's job.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from narralytica_ingest.failures import FailureClass, IngestError, failure
from narralytica_ingest.store.database import Connection, Row

# With the class rate_limited, the failures that speak about the host. (A login, an age gate, members only speak about
# the video.)
REFUSAL_CODES = ("bot_check", "captcha", "ip_blocked")


def is_refusal(error: IngestError) -> bool:
    """Whether the failure speaks about the host, so that its other jobs would meet it, too."""
    return error.failure_class is FailureClass.RATE_LIMITED or error.code in REFUSAL_CODES


@dataclass(frozen=True)
class Standing:
    """What a refusal finds: the refusals before it, and until when the host cools down because of them."""

    refusals: int
    cool_until: datetime | None

    def cools(self, now: datetime) -> bool:
        """Whether the host cools down now: then the refused attempt began before, and tells nothing new."""
        return self.cool_until is not None and self.cool_until > now


_STANDING = """
INSERT INTO hosts (host) VALUES (%s) ON CONFLICT (host) DO UPDATE SET host = excluded.host
RETURNING refusals, cool_until
"""
_COOL = """
UPDATE hosts SET cool_until = greatest(cool_until, %(until)s), refusals = refusals + %(more)s,
       error_code = %(error_code)s, error_message = %(error_message)s
 WHERE host = %(host)s
"""
# Their runs find nothing to bind and end at once. What somebody else has locked is on its way elsewhere.
_RECALL = """
WITH waiting AS (
    SELECT job_id FROM ingest_jobs WHERE source_host = %s AND status = 'dispatched' FOR UPDATE SKIP LOCKED)
UPDATE ingest_jobs j SET status = 'queued' FROM waiting WHERE j.job_id = waiting.job_id
"""
_TRUST = """
UPDATE hosts SET refusals = 0, cool_until = NULL, error_code = NULL, error_message = NULL
 WHERE host IN (SELECT host FROM hosts WHERE host = ANY(%s) AND refusals > 0 AND cool_until <= now()
                 ORDER BY host FOR UPDATE)
"""


def standing(connection: Connection, host: str) -> Standing:
    """How the host stands, locked until the transaction ends: refusals that come at once are taken one by one."""
    row = connection.execute(_STANDING, (host,)).fetchone()
    assert row is not None
    return Standing(**row)


def cool(connection: Connection, host: str, until: datetime, error: Row, *, counts: bool) -> None:
    """Cools the host down, never for shorter than before. `counts`: it is a new refusal, not one of the same burst."""
    connection.execute(_COOL, {"host": host, "until": until, "more": int(counts), **error})
    connection.execute(_RECALL, (host,))


def trust(connection: Connection, hosts: Collection[str]) -> None:
    """A job fetched a video from these hosts: the suspicion is over. During a cool-down it only says that it began
    before. A playlist that opened does not count, nor does a known video: neither asked for what was refused."""
    if hosts:
        connection.execute(_TRUST, (list(hosts),))


_LET_GO = """
WITH refused AS (
    SELECT job_id FROM ingest_jobs
     WHERE status = 'queued' AND not_before > now()
       AND (%(host)s::text IS NULL OR right('.' || source_host, length(%(host)s) + 1) = '.' || %(host)s)
       AND (error_class = 'rate_limited' OR error_code = ANY(%(codes)s)) FOR UPDATE SKIP LOCKED)
UPDATE ingest_jobs j SET not_before = NULL FROM refused WHERE j.job_id = refused.job_id
"""
_RESET = """
WITH suspected AS (
    SELECT host, refusals, cool_until, error_code FROM hosts
     WHERE (%(host)s::text IS NULL OR right('.' || host, length(%(host)s) + 1) = '.' || %(host)s)
       AND (refusals > 0 OR cool_until > now())
     ORDER BY host FOR UPDATE)
UPDATE hosts h SET refusals = 0, cool_until = NULL, error_code = NULL, error_message = NULL
  FROM suspected s WHERE h.host = s.host
RETURNING s.host, s.refusals, s.cool_until, coalesce(s.cool_until > now(), false) AS cooled, s.error_code
"""


_KNOWN = """
SELECT FROM (SELECT host FROM hosts UNION ALL SELECT source_host FROM ingest_jobs WHERE source_host <> '') AS known
 WHERE right('.' || host, length(%(host)s) + 1) = '.' || %(host)s LIMIT 1
"""


def reset(connection: Connection, host: str | None) -> list[Row]:
    """Ends cool-down and suspicion of a host and those below it, or of all (None), and lets the refused jobs go now.

    Returns what the hosts that this changed were before: `host`, `refusals`, `cool_until`, whether it `cooled` still,
    `error_code`. Raises IngestError `host_without_jobs` if no job ever had that host.
    """
    if host is not None and not _is_known(connection, host):
        raise host_without_jobs(host)
    values = {"host": host, "codes": list(REFUSAL_CODES)}
    connection.execute(_LET_GO, values)
    return sorted(connection.execute(_RESET, values).fetchall(), key=lambda row: str(row["host"]))


def _is_known(connection: Connection, host: str) -> bool:
    return connection.execute(_KNOWN, {"host": host}).fetchone() is not None


def host_without_jobs(host: str) -> IngestError:
    """The answer to a name that no job has."""
    return failure("host_without_jobs", f"No job has the host {host}: `narralytica-ingest hosts` lists what there is.")
