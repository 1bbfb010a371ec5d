"""Everything that writes to the job table, at once and in any order, on a real Postgres.

What must hold whatever happens: no transaction runs into a deadlock, no rule of the tables is broken, and when the
storm is over every job that is left comes to its end.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import ForeignKeyViolation

from narralytica_ingest.config import HostRule
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.store import (
    aliases,
    breaker,
    dispatch,
    jobs,
    leases,
    metadata_rows,
    outcomes,
    pauses,
    playlists,
    upkeep,
)
from narralytica_ingest.store.database import Connection, Database
from narralytica_ingest.store.dispatch import Dispatched, VideoKey
from narralytica_ingest.store.hosts import HostRules
from narralytica_ingest.store.leases import Dispatch, Lease, LeaseLost
from narralytica_ingest.store.outcomes import RetryPolicy
from narralytica_ingest.store.playlists import Child
from narralytica_ingest_tests.job_table import commit_all, metadata_row

THREADS = 8
SECONDS = float(os.environ.get("NARRALYTICA_TEST_STORM_SECONDS", "5"))
HOSTS = ("free", "one", "paced", "")
RULES = HostRules(HostRule(), (("one", HostRule(concurrency=1)), ("paced", HostRule(pause_seconds=0.02))))
# Quick enough that jobs go round many times in a storm.
POLICY = RetryPolicy(4, 0.01, 0.05, cooldown_seconds=0.05, cooldown_max_seconds=0.2)
CODES = ("timed_out", "not_found", "rate_limited", "bot_check", "captcha", "live", "no_room", "canceled")
OUTAGES = ("disk_full", "object_store_away")
# What a caller may meet in a storm; a deadlock, a broken constraint or anything else is a defect.
EXPECTED = {"job_has_ended", "job_not_ended", "no_such_job_or_video", "is_playlist", "nested_playlist", "canceled"}
EXPECTED |= {"gone"}  # the video has just joined another, or was a playlist


@dataclass
class Storm:
    """One thread's share: its own connection for each transaction, its own dice, the runs that it keeps alive."""

    database: Database
    seed: int
    until: float
    running: list[Lease] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.runs = count(1)

    def blow(self) -> Counter[str]:
        acts: Sequence[tuple[Callable[[Connection], None], int]] = (
            (self.submit, 4), (self.tick, 6), (self.end, 8), (self.expand, 2), (self.learn, 2), (self.cancel, 2),
            (self.cancel_in_sql, 1), (self.retry, 3), (self.family, 2), (self.reset, 1), (self.upkeep, 1),
            (self.backfill, 2),
        )  # fmt: skip
        while time.monotonic() < self.until:
            (act,) = self.dice.choices([act for act, _ in acts], [weight for _, weight in acts])
            try:
                with self.database.transaction() as connection:
                    act(connection)
                self.said[act.__name__] += 1
            except (LeaseLost, ForeignKeyViolation):
                self.said["gone"] += 1
            except IngestError as error:
                self.said[error.code] += 1
        return self.said

    def submit(self, connection: Connection) -> None:
        host, number = self.dice.choice(HOSTS), self.dice.randrange(30)
        wishes: dict[str, Any] = {"force": self.dice.random() < 0.1, "priority": self.dice.choice([0, 0, 5])}
        job_id = jobs.insert(connection, jobs.JobRequest(source_url=f"http://{host or 'upload'}/{number}", **wishes))
        if self.dice.random() < 0.9:
            attach(connection, job_id, host, number, force=wishes["force"])

    def tick(self, connection: Connection) -> None:
        """What the dispatch sensor does, and the workers after it."""
        dispatch.cancel_requested(connection)
        dispatch.answer_ready(connection)
        connection.commit()
        for job in dispatch.unidentified(connection, 20):
            host, number = job.source_url.removeprefix("http://").split("/") if job.source_url else ("", "0")
            attach(connection, job.job_id, host.replace("upload", ""), int(number))
            connection.commit()
        lost = dispatch.emit_again(connection, 0.05)
        claimed = dispatch.claim(connection, 12, RULES, 3)
        connection.commit()
        for each in lost + claimed:
            self.begin(connection, each)
            connection.commit()

    def begin(self, connection: Connection, job: Dispatched) -> None:
        if self.dice.random() < 0.2:
            return  # its run dies on the way
        tags = Dispatch(job.job_id, job.attempt)
        force = leases.is_forced(connection, tags)
        if not force and dispatch.answer_dispatched(connection, job.job_id, job.attempt):
            return
        connection.commit()
        run_id = f"run-{self.seed}-{next(self.runs)}"
        lease = leases.take(connection, run_id, [job.video_id], 0.5, force=force).get(job.video_id)
        if lease is None:
            leases.wait_for_video(connection, tags)
        elif leases.bind(connection, tags, lease):
            self.running.append(lease)
        else:
            connection.rollback()

    def end(self, connection: Connection) -> None:
        if not self.running:
            return
        lease = self.running.pop(self.dice.randrange(len(self.running)))
        fate = self.dice.random()
        if fate < 0.1:
            return  # the worker is killed
        leases.renew(connection, {lease.video_id: lease}, lease.run_id, 0.5, {"stage": "fetch"})
        connection.commit()
        if fate < 0.5:
            commit_all(connection, lease)
            connection.commit()
            leases.release(connection, [lease])
        else:
            code = self.dice.choice(OUTAGES if self.dice.random() < 0.1 else CODES)
            soon = datetime.now(UTC) + timedelta(seconds=0.05) if code in ("live", "no_room", *OUTAGES) else None
            outcomes.end_run(connection, lease, failure(code, retry_at=soon), POLICY)

    def expand(self, connection: Connection) -> None:
        if self.running:
            lease = self.running.pop(0)
            numbers = self.dice.sample(range(30), 4)
            children = [Child(f"http://{host}/{n}", f"web-{host}-{n}") for n in numbers for host in ("free", "one")]
            try:
                playlists.expand(connection, lease, "A list", children, more=False)
            except IngestError as error:
                connection.rollback()
                outcomes.end_run(connection, lease, error, POLICY)
                connection.commit()
                raise

    def learn(self, connection: Connection) -> None:
        if self.running:
            lease = self.running.pop(0)
            alias = self.dice.choice([f"site-{self.dice.randrange(4)}", f"web-free-{self.dice.randrange(30)}"])
            if aliases.learn(connection, lease, alias) == lease.video_id:
                self.running.append(lease)

    def any_job(self, connection: Connection) -> UUID:
        row = connection.execute("SELECT job_id FROM ingest_jobs ORDER BY random() LIMIT 1").fetchone()
        return UUID(str(row["job_id"])) if row else UUID(int=0)

    def cancel(self, connection: Connection) -> None:
        jobs.cancel(connection, self.any_job(connection))

    def cancel_in_sql(self, connection: Connection) -> None:
        """As docs/job-table.md tells the API to do it."""
        connection.execute(
            "UPDATE ingest_jobs SET cancel_requested = true WHERE job_id = %(job)s OR parent_job_id = %(job)s",
            {"job": self.any_parent(connection)},
        )

    def retry(self, connection: Connection) -> None:
        jobs.retry(connection, self.any_job(connection), force=self.dice.random() < 0.3)

    def any_parent(self, connection: Connection) -> UUID:
        row = connection.execute("SELECT job_id FROM playlist_jobs ORDER BY random() LIMIT 1").fetchone()
        return UUID(str(row["job_id"])) if row else UUID(int=0)

    def family(self, connection: Connection) -> None:
        change = self.dice.choice([jobs.cancel_children, jobs.retry_children, jobs.retry_children])
        change(connection, self.any_parent(connection))

    def reset(self, connection: Connection) -> None:
        breaker.reset(connection, None)

    def upkeep(self, connection: Connection) -> None:
        lost = upkeep.silent_jobs(connection)
        for job in lost:
            outcomes.end_attempt(connection, job.job_id, job.attempt, failure("worker_lost"), POLICY)
        upkeep.clear_expired_leases(connection)

    def backfill(self, connection: Connection) -> None:
        """One run for the metadata of many videos, in whatever order the UI gives them, that beats while it commits."""
        rows = connection.execute("SELECT video_id FROM videos WHERE status = 'ready' ORDER BY random() LIMIT 20")
        run_id = f"range-{self.seed}-{next(self.runs)}"
        held = leases.take(connection, run_id, [row["video_id"] for row in rows], 0.5)
        connection.commit()
        with ThreadPoolExecutor(1) as pool:
            beat = pool.submit(self.beat, held, run_id)
            metadata_rows.commit_metadata(connection, held, [metadata_row(lease) for lease in held.values()])
            connection.commit()
            beat.result()
        leases.release(connection, list(held.values()))

    def beat(self, held: dict[str, Lease], run_id: str) -> None:
        for _ in range(3):
            with self.database.transaction() as connection:
                leases.renew(connection, held, run_id, 0.5, None)


