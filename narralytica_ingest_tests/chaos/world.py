"""The world of a chaos run: the stack with its sources, its slow line to the object store, and its small disk.

What belongs here: starting and ending all of it, and looking at it: what is at work now, and in which process.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psutil
import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import load_embedded
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.local.identity import Identity
from narralytica_ingest.local.services import Services
from narralytica_ingest.media.tools import find_tools
from narralytica_ingest.store.database import Row
from narralytica_ingest_tests.chaos.disk import Disk, small_disk
from narralytica_ingest_tests.chaos.slow_store import SlowLine
from narralytica_ingest_tests.chaos.videos import Library, Video, the_web
from narralytica_ingest_tests.e2e.running import Running, running_stack

LEASE_SECONDS = 6.0
# Times are shortened so that a recovery takes seconds; what is promised at defaults is measured against in proportion.
TEMPO: dict[str, Any] = {
    "lease_seconds": LEASE_SECONDS,
    "heartbeat_seconds": 0.5,
    "redispatch_seconds": 30.0,
    "retry_base_seconds": 0.5,
    "retry_max_seconds": 4.0,
    "host_cooldown_seconds": 1.0,
    "host_cooldown_max_seconds": 3.0,
    "socket_timeout_seconds": 5.0,
    "sweep_grace_seconds": 5.0,
    "keep_free_bytes": 8 << 20,
    "max_attempts": 100,  # a job may be hit again and again; what is charged is checked one by one instead
}
STORE_RATE = 1_000_000.0  # bytes per second of each connection to the object store
READ_RATE = 3.0  # sound is extracted at so many times real time: a clip of 12 s for 4 s
_AWAY_SECONDS = 60.0


@dataclass(frozen=True)
class Active:
    """A run in the middle of a stage, seen just now: its job beats, Dagster calls it started, its process lives."""

    job_id: UUID
    attempt: int
    video_id: str
    run_id: str
    stage: str
    pid: int
    video: Video

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.pid)


_ACTIVE = """
SELECT j.job_id, j.attempt, j.video_id, j.run_id, j.source_url, j.upload_ref, j.progress ->> 'stage' AS stage,
       (SELECT event FROM dagster.event_logs e
         WHERE e.run_id = j.run_id AND e.event LIKE '%%Started process for run%%' LIMIT 1) AS event
  FROM ingest_jobs j JOIN videos v ON v.video_id = j.video_id AND v.lease_run_id = j.run_id
  JOIN dagster.runs r ON r.run_id = j.run_id AND r.status = 'STARTED'
 WHERE j.status = 'running'
   AND (%(stages)s::text[] IS NULL OR j.progress ->> 'stage' = ANY(%(stages)s) AND NOT j.cancel_requested
        AND j.heartbeat_at > now() - interval '1.2 seconds' AND (j.progress ->> 'bytes')::bigint > 0
        AND (j.progress ->> 'bytes')::bigint < 0.8 * (j.progress ->> 'total')::bigint)
