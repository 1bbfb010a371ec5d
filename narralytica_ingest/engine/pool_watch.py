"""A worker whose pool no longer works ends, so that whoever supervises it starts it again.

On a broker that is Postgres, Celery's pool gives out tasks through one pipe, which its processes read in turn under a
lock. One that is killed while it waits there takes the lock along: the worker goes on to receive tasks, and executes
none of them ever again. Runs that are at work in other processes hand their jobs back when the worker ends.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
# A task that a free slot does not begin for so long waits for ever.
_STUCK_SECONDS = 15.0


class PoolWatch:
    """Looks at a worker's pool from a thread of the worker's main process. `end` is called once, with the reason."""

    def __init__(self, pool: Any, end: Callable[[str], None]) -> None:
        self._pool, self._end = pool, end  # celery's TaskPool
        self._known: set[Any] = set()
        self._waiting_since: float | None = None

    def run(self) -> None:
        """Until the pool is broken."""
        while (reason := self.look()) is None:
            time.sleep(_LOOK_SECONDS)
        self._end(reason)

    def look(self) -> str | None:
        """Why the pool does not work any more, or None."""
        return self._killed_while_idle() or self._stuck()

    def _killed_while_idle(self) -> str | None:
        from celery.worker import state

        billiard = self._pool._pool
        if billiard is None or billiard._inqueue is None:  # each process has a pipe of its own: nothing is shared
            return None
        self._known |= set(billiard._pool)
        ended = {process for process in self._known if process.exitcode is not None}
        self._known -= ended
        # By a signal, but not the one by which the worker itself ends its processes.
        dead = {process for process in ended if process.exitcode < 0 and process.exitcode != -signal.SIGTERM}
        busy = {request.worker_pid for request in list(state.active_requests)}
        idle = sorted(process.pid for process in dead if process.pid not in busy)
        return f"the idle pool process {idle[0]} was killed, and may have taken the pool's lock along" if idle else None

    def _stuck(self) -> str | None:
        from celery.worker import state

        begun = len(state.active_requests)
        waiting = len(state.reserved_requests) > begun and begun < self._pool.num_processes
        now = time.monotonic()
        self._waiting_since = (self._waiting_since or now) if waiting else None
        if self._waiting_since is None or now - self._waiting_since < _STUCK_SECONDS:
            return None
        return f"a run was received and not begun for {_STUCK_SECONDS:.0f} s, though a slot is free"


def watch_pool(pool: Any) -> None:
    """Begins to watch, for as long as the worker lives."""
    watch = PoolWatch(pool, _end_worker)
    threading.Thread(target=watch.run, name="pool-watch", daemon=True).start()


def _end_worker(reason: str) -> None:
    """At once: an orderly end would wait for the pool. Its processes are asked to stop by the kernel, as `worker.py`
    has it, and their runs hand their jobs back."""
    log.critical("this worker ends and is to be started again: %s", reason)
    os.kill(os.getpid(), signal.SIGKILL)
