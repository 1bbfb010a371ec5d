"""A small supervisor: keeps child processes running, says what dies, and leaves none behind.

What belongs here: starting, watching, restarting and ending processes of any kind. Which ones there are is in
`stack.py`.

Every child leads its own session, and it and all its descendants carry a mark in their environment that names the home
and the child. The mark finds what is left when a child was killed, even what moved to a session of its own; what is no
descendant of its child any more, since its parent was killed; and what an `up` that was killed left behind.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from narralytica_ingest.local.home import log_file
from narralytica_ingest.local.identity import Identity, exit_code, spawn, wait_until

_MARK = "NARRALYTICA_CHILD"
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 30.0
_HEALTHY_SECONDS = 60.0
_LEFTOVER_GRACE = 2.0
_FAILING_DEATHS = 3
_ORPHAN_SECONDS = 15.0  # between two looks for processes whose parent was killed


@dataclass(frozen=True)
class ProcessSpec:
    """What to run. `grace` is how many seconds it gets to end after SIGTERM; `cwd` None means our own folder."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    grace: float = 5.0
    cwd: Path | None = None


class _Child:
    """One process that is to run, through all its lives."""

    def __init__(self, home: Path, spec: ProcessSpec) -> None:
        self.spec = spec
        self.log = log_file(home, spec.name)
        self._home = home
        self._record = _records(home) / f"{spec.name}.json"
        self._delay = _FIRST_DELAY
        self.identity: Identity | None = None
        self.started_at = 0.0
        self.restart_at: float | None = None
        self.kill_at = 0.0  # until then the processes that a dead one left may end by themselves
        self.deaths = 0  # one after the other, without a healthy minute

    def start(self) -> None:
        mark = _mark(self._home, self.spec.name)
        self.started_at = time.monotonic()
        self.restart_at = None
        self.identity = spawn(self.spec.argv, log=self.log, env={**self.spec.env, _MARK: mark}, cwd=self.spec.cwd)
        self.identity.save(self._record)

    def next_delay(self) -> float:
        """Seconds to wait before the next start: longer each time, short again after a healthy minute."""
        if time.monotonic() - self.started_at > _HEALTHY_SECONDS:
            self._delay, self.deaths = _FIRST_DELAY, 0
        self.deaths += 1
        delay, self._delay = self._delay, min(2 * self._delay, _LONGEST_DELAY)
        return delay

    def forget(self) -> None:
        self.identity = None
        self.restart_at = None
        self._record.unlink(missing_ok=True)


class Supervisor:
    """Runs the processes of one home. `on_event` gets a sentence whenever something happens to one of them."""

    def __init__(self, home: Path, on_event: Callable[[str], None]) -> None:
        self._home = home
        self._on_event = on_event
        self._children: dict[str, _Child] = {}
        self._orphans_at = time.monotonic() + _ORPHAN_SECONDS

    def start(self, spec: ProcessSpec) -> None:
        """Starts the process and keeps it running from now on. Raises OSError if the command cannot be run."""
        child = _Child(self._home, spec)
        self._children[spec.name] = child
        child.start()

    def pid(self, name: str) -> int | None:
        """The pid of the process, or None while it does not run."""
        child = self._children.get(name)
        return child.identity.pid if child and child.identity and child.identity.alive else None

    def log(self, name: str) -> Path:
        """Where its output goes."""
        return self._children[name].log

    def failing(self) -> list[str]:
        """The processes that have died three times without living well in between."""
        return [name for name, child in self._children.items() if child.deaths >= _FAILING_DEATHS]

    def check(self) -> None:
        """Notices what died and starts again what is due. To be called about once a second."""
        for child in self._children.values():
            if child.identity is not None and not child.identity.alive:
                self._bury(child, child.identity)
            if child.restart_at is not None and time.monotonic() >= child.restart_at and self._is_alone(child):
                child.start()
                self._on_event(f"{child.spec.name} was started again.")
        if time.monotonic() >= self._orphans_at:
            self._orphans_at = time.monotonic() + _ORPHAN_SECONDS
            self._end_orphans()

    def _bury(self, child: _Child, dead: Identity) -> None:
        delay = child.next_delay()
        lived = time.monotonic() - child.started_at
        self._on_event(
            f"{child.spec.name} {_how_it_ended(exit_code(dead))} after {lived:.0f} s; it is started again in "
            f"{delay:.0f} s. Its log: {child.log}"
        )
        child.forget()
        _ask_marked_to_end(self._home, child.spec.name)
        child.restart_at = time.monotonic() + delay
        child.kill_at = time.monotonic() + child.spec.grace

    def _is_alone(self, child: _Child) -> bool:
        """Whether nothing is left of its former life. A run whose worker was killed has time to hand its job back."""
        if not _marked(self._home, [child.spec.name]):
            return True
        if time.monotonic() < child.kill_at:
            return False
        _kill_marked(self._home, [child.spec.name])
        return True

    def _end_orphans(self) -> None:
        """What a killed process of a child's left running: it has the mark, and no way up to the child."""
        ours = {child.identity.pid for child in self._children.values() if child.identity is not None}
        for process, name in _marked(self._home, list(self._children)):
            child = self._children[name]
            with suppress(psutil.NoSuchProcess):
                above = {process.pid, *(each.pid for each in process.parents())}
                if child.identity is not None and child.identity.alive and not above & ours:
                    what = process.name()
                    process.kill()
                    self._on_event(f"{name} left a process behind when a part of it was killed: {what} has been ended.")

    def stop(self, names: Iterable[str] | None = None) -> None:
        """Ends the named processes (all of them by default) at the same time, with all their descendants."""
        children = [self._children.pop(name) for name in list(names or self._children) if name in self._children]
        _end({c.identity: c.spec.grace for c in children if c.identity is not None})
        _kill_marked(self._home, [child.spec.name for child in children])
        for child in children:
            child.forget()


