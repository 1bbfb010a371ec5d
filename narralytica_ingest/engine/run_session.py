"""One run at work: its leases, its heartbeat, its scratch folder, and how it ends.

Whatever starts a run (a job, the UI, a backfill, a re-execution), it goes through here before it touches anything.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from narralytica_ingest.config import Settings
from narralytica_ingest.engine.classify import classify, early_end
from narralytica_ingest.engine.heartbeat import Heartbeat
from narralytica_ingest.engine.interrupts import uninterrupted
from narralytica_ingest.engine.partials import waited_for
from narralytica_ingest.engine.run_failures import as_dagster_failure, busy, interrupted, taken_for_dead, unknown_video
from narralytica_ingest.engine.run_files import RunFiles
from narralytica_ingest.engine.taking import take_by_hand, take_for_job
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.store import leases, outcomes, pauses
from narralytica_ingest.store.database import Connection, Database, Row
from narralytica_ingest.store.leases import Dispatch, Lease, LeaseLost, NothingToDo

if TYPE_CHECKING:
    from narralytica_ingest.media.tools import MediaTools

T = TypeVar("T")

MANY_VIDEOS = 50


@dataclass(frozen=True)
class RunInfo:
    """What the session must know of its run. `canceling` asks the engine whether somebody terminated the run;
    `report_canceling` tells it that the job's cancel ends the run, so that it ends as canceled and not as failed.
    `given_up` asks it whether somebody took the run for dead, as upkeep may where a run begins very late."""

    run_id: str
    video_id: str | None  # None for a range of partitions
    dispatch: Dispatch | None
    is_copy: bool  # a re-execution: its tags are another run's
    canceling: Callable[[], bool]
    report_canceling: Callable[[], None]
    given_up: Callable[[], bool] = lambda: False


@dataclass
class RunSession:
    """The leases of one run and everything that lives as long as they do. Use as a context manager."""

    settings: Settings
    database: Database
    run: RunInfo
    log: logging.Logger
    _leases: dict[str, Lease] = field(default_factory=dict)
    _progress: dict[str, Any] | None = None
    _answered: bool = False
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        # Lines go to the worker's log and to the UI; both should say what they are about.
        job = self.run.dispatch
        about = f"job {job.job_id} attempt {job.attempt}" if job and not self.run.is_copy else f"run {self.run.run_id}"
        self._log = _Prefixed(self.log, {"about": f"{about} video {self.run.video_id or 'several'}"})
        self._files = RunFiles(self.settings, self.run.run_id, self._log)
        self._heart = Heartbeat(self._beat, self._pause, self._log)

    # ---- what assets and IO managers use ------------------------------------------------------------------------

    @property
    def scratch(self) -> Path:
        """The run's own folder for files on their way; gone when the run ends."""
        return self._files.scratch

    @property
    def media_tools(self) -> "MediaTools":
        """ffmpeg and ffprobe, as the settings want them. Raises IngestError `tool_not_found` (local)."""
        from narralytica_ingest.media.tools import find_tools  # a sensor's tick does not need them

        wanted = self.settings
        programs = wanted.ffmpeg, wanted.ffprobe
        return find_tools(*programs, wanted.media_timeout_seconds, wanted.sandbox, wanted.max_duration_seconds)

    def take(self, video_ids: Collection[str]) -> dict[str, Lease]:
        """The leases on these videos, taken at the first call. Videos at work elsewhere are missing from the answer.

        Returns nothing at all if the run's job moved on, was canceled, was answered, or must wait. A run that somebody
        started by hand for one video gets an IngestError instead: `unknown_video` or `video_busy`.
        """
        wanted = [video_id for video_id in video_ids if video_id not in self._leases]
        if wanted and not self._answered:
            try:
                with uninterrupted():  # or a lease would be taken that nobody knows of
                    self._leases |= self._take(wanted)
            except NothingToDo as nothing:
                self._answered = True
                self._log.info("%s", nothing)
                return {}
            self._heart.start()
        return {video_id: self._leases[video_id] for video_id in video_ids if video_id in self._leases}

    def lease(self, video_id: str) -> Lease:
        """The lease that this run holds. Raises LeaseLost if it does not hold it (any more)."""
        if video_id not in self._leases:
            raise LeaseLost([video_id])
        return self._leases[video_id]

    def video(self, video_id: str) -> Row:
        """The row of the video in `videos`."""
        rows = self.videos([video_id])
        if not rows:
            raise unknown_video(video_id)
        return rows[video_id]

    def videos(self, video_ids: Collection[str]) -> dict[str, Row]:
        """The rows of these videos, by id; unknown ones are missing."""
        found = self.commit(
            lambda connection: connection.execute(
                "SELECT * FROM videos WHERE video_id = ANY(%s)", (list(video_ids),)
            ).fetchall()
        )
        return {row["video_id"]: row for row in found}

    def commit(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns in a transaction of its own, tried again while Postgres is away or others are in the way,
        for as long as a lease lasts.

        `work` may be run again after it was committed, when the answer got lost: it must then change nothing more, as
        every upsert that begins with the lease's fence does. Raises IngestError, `database_away` and LeaseLost too.
        """
        return self.database.patiently(work, self.settings.lease_seconds)

    def partial_folder(self, video_id: str) -> Path:
        """Where the video's unfinished download is kept, so that a later attempt on this machine may go on with it.

        Held by this run until it ends. If another process still writes there, it is an empty folder in `scratch`.
        """
        return self._files.partial_folder(video_id)

    def reserve_disk(self, size_bytes: int) -> None:
        """Makes sure that so many bytes of downloads fit on the disk, counting what other runs have still to write.

        Raises IngestError `disk_full` or `no_room` (local).
        """
        self._files.reserve(size_bytes)
        self.commit(lambda connection: pauses.succeeded(connection, [pauses.Resource.DISK]))

    def progress(
        self, stage: str, done: int, total: int | None = None, rate: float | None = None, eta: float | None = None
    ) -> None:
        """What the run is doing now (bytes, bytes per second, seconds to go); the next heartbeat writes it.

        Cheap: call it often.
        """
        rounded = {name: None if value is None else round(value) for name, value in (("rate", rate), ("eta", eta))}
        self._progress = {"stage": stage, "bytes": done, "total": total, **rounded}

    def forget(self, video_id: str) -> None:
        """The video joined another one: this run has no more business with it."""
        self._leases.pop(video_id, None)
        self._answered = True

    def defer(self, reason: IngestError) -> bool:
        """Puts the run's job off until its video's time has come. The run has nothing more to do, and has not failed.

        False where no job brought the run: then somebody waits for its result.
        """
        if self.run.dispatch is None or self.run.is_copy:
            return False
        self._answered = True
        self._end(reason)
        return True

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A piece of work. A failure in it is classified, ends the run's leases with its verdict, and is raised on as
        Dagster's Failure; an interrupt is raised on as it is."""
        started = time.monotonic()
        self.progress(name, 0)
        try:
            yield
        except Exception as error:
            failed = self._heart.reason or classify(error)
            if not isinstance(error, IngestError):
                self._log.exception("stage %s failed", name)
            self._end(failed)
            raise as_dagster_failure(failed) from error
        except BaseException:
            self._end(self._heart.reason or interrupted())
            raise
        done = (self._progress or {}).get("bytes", 0)
        self._log.info("stage %s took %.1f s, %s bytes", name, time.monotonic() - started, f"{done:,}")

    # ---- life ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> "RunSession":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Gives back whatever is still held, however the run ended, and removes the files that nobody needs now."""
        stopped = error is not None and not isinstance(error, Exception)
        if self._heart.reason is not None or stopped:
            self._end(self._heart.reason or interrupted())
        else:
            self._end(early_end(self._began))
        # Unfinished downloads stay only for a job that goes on with them.
        with uninterrupted():
            self._files.close(partial(waited_for, self.database))

    def _take(self, video_ids: list[str]) -> dict[str, Lease]:
        seconds = self.settings.lease_seconds
        if self.run.dispatch is not None and not self.run.is_copy:
            return take_for_job(self.database, self.run.run_id, video_ids, seconds, self.run.dispatch)
        taken = take_by_hand(self.database, self.run.run_id, video_ids, seconds)
        if not taken and len(video_ids) == 1:
            self.video(video_ids[0])
            raise busy(video_ids[0])
        return taken

    def _end(self, failed: IngestError) -> None:
        """Ends every lease that is still held with `failed` as the verdict on an unfinished job. Done once.

        Repeated, the verdict finds the lease given up already, and changes nothing.
        """
        with uninterrupted():
            self._heart.close()
            held, self._leases = self._leases, {}
            if failed.failure_class is FailureClass.RESTART:
                self._files.clear_partials()
            if not held:
                return
            try:
                for each in self.database.patiently(partial(self._judge, held, failed), self._patience(failed)):
                    self._say_verdict(failed, each)
            except Exception:
                self._log.exception("the verdict (%s) could not be written; upkeep will see to the job", failed)

    def _judge(self, held: dict[str, Lease], failed: IngestError, connection: Connection) -> list[outcomes.Verdict]:
        if len(held) > 1 or isinstance(failed, LeaseLost):  # no verdict on a single one of them
            leases.release(connection, list(held.values()))
            return []
        policy = outcomes.retry_policy(self.settings)
        verdicts = [outcomes.end_run(connection, lease, failed, policy) for lease in held.values()]
        return [verdict for verdict in verdicts if verdict is not None]

    def _patience(self, failed: IngestError) -> float:
        """For how long (seconds) the verdict is worth waiting for Postgres. Who stops the worker does not wait long."""
        return self.settings.shutdown_seconds / 2 if failed.code == "interrupted" else self.settings.lease_seconds

    def _say_verdict(self, failed: IngestError, verdict: outcomes.Verdict) -> None:
        then = f", next try {verdict.not_before:%H:%M:%S} UTC" if verdict.not_before else ""
        self._log.warning("%s; the job is %s, failures %d%s", failed, verdict.status, verdict.failures, then)

    # ---- the heartbeat -------------------------------------------------------------------------------------------

    def _pause(self) -> float:
        """Seconds to the next beat. A range of thousands of videos beats as seldom as its leases allow."""
        quick = self.settings.heartbeat_seconds
        return quick if len(self._leases) <= MANY_VIDEOS else max(quick, self.settings.lease_seconds / 3)

    def _beat(self) -> IngestError | None:
        """A cancel is decided here, in the transaction that sees it: it gives the lease up, so that a commit comes
        either before it, and the job has succeeded, or not at all."""
        mine = dict(self._leases)
        with self.database.transaction() as connection:
            renewal = leases.renew(connection, mine, self.run.run_id, self.settings.lease_seconds, self._progress)
            if renewal.cancel_requested:
                self._judge(mine, outcomes.canceled(), connection)
        if lost := renewal.lost & self._leases.keys():  # not what joined another video meanwhile
            return LeaseLost(lost)
        if renewal.cancel_requested:
            self._leases.clear()
            self.run.report_canceling()
            return outcomes.canceled()
        if self.run.canceling():
            return outcomes.canceled()
        return taken_for_dead() if self.run.given_up() else None


class _Prefixed(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: str, kwargs: MutableMapping[str, Any]) -> tuple[str, MutableMapping[str, Any]]:
        about = (self.extra or {}).get("about")
        return f"{about}: {msg}", kwargs
