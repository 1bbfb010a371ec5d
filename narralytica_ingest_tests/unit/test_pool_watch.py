"""A worker's pool is broken when an idle process of it was killed, or when a run waits there beside a free slot."""

import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state

from narralytica_ingest.engine import pool_watch
from narralytica_ingest.engine.pool_watch import PoolWatch


class Request:
    """A task as Celery's worker keeps it."""

    def __init__(self, worker_pid: int | None = None) -> None:
        self.worker_pid = worker_pid


def process(pid: int) -> Any:
    return _Hashable(pid=pid, exitcode=None)


class _Hashable(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]


@pytest.fixture
def processes() -> list[Any]:
    return [process(1), process(2)]


@pytest.fixture
def watch(processes: list[Any]) -> Iterator[PoolWatch]:
    pool = SimpleNamespace(num_processes=2, _pool=SimpleNamespace(_inqueue=object(), _pool=processes))
    yield PoolWatch(pool, lambda _reason: None)
    state.reserved_requests.clear()
    state.active_requests.clear()


def ends(processes: list[Any], index: int, code: int) -> None:
    """The process ends, and Celery starts another in its place."""
    processes[index].exitcode = code
    processes[index] = process(10 + index)


def test_a_killed_idle_process_ends_the_worker(watch: PoolWatch, processes: list[Any]) -> None:
    assert watch.look() is None
    ends(processes, 1, -signal.SIGKILL)
    assert "the idle pool process 2 was killed" in (watch.look() or "")


@pytest.mark.parametrize("code", [0, 1, -signal.SIGTERM])
def test_one_that_the_worker_ended_itself_does_not(watch: PoolWatch, processes: list[Any], code: int) -> None:
    assert watch.look() is None
    ends(processes, 1, code)
    assert watch.look() is None


def test_one_that_was_killed_with_its_run_does_not(watch: PoolWatch, processes: list[Any]) -> None:
    run = Request(worker_pid=2)
    state.reserved_requests.add(run)
    state.active_requests.add(run)
    assert watch.look() is None
    ends(processes, 1, -signal.SIGKILL)
    assert watch.look() is None


def test_where_every_process_has_a_pipe_of_its_own_nothing_is_shared(watch: PoolWatch, processes: list[Any]) -> None:
    watch._pool._pool._inqueue = None
    assert watch.look() is None
    ends(processes, 1, -signal.SIGKILL)
    assert watch.look() is None


def test_a_run_that_a_free_slot_does_not_begin_ends_the_worker(
    watch: PoolWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, busy = Request(), [Request(1), Request(2)]
    for each in (waiting, *busy):
        state.reserved_requests.add(each)
    for each in busy:
        state.active_requests.add(each)
    monkeypatch.setattr(pool_watch, "_STUCK_SECONDS", 0.0)
    assert watch.look() is None, "all slots are taken"
    state.active_requests.discard(busy.pop())
    assert "though a slot is free" in (watch.look() or "")