def reap_leftovers(home: Path) -> list[str]:
    """Ends what a killed supervisor of this home left running, and returns the names of those processes."""
    left = {path: Identity.load(path) for path in _records(home).glob("*.json")}
    alive = {path.stem: identity for path, identity in left.items() if identity is not None and identity.alive}
    _end(dict.fromkeys(alive.values(), _LEFTOVER_GRACE))
    orphans = _kill_marked(home, None)
    for path in left:
        path.unlink(missing_ok=True)
    return sorted({*alive, *orphans})


def _end(graces: Mapping[Identity, float]) -> None:
    """SIGTERM to all, then, when its own grace is over, SIGKILL to the whole group of who still lives."""
    begun = time.monotonic()
    descendants = [descendant for identity in graces for descendant in _descendants(identity)]
    for identity in graces:
        identity.send(signal.SIGTERM)
    waiting = dict(graces)
    while waiting:
        for identity, grace in list(waiting.items()):
            if not identity.alive:
                del waiting[identity]
            elif time.monotonic() - begun > grace:
                identity.kill_group()
        time.sleep(0.02)
    for descendant in descendants:
        descendant.send(signal.SIGKILL)


def _descendants(identity: Identity) -> list[Identity]:
    process = identity.process()
    found: list[Identity] = []
    with suppress(psutil.NoSuchProcess):
        for child in process.children(recursive=True) if process else []:
            with suppress(psutil.NoSuchProcess):
                found.append(Identity(child.pid, child.create_time()))
    return found


def _ask_marked_to_end(home: Path, name: str) -> None:
    """Sends SIGTERM to what a dead child left, but not to what that has started: a run whose tool ends before its own
    turn comes would take its file for broken."""
    left = {process.pid: process for process, _ in _marked(home, [name])}
    for process in left.values():
        with suppress(psutil.NoSuchProcess):
            if process.ppid() not in left:
                process.terminate()


def _kill_marked(home: Path, names: list[str] | None) -> set[str]:
    """Kills every process with the mark of these children (None: of any of the home), until there is none."""
    killed: set[str] = set()

    def none_left() -> bool:
        found = _marked(home, names)
        for process, name in found:
            killed.add(name)
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return not found

    wait_until(none_left, 5)
    return killed


def _marked(home: Path, names: list[str] | None) -> list[tuple[psutil.Process, str]]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            marked_home, _, name = process.environ().get(_MARK, "").rpartition("#")
            if marked_home == str(home) and (names is None or name in names):
                found.append((process, name))
    return found


def _mark(home: Path, name: str) -> str:
    return f"{home}#{name}"


def _records(home: Path) -> Path:
    return home / "run" / "processes"


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "ended"
    if code < 0:
        return f"was ended by signal {-code}"
    return f"ended with exit code {code}"
