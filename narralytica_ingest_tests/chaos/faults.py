"""Faults of processes, services and the disk: what is done, and whom it hits.

A fault is a generator: it strikes before its first `yield`, and each further step is a moment later, so that one that
lasts (a server that stands still, a full disk) leaves the others free to come at the same time.
"""

import random
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import psutil

from narralytica_ingest_tests.chaos.watch import Watch
from narralytica_ingest_tests.chaos.world import LEASE_SECONDS, Active, World

Steps = Generator[None, None, None]

DISK_FULL = "disk full"
NOTHING: frozenset[str] = frozenset()
_ENDING_SECONDS = 4.0
CHANGED = frozenset({"source_changed", "range_refused"})


@dataclass
class Strike:
    """One fault at work: the world, whom it is aimed at, and how it says whom it hit."""

    world: World
    watch: Watch
    name: str
    stage: str
    charges: frozenset[str]
    random: random.Random
    measured: bool = True
    counted: bool = False

    def hits(self, *active: Active) -> None:
        """These runs were hit in an active stage: the fault counts."""
        self.hits_jobs([each.job_id for each in active])

    def hits_jobs(self, job_ids: Sequence[UUID]) -> None:
        """The same by the ids of their jobs."""
        self.counted = True
        self.watch.hit(job_ids, f"{self.name} at {self.stage}", self.charges, measured=self.measured)


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `stages`: where it can hit; `share`: how many of 200 are of this kind; `charges`: the codes that
    it may cost its jobs an attempt with. `fits` says whether a run can be its target, `wears` what of the stack it
    kills. It is not `measured` where the source says how long its jobs have to wait."""

    name: str
    stages: tuple[str, ...]
    share: int
    act: Callable[[Strike, Active], Steps]
    charges: frozenset[str] = NOTHING
    fits: Callable[[World, Active], bool] = lambda world, active: True
    wears: str | None = None
    measured: bool = True


EVERY = ("fetch", "store", "audio")


def wait(seconds: float) -> Steps:
    """Lets so many seconds pass."""
    return wait_for(lambda: False, seconds)


def wait_for(condition: Callable[[], bool], seconds: float) -> Steps:
    """Waits for the condition, but not longer than so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        yield


# ---- processes ------------------------------------------------------------------------------------------------------


def kill_run(strike: Strike, target: Active) -> Steps:
    """kill -9 of the process that the run is in; Celery puts a new one in its place."""
    tools = target.process.children(recursive=True)
    strike.watch.ends([target.process])
    target.process.kill()
    strike.hits(target)
    yield from _watch_tools(strike, tools)


def freeze_run(strike: Strike, target: Active) -> Steps:
    """The run's process stands still until its job is somebody else's, or even done, and then goes on as if nothing had
    happened. Its source may have changed meanwhile, so that the two have different bytes in hand."""
    process, until_done = target.process, strike.random.random() < 0.5
    process.suspend()
    strike.watch.ends([process])
    strike.hits(target)
    if target.video.swappable and strike.random.random() < 0.7:
        strike.world.library.swap(target.video)
    try:
        yield from wait_for(lambda: _has_moved_on(strike.world, target, until_done), 12 * LEASE_SECONDS)
        yield from wait(strike.random.uniform(0, 1))
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def _has_moved_on(world: World, target: Active, until_done: bool) -> bool:
    row = world.sql("SELECT status, attempt FROM ingest_jobs WHERE job_id = %s", (target.job_id,))[0]
    runs_elsewhere = row["attempt"] > target.attempt and row["status"] == "running" and not until_done
    return bool(runs_elsewhere or row["status"] in ("succeeded", "failed", "canceled"))


def kill_worker(strike: Strike, target: Active) -> Steps:
    """kill -9 of a worker's main process: the runs in its children become orphans."""
    tools = target.process.children(recursive=True)
    strike.hits(*_neighbours(strike.world, target))
    worker = psutil.Process(target.process.ppid())
    strike.watch.ends(worker.children())
    worker.kill()
    yield from _watch_tools(strike, tools)


def _watch_tools(strike: Strike, tools: list[psutil.Process]) -> Steps:
    """What a run had started ends with it."""
    yield from wait_for(lambda: not any(tool.is_running() for tool in tools), _ENDING_SECONDS)
    for tool in tools:
        with suppress(psutil.NoSuchProcess):
            if tool.is_running() and tool.status() != psutil.STATUS_ZOMBIE:
                strike.watch.left.append(f"{tool.name()} ({tool.pid}) went on after {strike.name}")