"""


class World:
    """What faults are made in."""

    def __init__(self, running: Running, library: Library, line: SlowLine, disk: Disk) -> None:
        self.running, self.library, self.line, self.disk = running, library, line, disk
        self.home = running.settings.home

    # ---- what is at work -----------------------------------------------------------------------------------------

    def active(self, stage: str | None) -> list[Active]:
        """The runs that are in the middle of the stage, or of any work (None); none while the database is away."""
        try:
            rows = self.running.database.all(_ACTIVE, {"stages": None if stage is None else [stage]})
        except IngestError:
            return []
        return [found for row in rows if (found := self._active(row)) is not None]

    def _active(self, row: Row) -> Active | None:
        event = re.search(r"Started process for run \(pid: (\d+)\)", row.pop("event") or "")
        video = self.library.of_url(row.pop("upload_ref") or row["source_url"])
        del row["source_url"]
        if event is None or video is None or not psutil.pid_exists(int(event[1])):
            return None
        return Active(**row, pid=int(event[1]), video=video)

    def process(self, name: str) -> psutil.Process | None:
        """A process of the stack (`worker`, `daemon`, …) or one of its services (`postgres`, `s3`), if it runs."""
        folder = self.home / "run"
        path = folder / f"{name}.json" if name in ("postgres", "s3") else folder / "processes" / f"{name}.json"
        known = Identity.load(path)
        return known.process() if known is not None else None

    def worker_of(self, active: Active) -> str | None:
        """Which of the two workers the run is in."""
        parent = active.process.ppid()
        workers = {name: self.process(name) for name in ("worker", "spare-worker")}
        return next((name for name, process in workers.items() if process and process.pid == parent), None)

    # ---- the tables ----------------------------------------------------------------------------------------------

    def sql(self, query: str, params: Sequence[Any] | Row = ()) -> list[Row]:
        """The rows of one statement; waits for a database that is away."""
        deadline = time.monotonic() + _AWAY_SECONDS
        while True:
            try:
                return self.running.database.all(query, params)
            except IngestError as error:
                if error.failure_class is not FailureClass.LOCAL or time.monotonic() > deadline:
                    raise
                time.sleep(0.3)

    def submit(self, video: Video, spelling: int = 0) -> UUID:
        """Inserts a job for the video, as the API does."""
        rows = self.sql(
            f"INSERT INTO ingest_jobs ({video.column}) VALUES (%s) RETURNING job_id",
            (video.spellings[spelling % len(video.spellings)],),
        )
        return UUID(str(rows[0]["job_id"]))

    def unfinished(self) -> int:
        """How many jobs have not ended."""
        return int(self.sql("SELECT count(*) AS n FROM ingest_jobs WHERE finished_at IS NULL")[0]["n"])

    def in_work(self) -> int:
        """How many videos jobs wait for."""
        rows = self.sql(
            "SELECT count(DISTINCT coalesce(video_id, job_id::text)) AS n FROM ingest_jobs WHERE finished_at IS NULL"
        )
        return int(rows[0]["n"])


@contextmanager
def make_world(home: Path, seed: int, workers: int) -> Iterator[World]:
    """Starts everything in `home`, which must be new, and ends it."""
    with ExitStack() as stack:
        web = stack.enter_context(the_web(home.with_name(f"{home.name}-web")))
        home.mkdir(mode=0o700, parents=True)
        disk = stack.enter_context(small_disk(home))
        settings: dict[str, Any] = {**TEMPO, "workers": workers, "s3_endpoint_url": None}
        settings["ffmpeg"] = _slow_ffmpeg(home / "tools")
        s3 = Services(Settings(home=home, **settings)).prepare().s3
        line = stack.enter_context(SlowLine(lambda: _address(load_embedded(home, "s3")["url"]), STORE_RATE))
        # The processes that are started go by the slow line; the stack itself looks after the server as ever.
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("NARRALYTICA_S3_ENDPOINT_URL", f"http://127.0.0.1:{line.port}")
        patch.setenv("NARRALYTICA_S3_ACCESS_KEY_ID", s3.access_key_id or "")
        patch.setenv("NARRALYTICA_S3_SECRET_ACCESS_KEY", s3.secret_access_key or "")
        running = stack.enter_context(running_stack(home, **settings))
        library = Library(seed, web, running.s3, running.settings.s3_upload_bucket)
        yield World(running, library, line, disk)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)


def _slow_ffmpeg(folder: Path) -> Path:
    """The real ffmpeg, which takes its time over sound, as it does with a video of hours."""
    folder.mkdir()
    program, real = folder / "ffmpeg", find_tools().ffmpeg
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *"f=flac]"*) exec "{real}" -readrate {READ_RATE} "$@";; esac\nexec "{real}" "$@"\n'
    )
    program.chmod(0o700)
    return Path(os.path.abspath(program))
