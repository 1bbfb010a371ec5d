"""A step: one transaction of somebody, done at once or with pauses in it during which others do theirs."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from narralytica_ingest.failures import IngestError
from narralytica_ingest.store.database import Connection, Row
from narralytica_ingest.store.leases import Dispatch, Lease


def nothing_more(_: Any) -> None:
    """What follows most steps."""


@dataclass(frozen=True)
class Step:
    """One transaction. `act` does it; `after` is told its result once it is committed, `refused` why it was rolled back
    (without it, that is raised).

    `lease` is the one it writes under, `run_id` the run that does it (only that run gives up its own lease), `tags` the
    attempt that the run was started for. What else it is allowed: `charges`, to count a failure against a job;
    `revives`, to queue an ended job; `unserves`, to end that a video of which a file is lost is ready.
    """

    name: str
    act: Callable[[Connection], Any]
    after: Callable[[Any], None] = nothing_more
    refused: Callable[[IngestError], None] | None = None
    lease: Lease | None = None
    run_id: str | None = None
    tags: Dispatch | None = None
    charges: bool = False
    revives: bool = False
    unserves: bool = False


class Killed(BaseException):
    """Whoever did the step died in the middle of it."""


class PausingConnection(psycopg.Connection[Row]):
    """A connection that calls `pause` before each statement."""

    pause: Callable[[], None] = staticmethod(lambda: None)

    def execute(self, query: LiteralString, *args: Any, **options: Any) -> psycopg.Cursor[Row]:  # type: ignore[override]
        """As its parent's, after a pause."""
        self.pause()
        return super().execute(query, *args, **options)


class SlowStep:
    """A step in a thread of its own that goes on by one statement when it is told to; never at the same time as the
    machine. So transactions overlap in any way, and the same choices give the same course."""

    def __init__(self, connection: PausingConnection, step: Step) -> None:
        self.step = step
        self.done = False
        self.error: BaseException | None = None
        self.result: Any = None
        self._connection = connection
        self._killed = False
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=step.name)
        self._thread.start()

    def advance(self) -> None:
        """Lets it do its next statement, or its commit."""
        self._go.release()
        self._paused.acquire()
        if self.done:
            self._thread.join()

    def kill(self) -> None:
        """Ends it where it stands; what it did is rolled back."""
        self._killed = True
        if not self.done:
            self.advance()

    def _run(self) -> None:
        try:
            self._pause(first=True)
            with self._connection.transaction():
                self._connection.pause = self._pause
                self.result = self.step.act(self._connection)
                self._pause()  # what was done is not committed yet
        except BaseException as error:
            self.error = error
        finally:
            self._connection.pause = lambda: None
            self.done = True
            self._paused.release()

    def _pause(self, *, first: bool = False) -> None:
        if not first:
            self._paused.release()
        self._go.acquire()
        if self._killed:
            raise Killed