def attach(connection: Connection, job_id: UUID, host: str, number: object, *, force: bool = False) -> None:
    name = f"{host or 'upload'}-{number}"
    key = VideoKey(f"web-{name}", "web", name, f"http://{host or 'upload'}/{number}", None, None, host)
    dispatch.attach(connection, job_id, key, hints={"title": str(number)}, force=force)


def test_a_storm_of_everything_at_once_breaks_nothing_and_loses_no_job(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FIRST_SECONDS", "LONGEST_SECONDS", "STAND_BACK_SECONDS", "TRY_SECONDS"):
        monkeypatch.setattr(pauses, name, 0.05)
    until = time.monotonic() + SECONDS
    storms = [Storm(database, seed, until) for seed in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        said = sum((task.result() for task in [pool.submit(storm.blow) for storm in storms]), Counter[str]())
    unexpected = {name for name in said if name not in EXPECTED and not hasattr(Storm, name)}
    assert not unexpected, said
    assert min(said["expand"], said["learn"], said["end"]) > 0, said
    calm(database)
    left = database.all("SELECT * FROM ingest_jobs WHERE finished_at IS NULL")
    assert left == [], left[0]


def calm(database: Database) -> None:
    """Looks at the table as the sensors do, with runs that all succeed, until nothing is left to do."""
    storm, deadline = Storm(database, THREADS, 0), time.monotonic() + 30
    storm.dice = random.Random(0)
    while time.monotonic() < deadline:
        with database.transaction() as connection:
            storm.upkeep(connection)
        with database.transaction() as connection:
            storm.tick(connection)
        for lease in storm.running:
            with database.transaction() as connection:
                commit_all(connection, lease)
                leases.release(connection, [lease])
        storm.running.clear()
        if not database.all("SELECT FROM ingest_jobs WHERE finished_at IS NULL LIMIT 1"):
            return
        time.sleep(0.02)
