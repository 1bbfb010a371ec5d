"""One run at work: its leases, its heartbeat, its scratch folder, and how it ends.

Whatever starts a run (a job, the UI, a backfill, a re-execution), it goes through here before it touches anything.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from narralytica_ingest.config import Settings
from narralytica_ingest.engine.classify import classify
from narralytica_ingest.engine.partials import waited_for
from narralytica_ingest.engine.run_failures import as_dagster_failure, busy, interrupted, unknown_video
from narralytica_ingest.engine.run_files import RunFiles
from narralytica_ingest.failures import FailureClass, IngestError, failure
from narralytica_ingest.store import dispatch as dispatching
from narralytica_ingest.store import leases, outcomes
from narralytica_ingest.store.database import Database, Row
from narralytica_ingest.store.leases import Dispatch, Lease, LeaseLost, NothingToDo

MANY_VIDEOS = 50


@dataclass(frozen=True)
class RunInfo:
    """What the session must know of its run. `canceling` asks the engine whether somebody terminated the run;
    `report_canceling` tells it that the job's cancel ends the run, so that it ends as canceled and not as failed."""

    run_id: str
    video_id: str | None  # None for a range of partitions
    dispatch: Dispatch | None
    is_copy: bool  # a re-execution: its tags are another run's
    canceling: Callable[[], bool]
    report_canceling: Callable[[], None]


