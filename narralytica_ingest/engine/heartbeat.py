"""The heartbeat of a run: a thread that says that the run lives, learns what ends it, and then interrupts it."""

import logging
import os
import signal
import threading
from collections.abc import Callable

from narralytica_ingest.engine.run_failures import interrupted
from narralytica_ingest.failures import IngestError

# How long (seconds) an interrupted run has until it is interrupted again, and a beat to finish when the run ends.
_AGAIN_SECONDS = 3.0
_JOIN_SECONDS = 10.0


class Heartbeat:
    """Calls `beat` after every `pause()` seconds. What `beat` answers, or the death of the worker, ends the run.

    A beat that fails ends nothing. While the database is away nobody can take the run's leases, and whoever takes one
    later fences the run off: so it goes on with what it has, and learns how things stand when the database is back.
    """

    def __init__(
        self,
        beat: Callable[[], IngestError | None],
        pause: Callable[[], float],
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._beat, self._pause, self._log = beat, pause, log
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.reason: IngestError | None = None  # why the run was interrupted

    def start(self) -> None:
        """Once; further calls change nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._until_closed, name="heartbeat", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends it. A beat under way is waited for, so that its answer is known."""
        self._closing.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=_JOIN_SECONDS)

    def _until_closed(self) -> None:
        parent = os.getppid()
        while not self._closing.wait(self._pause()):
            reason = self._answer()
            if os.getppid() != parent:
                reason = interrupted()  # the worker was killed: nobody waits for this process
            if reason is not None:
                self._interrupt(reason)
                return

    def _answer(self) -> IngestError | None:
        try:
            return self._beat()
        except Exception as error:
            self._say("heartbeat failed: %s", error)
            return None

    def _interrupt(self, reason: IngestError) -> None:
        """Stops the run's main thread wherever it is, again and again until it ends: SIGINT also ends a blocking read.

        Dagster turns the signal into an exception of its own; a library that swallows one meets the next.
        """
        self.reason = reason
        self._say("stopping: %s", reason)
        main = threading.main_thread().ident
        assert main is not None
        while not self._closing.is_set():
            signal.pthread_kill(main, signal.SIGINT)
            self._closing.wait(_AGAIN_SECONDS)

    def _say(self, sentence: str, *values: object) -> None:
        """Lines also go to Dagster's event log, which is in a database: that it is away must not end this thread."""
        try:
            self._log.warning(sentence, *values)
        except Exception:
            logging.getLogger(__name__).warning(sentence, *values)
