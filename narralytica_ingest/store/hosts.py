"""Source hosts: how much each may be asked.

What belongs here: the rules by domain, what is known of a host, and the room that follows from it for more jobs. What a
host's refusals lead to is in `breaker.py`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from narralytica_ingest.config import HostRule, Settings
from narralytica_ingest.store.database import Connection, Row

# Room for more jobs than any window has.
UNLIMITED = 1_000_000_000
# As a rule's domain: every host that no other rule names.
ALL_OTHERS = "*"


# ---- rules ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HostRules:
    """Which rule holds for a host: that of its domain (the longest that matches), or the default for all others."""

    default: HostRule
    by_domain: tuple[tuple[str, HostRule], ...] = ()

    def of(self, host: str) -> HostRule:
        """The rule in force for this host. A domain's rule holds for the domain itself and its subdomains."""
        matching = [each for each in self.by_domain if each[0] == ALL_OTHERS or f".{host}".endswith(f".{each[0]}")]
        return max(matching, key=lambda each: len(each[0]))[1] if matching else self.default


NO_RULES = HostRules(HostRule())


def host_rules(settings: Settings) -> HostRules:
    """The rules as the settings have them. A domain may be written `YouTube.com`, `.youtube.com` or `*.youtube.com`."""
    default = HostRule(concurrency=settings.host_concurrency, pause_seconds=settings.host_pause_seconds)
    named = ((as_host(domain.removeprefix("*")) or ALL_OTHERS, rule) for domain, rule in settings.host_rules.items())
    return HostRules(default, tuple(named))


def as_host(name: str) -> str:
    """The name as `source_host` has it: in lower case, without outer dots, `bücher.de` as `xn--bcher-kva.de`."""
    try:
        return name.strip(". ").encode("idna").decode().lower()
    except UnicodeError:  # no name of a host, but perhaps an IPv6 address
        return name.strip(". ").lower()


# ---- what is known of a host, and what follows ----------------------------------------------------------------------


class HostState(StrEnum):
    """The breaker's state."""

    OPEN = "open"
    COOLING = "cooling"  # none of its jobs is claimed
    TRYING_ONE = "trying_one"  # one job at a time, until one succeeds


class Wait(StrEnum):
    """Why a job that could go does not."""

    COOLING = "cooling"
    TRYING_ONE = "trying_one"
    CONCURRENCY = "concurrency"
    PAUSE = "pause"


@dataclass(frozen=True)
class Host:
    """A host now: its jobs by status, and what the breaker knows. `host` is empty for uploads, which know no limit.

    `cools` and `idle_seconds` (since a job of it was last started) are by the database's clock.
    """

    host: str
    queued: int = 0
    dispatched: int = 0
    running: int = 0
    refusals: int = 0
    cool_until: datetime | None = None
    cools: bool = False
    last_started_at: datetime | None = None
    idle_seconds: float | None = None
    error_code: str | None = None
    error_message: str | None = None

    @property
    def in_flight(self) -> int:
        """Jobs that are dispatched or running."""
        return self.dispatched + self.running

    @property
    def state(self) -> HostState:
        """Where the breaker stands."""
        if self.cools:
            return HostState.COOLING
        return HostState.TRYING_ONE if self.refusals else HostState.OPEN

    def room(self, rule: HostRule) -> tuple[int, Wait | None]:
        """How many more jobs of it may go now, and if none may, why."""
        limits = list(self._limits(rule)) if self.host else []
        room, why = min(limits, key=lambda limit: limit[0], default=(UNLIMITED, None))
        return (room, None) if room > 0 else (0, why)

    def _limits(self, rule: HostRule) -> Iterable[tuple[int, Wait]]:
        if self.cools:
            yield -1, Wait.COOLING
        elif self.refusals:
            yield 1 - self.in_flight, Wait.TRYING_ONE
        if rule.concurrency is not None:
            yield rule.concurrency - self.in_flight, Wait.CONCURRENCY
        if rule.pause_seconds:
            # One that still waits for a worker has not started yet: the next follows a pause after it has.
            # (Below 0: the database's clock was set back.)
            rested = self.idle_seconds is None or not 0 <= self.idle_seconds < rule.pause_seconds
            yield (1 - self.dispatched if rested else 0), Wait.PAUSE


# Two selects, so that each goes by an index of its own and neither by the jobs that have ended.
_HOSTS = """
WITH unfinished AS (
    SELECT coalesce(source_host, '') AS host, status FROM ingest_jobs WHERE status = 'queued' AND video_id IS NOT NULL
    UNION ALL
    SELECT coalesce(source_host, '') AS host, status FROM ingest_jobs WHERE status IN ('dispatched', 'running')),
counted AS (
    SELECT host, count(*) FILTER (WHERE status = 'queued') AS queued,
           count(*) FILTER (WHERE status = 'dispatched') AS dispatched,
           count(*) FILTER (WHERE status = 'running') AS running
      FROM unfinished GROUP BY host)
SELECT host, coalesce(queued, 0) AS queued, coalesce(dispatched, 0) AS dispatched, coalesce(running, 0) AS running,
       coalesce(refusals, 0) AS refusals, cool_until, coalesce(cool_until > now(), false) AS cools, last_started_at,
       extract(epoch FROM now() - last_started_at)::float AS idle_seconds, error_code, error_message
  FROM counted FULL JOIN hosts USING (host)
 WHERE %(hosts)s::text[] IS NULL OR host = ANY(%(hosts)s)
 ORDER BY host
"""


def look(connection: Connection, hosts: Collection[str] | None = None) -> list[Host]:
    """All hosts (or these) that have unfinished jobs or a row of their own, by name."""
    rows = connection.execute(_HOSTS, {"hosts": None if hosts is None else list(hosts)}).fetchall()
    return [Host(**row) for row in rows]


def waits(connection: Connection, rules: HostRules, jobs: Sequence[Row]) -> list[Row]:
    """The job rows with one more column, `host_wait`: what the host of a queued job keeps it waiting for, or None.

    It holds `host`, `why` (a `Wait`), `until` (None where no time is known), `limit` (jobs at once) and `error_code`.
    """
    names = {job["source_host"] for job in jobs if job["status"] == "queued" and job["source_host"]}
    found = {host.host: host for host in look(connection, names)} if names else {}
    return [job | {"host_wait": _wait(job, found.get(job["source_host"]), rules)} for job in jobs]


def _wait(job: Row, host: Host | None, rules: HostRules) -> Row | None:
    if job["status"] != "queued" or host is None:
        return None
    rule = rules.of(host.host)
    _, why = host.room(rule)
    if why is None:
        return None
    until = host.cool_until if why is Wait.COOLING else None
    if why is Wait.PAUSE and host.last_started_at is not None:
        until = host.last_started_at + timedelta(seconds=rule.pause_seconds)
    return {
        "host": host.host,
        "why": why.value,
        "until": until,
        "limit": rule.concurrency,
        "error_code": host.error_code,
    }


_STARTED = """
INSERT INTO hosts (host, last_started_at) SELECT host, now() FROM unnest(%s::text[]) AS paced (host) ORDER BY host
ON CONFLICT (host) DO UPDATE SET last_started_at = excluded.last_started_at
"""


def started(connection: Connection, rules: HostRules, hosts: Collection[str]) -> None:
    """Dates a start at those of the hosts that are to have a pause between two starts."""
    paced = [host for host in hosts if host and rules.of(host).pause_seconds]
    if paced:
        connection.execute(_STARTED, (paced,))