@dataclass
class RunSession:
    """The leases of one run and everything that lives as long as they do. Use as a context manager."""

    settings: Settings
    database: Database
    run: RunInfo
    log: logging.Logger
    _leases: dict[str, Lease] = field(default_factory=dict)
    _stop_reason: IngestError | None = None
    _progress: dict[str, Any] | None = None
    _heart: threading.Thread | None = None
    _closing: threading.Event = field(default_factory=threading.Event)
    _answered: bool = False

    def __post_init__(self) -> None:
        # Lines go to the worker's log and to the UI; both should say what they are about.
        job = self.run.dispatch
        about = f"job {job.job_id} attempt {job.attempt}" if job and not self.run.is_copy else f"run {self.run.run_id}"
        self._log = _Prefixed(self.log, {"about": f"{about} video {self.run.video_id or 'several'}"})
        self._files = RunFiles(self.settings, self.run.run_id, self._log)

    # ---- what assets and IO managers use ------------------------------------------------------------------------

    @property
    def scratch(self) -> Path:
        """The run's own folder for files on their way; gone when the run ends."""
        return self._files.scratch

    def take(self, video_ids: Collection[str]) -> dict[str, Lease]:
        """The leases on these videos, taken at the first call. Videos at work elsewhere are missing from the answer.

        Returns nothing at all if the run's job moved on, was canceled, was answered, or must wait. A run that somebody
        started by hand for one video gets an IngestError instead: `unknown_video` or `video_busy`.
        """
        wanted = [video_id for video_id in video_ids if video_id not in self._leases]
        if wanted and not self._answered:
            try:
                self._leases |= self._take(wanted)
            except NothingToDo as nothing:
                self._answered = True
                self._log.info("%s", nothing)
                return {}
            self._start_heart()
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
        rows = self.database.all("SELECT * FROM videos WHERE video_id = ANY(%s)", (list(video_ids),))
        return {row["video_id"]: row for row in rows}

    def partial_folder(self, video_id: str) -> Path:
        """Where the video's unfinished download is kept, so that a later attempt on this machine may go on with it.

        Held by this run until it ends. If another process still writes there, it is an empty folder in `scratch`.
        """
        return self._files.partial_folder(video_id)

    def reserve_disk(self, size_bytes: int) -> None:
        """Makes sure that so many bytes of downloads fit on the disk, counting what other runs have still to write.

        Raises IngestError `disk_full` (local).
        """
        self._files.reserve(size_bytes)

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
            failed = self._stop_reason or classify(error)
            if not isinstance(error, IngestError):
                self._log.exception("stage %s failed", name)
            self._end(failed)
            raise as_dagster_failure(failed) from error
        except BaseException:
            self._end(self._stop_reason or interrupted())
            raise
        done = (self._progress or {}).get("bytes", 0)
        self._log.info("stage %s took %.1f s, %s bytes", name, time.monotonic() - started, f"{done:,}")

    # ---- life ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> "RunSession":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Gives back whatever is still held, however the run ended, and removes the files that nobody needs now."""
        stopped = error is not None and not isinstance(error, Exception)
        if self._stop_reason is not None or stopped:
            self._end(self._stop_reason or interrupted())
        else:
            self._end(failure("run_ended_early", "The run ended before the video was ready."))
        # Unfinished downloads stay only for a job that goes on with them.
        self._files.close(partial(waited_for, self.database))

    def _take(self, video_ids: list[str]) -> dict[str, Lease]:
        dispatch = None if self.run.is_copy else self.run.dispatch
        seconds = self.settings.lease_seconds
        if dispatch is None:
            with self.database.transaction() as connection:
                taken = leases.take(connection, self.run.run_id, video_ids, seconds)
            if not taken and len(video_ids) == 1:
                self.video(video_ids[0])
                raise busy(video_ids[0])
            return taken
        return self._take_for_job(dispatch, video_ids, seconds)

    def _take_for_job(self, dispatch: Dispatch, video_ids: list[str], seconds: float) -> dict[str, Lease]:
        with self.database.transaction() as connection:
            force = leases.is_forced(connection, dispatch)
            answered = not force and dispatching.answer_dispatched(connection, dispatch.job_id, dispatch.attempt)
        if answered:
            raise NothingToDo(f"{video_ids[0]} is ready: job {dispatch.job_id} is answered")
        with self.database.transaction() as connection:
            taken = leases.take(connection, self.run.run_id, video_ids, seconds, force=force)
            bound = [leases.bind(connection, dispatch, lease) for lease in taken.values()]
            if taken and not any(bound):
                connection.rollback()
                raise NothingToDo(f"job {dispatch.job_id} is no longer at attempt {dispatch.attempt}: nothing to do")
            if not taken:
                leases.wait_for_video(connection, dispatch)
        if not taken:
            raise NothingToDo(f"{video_ids[0]} is at work in another run: job {dispatch.job_id} waits for it")
        return taken

    def _end(self, failed: IngestError) -> None:
        """Ends every lease that is still held with `failure` as the verdict on an unfinished job. Done once."""
        self._closing.set()
        held, self._leases = self._leases, {}
        if failed.failure_class is FailureClass.RESTART:
            self._files.clear_partials()
        if self._heart is not None and self._heart is not threading.current_thread():
            self._heart.join(timeout=10)
        if not held:
            return
        policy = outcomes.retry_policy(self.settings)
        try:
            with self.database.transaction() as connection:
                if len(held) > 1 or isinstance(failed, LeaseLost):  # no verdict on a single one of them
                    leases.release(connection, list(held.values()))
                    return
                for lease in held.values():
                    self._say_verdict(failed, outcomes.end_run(connection, lease, failed, policy))
        except Exception:
            self._log.exception("the verdict (%s) could not be written; upkeep will see to the job", failed)

    def _say_verdict(self, failed: IngestError, verdict: outcomes.Verdict | None) -> None:
        if verdict is not None:
            then = f", next try {verdict.not_before:%H:%M:%S} UTC" if verdict.not_before else ""
            self._log.warning("%s; the job is %s, failures %d%s", failed, verdict.status, verdict.failures, then)

    # ---- the heartbeat -------------------------------------------------------------------------------------------

    def _start_heart(self) -> None:
        if self._heart is None:
            self._heart = threading.Thread(target=self._beat_until_closed, name="heartbeat", daemon=True)
            self._heart.start()

    def _beat_until_closed(self) -> None:
        parent, last_good = os.getppid(), time.monotonic()
        while not self._closing.wait(self._pause()):
            try:
                reason = self._beat()
                last_good = time.monotonic()
            except Exception as error:  # a database that is away for a moment must not end the run
                self._log.warning("heartbeat failed: %s", error)
                reason = None
                if time.monotonic() - last_good > self.settings.lease_seconds:
                    reason = LeaseLost(self._leases)
            if os.getppid() != parent:
                reason = failure("interrupted", "The worker of this run was killed.")
            if reason is not None:
                self._interrupt(reason)
                return

    def _pause(self) -> float:
        """Seconds to the next beat. A range of thousands of videos beats as seldom as its leases allow."""
        quick = self.settings.heartbeat_seconds
        return quick if len(self._leases) <= MANY_VIDEOS else max(quick, self.settings.lease_seconds / 3)

    def _beat(self) -> IngestError | None:
        with self.database.transaction() as connection:
            renewal = leases.renew(
                connection, dict(self._leases), self.run.run_id, self.settings.lease_seconds, self._progress
            )
        if lost := renewal.lost & self._leases.keys():  # not what joined another video meanwhile
            return LeaseLost(lost)
        if renewal.cancel_requested:
            self.run.report_canceling()
            return outcomes.canceled()
        return outcomes.canceled() if self.run.canceling() else None

    def _interrupt(self, reason: IngestError) -> None:
        """Stops the run's main thread wherever it is, again and again until it ends: SIGINT also ends a blocking read.

        Dagster turns the signal into an exception of its own; a library that swallows one meets the next.
        """
        self._stop_reason = reason
        self._log.warning("stopping: %s", reason)
        main = threading.main_thread().ident
        assert main is not None
        while not self._closing.is_set():
            signal.pthread_kill(main, signal.SIGINT)
            self._closing.wait(3.0)


class _Prefixed(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: str, kwargs: MutableMapping[str, Any]) -> tuple[str, MutableMapping[str, Any]]:
        about = (self.extra or {}).get("about")
        return f"{about}: {msg}", kwargs
