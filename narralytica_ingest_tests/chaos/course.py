"""The course of a chaos run: videos come in, faults strike whatever is at work, and at the end all must be quiet."""

import random
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from narralytica_ingest_tests.chaos.faults import Kind, Steps, Strike
from narralytica_ingest_tests.chaos.plan import Planned, make_plan, stand_in
from narralytica_ingest_tests.chaos.watch import Watch
from narralytica_ingest_tests.chaos.world import Active, World

_TICK = 0.15
_AHEAD = 5  # of the faults to come so many are looked at: the first that finds its aim now is made
_GAP = (0.6, 2.5)  # seconds between two faults
_AT_ONCE = 6  # faults that may last at the same time
_PATIENCE = 20.0  # seconds until a fault that finds nothing is put off
_SAY_SECONDS = 5.0
# While a job that was hit has to wait for long, nothing new is made: what it still waits for then is the stack's doing,
# and not that of the next fault. From a certain length on it is too late for that.
LONG_SECONDS, TOO_LONG_SECONDS = 20.0, 150.0
# The supervisor waits longer and longer with what dies again and again; a machine that reboots every few seconds is
# not what is tried here.
_WORN, _WORN_SECONDS = 3, 70.0


@dataclass
class Course:
    """One run of faults over videos. `say` gets lines for whoever watches."""

    world: World
    watch: Watch
    kinds: Sequence[Kind]
    seed: int
    videos: int
    faults: int
    say: Callable[[str], None] = print
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    targets: Counter[Any] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.seed} course")
        self._plan = deque(make_plan(self.kinds, self.faults, self.seed))
        self._at_work: list[tuple[Strike, Planned, Steps]] = []
        self._worn: dict[str, deque[float]] = {}
        self._next_fault = self._put_off_at = self._next_word = time.monotonic()
        self._begun = time.monotonic()

    def run(self) -> None:
        """Makes all faults; returns when none lasts any more."""
        threading.excepthook = self._note_exception
        self._put_off_at = time.monotonic() + _PATIENCE
        try:
            while self._plan or self._at_work:
                self._feed()
                self._go_on()
                self._strike()
                self._look()
        finally:
            for _, _, steps in self._at_work:  # whoever interrupts this leaves nothing frozen
                steps.close()
        for _ in range(len(self.world.library.videos), self.videos):
            self.world.submit(self.world.library.add())

    def calm(self, seconds: float) -> int:
        """Ends all trouble and waits until every job has ended; returns how many have not, after so many seconds."""
        self.world.library.calm()
        self.world.line.rate = None
        self.world.disk.clear()
        deadline = time.monotonic() + seconds
        while (left := self.world.unfinished()) and time.monotonic() < deadline:
            self._look()
        return left

    # ---- videos --------------------------------------------------------------------------------------------------

    def _feed(self) -> None:
        """Keeps the workers busy for as long as there are faults to come, and all videos come in until then."""
        library, in_work = self.world.library, self.world.in_work()
        slots = self.world.running.settings.workers + 1
        done = self.faults - len(self._plan)
        behind = len(library.videos) < self.videos * done / self.faults and in_work < 3 * slots
        held = self.watch.longest_wait() > LONG_SECONDS
        if self._plan and not held and (in_work < slots + 2 or behind):
            self.world.submit(library.add())

    # ---- faults --------------------------------------------------------------------------------------------------

    def _strike(self) -> None:
        now = time.monotonic()
        if LONG_SECONDS < self.watch.longest_wait() < TOO_LONG_SECONDS:
            self._put_off_at = now + _PATIENCE
            return
        if now < self._next_fault or len(self._at_work) >= _AT_ONCE or not self._plan:
            return
        for planned in list(self._plan)[:_AHEAD]:
            target = self._target(planned)
            if target is not None:
                self._plan.remove(planned)
                self._begin(planned, target)
                self._put_off_at = now + _PATIENCE
                self._next_fault = now + self._random.uniform(*_GAP)
                return
        if now > self._put_off_at:
            self._put_off(self._plan.popleft())
            self._put_off_at = now + _PATIENCE / 4

    def _target(self, planned: Planned) -> Active | None:
        """Of the runs in the middle of the stage that fit, the one that was hit least."""
        kind = planned.kind
        if any(strike.name == kind.name for strike, _, _ in self._at_work) or self._is_worn(kind.wears):
            return None
        found = [each for each in self.world.active(planned.stage) if kind.fits(self.world, each)]
        return min(found, key=lambda each: (self.targets[each.job_id], str(each.job_id)), default=None)

    def _begin(self, planned: Planned, target: Active) -> None:
        kind = planned.kind
        self.targets[target.job_id] += 1
        if kind.wears:
            self._worn.setdefault(kind.wears, deque(maxlen=_WORN)).append(time.monotonic())
        chance = random.Random(f"{self.seed} {planned.number}")
        strike = Strike(self.world, self.watch, kind.name, planned.stage, kind.charges, chance, kind.measured)
        self._at_work.append((strike, planned, kind.act(strike, target)))
        self._go_on()

    def _go_on(self) -> None:
        for each in list(self._at_work):
            strike, planned, steps = each
            try:
                next(steps)
            except (StopIteration, psutil.NoSuchProcess):  # the latter: its aim went away under its hand
                self._at_work.remove(each)
                if strike.counted:
                    self.counted[strike.name, strike.stage] += 1
                else:
                    self._put_off(planned)

    def _put_off(self, planned: Planned) -> None:
        planned.patience -= 1
        if planned.patience > 0:
            self._plan.append(planned)
        elif planned.stands_in:
            self.missed.append(f"{planned.kind.name} at {planned.stage}")
        else:
            self.replaced.append(f"{planned.kind.name} at {planned.stage}")
            self._plan.append(stand_in(planned, self.kinds))

    def _is_worn(self, what: str | None) -> bool:
        deaths = self._worn.get(what or "", deque())
        return len(deaths) == _WORN and time.monotonic() - deaths[0] < _WORN_SECONDS

    def _note_exception(self, raised: threading.ExceptHookArgs) -> None:
        self.broken.append(f"thread {raised.thread.name if raised.thread else '?'}: {raised.exc_value!r}")
        sys.__excepthook__(raised.exc_type, raised.exc_value or raised.exc_type(), raised.exc_traceback)

    # ---- words ---------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self.watch.look()
        time.sleep(_TICK)
        if time.monotonic() < self._next_word:
            return
        self._next_word = time.monotonic() + _SAY_SECONDS
        self.say(self._state())

    def _state(self) -> str:
        rows = self.world.sql("SELECT status, count(*) AS n FROM ingest_jobs GROUP BY status ORDER BY status")
        by_stage: Counter[str] = Counter()
        for (_, stage), count in self.counted.items():
            by_stage[stage] += count
        stages = ", ".join(f"{stage} {count}" for stage, count in sorted(by_stage.items()))
        at_work = ", ".join(strike.name for strike, _, _ in self._at_work)
        jobs = ", ".join(f"{row['n']} {row['status']}" for row in rows)
        return (
            f"[{time.monotonic() - self._begun:5.0f} s] faults {sum(by_stage.values())}/{self.faults} ({stages})"
            f", videos {len(self.world.library.videos)}/{self.videos}, jobs: {jobs}"
            f", recovering {self.watch.recovering()}" + (f" | {at_work}" if at_work else "")
        )
