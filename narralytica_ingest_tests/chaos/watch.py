"""What became of the jobs: their histories, how soon they recovered from a fault, and what they were charged.

The table of jobs holds the present alone, so it is looked at twice a second while the chaos goes on.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

import psutil

from narralytica_ingest.failures import IngestError
from narralytica_ingest.store.database import Row
from narralytica_ingest_tests.chaos.world import World

LOOK_SECONDS = 0.5
# A sign of life counts from so long after a fault: what the dead run wrote in its last moment is none.
_SIGN_OF_LIFE = 1.5
_REMEMBERED_SECONDS = 150.0  # a failure that is charged later than this after a fault has another cause
_LOOK = """
SELECT job_id, video_id, status, attempt, failures, error_code, error_message, progress ->> 'stage' AS stage,
       extract(epoch FROM heartbeat_at)::float AS heartbeat, extract(epoch FROM not_before)::float AS not_before
  FROM ingest_jobs ORDER BY created_at
"""

# Every row says by which lease it was written last. (A row that was deleted and made anew is another one.)
_WRITTEN = """
SELECT 'media file ' || media_file_id AS row, video_id, lease_epoch FROM media_files
 UNION ALL SELECT 'metadata of ' || created_at, video_id, lease_epoch FROM video_metadata
"""
# What a run costs its job that died with its process.
DEATH = frozenset({"worker_lost", "run_ended_early"})
_PIDS = """
SELECT substring(e.event FROM 'Started process for run \\(pid: ([0-9]+)\\)') AS pid
  FROM dagster.event_logs e JOIN dagster.run_tags t USING (run_id)
 WHERE t.key = 'dagster/run_key' AND t.value = ANY(%s) AND e.event LIKE '%%Started process for run (pid:%%'