def kill_machine(strike: Strike, target: Active) -> Steps:
    """kill -9 of a worker with all its runs and their tools, as when a machine loses its power."""
    strike.hits(*_neighbours(strike.world, target))
    worker = psutil.Process(target.process.ppid())
    everything = [worker, *worker.children(recursive=True)]
    strike.watch.ends(everything)
    for process in everything:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    yield


def stop_worker(strike: Strike, target: Active) -> Steps:
    """SIGTERM of a worker: its runs hand their jobs back."""
    strike.hits(*_neighbours(strike.world, target))
    psutil.Process(target.process.ppid()).terminate()
    yield


def _neighbours(world: World, target: Active) -> list[Active]:
    """The runs in the same worker, the target first."""
    parent = target.process.ppid()
    others = [each for each in world.active(None) if each.job_id != target.job_id]
    return [target, *(each for each in others if each.process.ppid() == parent)]


def _everybody(world: World, target: Active) -> list[Active]:
    return [target, *(each for each in world.active(None) if each.job_id != target.job_id)]


def _kill(name: str) -> Callable[[Strike, Active], Steps]:
    def act(strike: Strike, target: Active) -> Steps:
        process = strike.world.process(name)
        if process is not None:
            strike.hits(target)
            process.kill()
        yield

    return act


# ---- services -------------------------------------------------------------------------------------------------------


def _end_service(name: str, number: signal.Signals) -> Callable[[Strike, Active], Steps]:
    def act(strike: Strike, target: Active) -> Steps:
        everybody = _everybody(strike.world, target)
        process = strike.world.process(name)
        if process is not None:
            process.send_signal(number)
            strike.hits(*everybody)
        yield

    return act


def freeze_s3(strike: Strike, target: Active) -> Steps:
    """The object store stands still for some seconds: connections stay and nothing comes."""
    process = strike.world.process("s3")
    if process is None:
        return
    everybody = _everybody(strike.world, target)
    process.suspend()
    strike.hits(*everybody)
    try:
        yield from wait(strike.random.uniform(3, 9))
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def fill_disk(strike: Strike, target: Active) -> Steps:
    """The disk of downloads is full for some seconds. One that cannot interrupt a write must refuse a download."""
    everybody, disk = _everybody(strike.world, target), strike.world.disk
    disk.fill()
    try:
        if disk.interrupts:
            strike.hits(*everybody)
            yield from wait(strike.random.uniform(2, 4))
            return
        yield from wait_for(lambda: bool(_refused_by_disk(strike.world)), 30)
        refused = _refused_by_disk(strike.world)
        if refused:
            strike.hits_jobs(refused)
    finally:
        disk.clear()


def _refused_by_disk(world: World) -> list[UUID]:
    rows = world.sql(
        "SELECT job_id FROM ingest_jobs"
        " WHERE error_code IN ('disk_full', 'no_room') AND updated_at > now() - interval '2 seconds'"
    )
    return [row["job_id"] for row in rows]


KINDS = (
    Kind("kill -9 of the run", EVERY, 30, kill_run),
    Kind("run frozen past its lease", EVERY, 12, freeze_run, CHANGED),
    Kind("kill -9 of a worker", EVERY, 8, kill_worker, wears="worker"),
    Kind("kill -9 of worker and runs", EVERY, 8, kill_machine, wears="worker"),
    Kind("SIGTERM of a worker", EVERY, 6, stop_worker, wears="worker"),
    Kind("kill -9 of the daemon", EVERY, 6, _kill("daemon"), wears="daemon"),
    Kind("kill -9 of the code server", EVERY, 6, _kill("code-server"), wears="code-server"),
    Kind("kill -9 of the webserver", EVERY, 3, _kill("webserver"), wears="webserver"),
    Kind("Postgres restarted", EVERY, 6, _end_service("postgres", signal.SIGINT)),
    Kind("kill -9 of Postgres", EVERY, 6, _end_service("postgres", signal.SIGKILL)),
    Kind("kill -9 of the S3 server", ("store",), 9, _end_service("s3", signal.SIGKILL)),
    Kind("S3 server frozen", ("store",), 9, freeze_s3),
    Kind(DISK_FULL, ("fetch", "audio"), 9, fill_disk),
)