"""


@dataclass(frozen=True)
class Hit:
    """A fault that hit a job: when (epoch seconds), which, and the codes that it may be charged with."""

    at: float
    fault: str
    charges: frozenset[str]


@dataclass(frozen=True)
class Seen:
    """A job as it was seen at a time."""

    at: float
    status: str
    attempt: int
    failures: int
    stage: str | None
    error_code: str | None


@dataclass(frozen=True)
class Recovery:
    """How long (seconds) a job needed after a fault until it ran again, or had ended."""

    seconds: float
    job_id: UUID
    fault: str


class Watch:
    """Looks at the jobs whenever `look` is called, at most twice a second."""

    def __init__(self, world: World) -> None:
        self.histories: dict[UUID, list[Seen]] = defaultdict(list)
        self.hits: dict[UUID, list[Hit]] = defaultdict(list)
        self.recoveries: list[Recovery] = []
        self.made: list[str] = []  # the faults, as they came
        self.unready: list[str] = []
        self.left: list[str] = []
        self.begun = time.time()
        self._world = world
        self._charges: list[tuple[UUID, Seen]] = []
        self._ended: set[int] = set()
        self.overwritten: list[str] = []
        self._written: dict[tuple[str, str], int] = {}
        self._waiting: dict[UUID, Hit] = {}
        self._served: set[str] = set()
        self._next = 0.0

    def hit(self, job_ids: Collection[UUID], fault: str, charges: frozenset[str], *, measured: bool = True) -> None:
        """The jobs were hit just now. One that had not recovered from an earlier fault is measured from that one."""
        hit = Hit(time.time(), fault, charges)
        self.made.append(f"{hit.at - self.begun:7.1f} s  {fault}: {', '.join(map(str, job_ids))}")
        for job_id in job_ids:
            self.hits[job_id].append(hit)
            if measured:
                self._waiting.setdefault(job_id, hit)

    def ends(self, processes: Iterable[psutil.Process]) -> None:
        """These processes are killed, or stand still for so long that they count as dead. Runs are among them."""
        self._ended.update(process.pid for process in processes)

    def stays_ready(self, video_id: str, *, stays: bool = True) -> None:
        """From now on the video is to be served without a break; or no longer."""
        (self._served.add if stays else self._served.discard)(video_id)

    def look(self) -> None:
        """Notes what changed. Sees nothing while the database is away."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_SECONDS
        try:
            rows = self._world.running.database.all(_LOOK)
            served = self._world.running.database.all(
                "SELECT video_id, status FROM videos WHERE video_id = ANY(%s) AND status <> 'ready'",
                (list(self._served),),
            )
            written = self._world.running.database.all(_WRITTEN)
        except IngestError:
            return
        for row in served:
            self.unready.append(f"video {row['video_id']} was {row['status']} while its next generation was made")
            self._served.discard(row["video_id"])
        self._note_writers(written)
        for row in rows:
            job_id, heartbeat = row["job_id"], row["heartbeat"] or 0.0
            names = ("status", "attempt", "failures", "stage", "error_code")
            seen = Seen(time.time(), **{name: row[name] for name in names})
            self._note(job_id, seen)
            self._note_recovery(job_id, seen, heartbeat)

    def recovering(self) -> int:
        """How many jobs were hit and do not run again."""
        return len(self._waiting)

    def longest_wait(self) -> float:
        """For how long (seconds) the first of these has been waiting."""
        return max((time.time() - hit.at for hit in self._waiting.values()), default=0.0)

    def history(self, job_id: UUID) -> str:
        """The job's life in one line for each change, its faults among them. Times are seconds since the beginning."""
        lines = [(seen.at, _words(seen)) for seen in self.histories[job_id]]
        lines += [(hit.at, f"<-- {hit.fault}") for hit in self.hits[job_id]]
        return "\n".join(f"    {at - self.begun:7.1f} s  {said}" for at, said in sorted(lines))

    def _note(self, job_id: UUID, seen: Seen) -> None:
        known = self.histories[job_id]
        if known and _words(known[-1]) == _words(seen):
            return
        if seen.failures > (known[-1].failures if known else 0):
            self._charges.append((job_id, seen))
        known.append(seen)

    def wrong_charges(self) -> Iterator[tuple[UUID, str]]:
        """Failures that were charged, and come from no fault for which the job, and not our own parts, answers."""
        for job_id, seen in self._charges:
            hits = [hit for hit in self.hits[job_id] if 0 <= seen.at - hit.at < _REMEMBERED_SECONDS]
            if any(seen.error_code in hit.charges for hit in hits) or self._died(job_id, seen):
                continue
            after = f"after {hits[-1].fault}" if hits else "without a fault"
            yield job_id, f"job {job_id} was charged {seen.error_code} at {seen.at - self.begun:.0f} s, {after}"

    def _died(self, job_id: UUID, seen: Seen) -> bool:
        """Whether the process of this attempt, or of the one before (it may be dispatched again already), was ended."""
        keys = [f"{job_id}:{attempt}" for attempt in (seen.attempt, seen.attempt - 1)]
        found = self._world.sql(_PIDS, (keys,))
        return seen.error_code in DEATH and any(int(row["pid"]) in self._ended for row in found)

    def _note_writers(self, rows: Iterable[Row]) -> None:
        """What a later lease has written is never written again by an earlier one."""
        for row in rows:
            name, epoch = (row["video_id"], row["row"]), row["lease_epoch"]
            if epoch < (before := self._written.get(name, epoch)):
                self.overwritten.append(
                    f"{row['row']} of video {name[0]}: by lease {before}, and then by lease {epoch}"
                )
            self._written[name] = epoch

    def _note_recovery(self, job_id: UUID, seen: Seen, heartbeat: float) -> None:
        hit = self._waiting.get(job_id)
        if hit is None:
            return
        ended = seen.status in ("succeeded", "failed", "canceled") and seen.at > hit.at
        if ended or (seen.status == "running" and heartbeat > hit.at + _SIGN_OF_LIFE):
            del self._waiting[job_id]
            self.recoveries.append(Recovery(time.time() - hit.at, job_id, hit.fault))


def _words(seen: Seen) -> str:
    """What is shown of it; what does not change here is not noted again."""
    stage = f" {seen.stage}" if seen.stage and seen.status == "running" else ""
    code = f" {seen.error_code}" if seen.error_code else ""
    return f"attempt {seen.attempt}, failures {seen.failures}: {seen.status}{stage}{code}"
