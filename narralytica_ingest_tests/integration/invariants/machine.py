"""The state machine: runs, the world they live in, and transactions that overlap. All else is in `surroundings.py`."""

from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from narralytica_ingest.failures import failure
from narralytica_ingest_tests.integration.invariants import keepers
from narralytica_ingest_tests.integration.invariants.quiesce import tick
from narralytica_ingest_tests.integration.invariants.runs import ASSETS, Run
from narralytica_ingest_tests.integration.invariants.steps import Step
from narralytica_ingest_tests.integration.invariants.surroundings import INDEX, Surroundings, one
from narralytica_ingest_tests.integration.invariants.world import SOURCES, Connections, World

# One failure of each class, two that speak about the host, two about parts of our own.
CODES = ("timed_out", "not_found", "login_required", "rate_limited", "bot_check", "live", "disk_full",
         "object_store_away", "source_changed", "interrupted", "canceled")  # fmt: skip
# Steps that others may come between.
SLOW = ("run", "run", "run", "remove", "identify", "identify", "delete", "claim", "answer", "silent", "cancel", "retry",
        "abandoned")  # fmt: skip
BY_HAND = (None, None, ASSETS, ASSETS[:1], ASSETS[1:2], ASSETS[2:], (ASSETS[0], ASSETS[2]), (ASSETS[0], ASSETS[2]))
BESIDE = (None, None, "sweeper", "run")
WRITES = ("announce", "put", "commit", "commit", "metadata", "metadata", "end", "beat", "release")


# What the tests have time for.
CI = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


class Machine(Surroundings):
    """Each rule is one step of somebody, or a few of one run."""

    # ---- runs -------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.seen.videos)
    @rule(index=INDEX, assets=st.sampled_from(BY_HAND), steps=st.sampled_from([2, 6, 30]))
    def start_by_hand(self, index: int, assets: tuple[str, ...] | None, steps: int = 1) -> None:
        """A run of the UI or of a backfill, of all or of some assets; or one with the tags of another run, or that run
        itself, which the broker delivers twice."""
        if assets:
            self.launch(Run(self.world, f"ui-{self.world.number()}", self.video(index), None, assets), steps)
        elif self.runs:
            old = one(self.runs, index)
            run_id = old.run_id if index % 2 else f"copy-{self.world.number()}"
            self.launch(Run(self.world, run_id, old.video_id, old.tags, old.assets), steps)

    def _work(self, index: int, steps: int, beside: str | None = None) -> None:
        """A run goes on, at most to its end, and between its steps somebody else is at work."""
        run = one(self.at_work(), index)
        for _ in range(steps):
            run.work()
            if beside == "sweeper":
                self.do(keepers.end_abandoned())
                self.sweep()
            elif beside == "run" and self.at_work():
                one(self.at_work(), index + 1).work()

    # What a run does is tried more often than other things.
    _WORK = rule(index=INDEX, steps=st.sampled_from([1, 2, 3, 4, 6, 30]), beside=st.sampled_from(BESIDE))
    work = precondition(lambda self: self.at_work())(_WORK(_work))
    work_on = precondition(lambda self: self.at_work())(_WORK(_work))
    work_further = precondition(lambda self: self.at_work())(_WORK(_work))

    @precondition(lambda self: any(run.lease for run in self.at_work()))
    @rule(index=INDEX, code=st.sampled_from([None, *CODES]))
    def beat_or_fail(self, index: int, code: str | None) -> None:
        """A heartbeat of a run, or it meets a failure."""
        run = one([run for run in self.at_work() if run.lease], index)
        self.world.do(run.end(failure(code)) if code else run.beat())

    @precondition(lambda self: self.world.slow is None and any(run.lease for run in self.at_work()))
    @rule(index=INDEX, by=st.sampled_from(["upkeep", "job", "copy", "ui"]))
    def lose_lease(self, index: int, by: str) -> None:
        """A run falls silent in the midst of its work, so long that others notice, and perhaps go on in its place."""
        silent = one([run for run in self.at_work() if run.lease], index)
        self.world.time_passes(60.0)
        if by == "ui" and silent.video_id in self.seen.videos:
            self.launch(Run(self.world, f"ui-{self.world.number()}", silent.video_id, None), 6)
        else:
            self.do(keepers.requeue_silent())
        if by in ("job", "copy"):
            self.world.time_passes(60.0)
            self.dispatch()
        if by == "copy":  # before the new run takes the job up
            self.launch(Run(self.world, f"copy-{self.world.number()}", silent.video_id, silent.tags), 2)

    @precondition(lambda self: self.zombies())
    @rule(index=INDEX, writes=st.lists(st.sampled_from(WRITES), min_size=1, max_size=3))
    def zombie(self, index: int, writes: list[str]) -> None:
        """A run that has lost its lease writes what it had in mind."""
        run = one(self.zombies(), index)
        run.imagine()
        steps: dict[str, Callable[[], Step]] = {
            "announce": run.announce, "put": run.put, "commit": run.commit, "metadata": run.commit_metadata,
            "end": lambda: run.end(failure("not_found")), "beat": run.beat, "release": run.release,
        }  # fmt: skip
        for write in writes:
            run.todo = []
            self.world.do(steps[write]())

    # ---- the world --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.slow is None)
    @rule(seconds=st.sampled_from([30.0, 60.0, 400.0, 4000.0, 0.0]))
    def time_passes(self, seconds: float) -> None:
        """Leases end, jobs come to their time; 0: for once the sensors and a good worker are left alone."""
        if seconds:
            self.world.time_passes(seconds)
        else:
            tick(self.world)

    @rule(what=st.sampled_from(["encoder", *sorted({source.content for source in SOURCES.values() if source.content})]))
    def world_changes(self, what: str) -> None:
        """From now on a source serves other bytes, or the same original makes another audio track."""
        if what == "encoder":
            self.world.encoder += 1
        else:
            self.world.versions[what] += 1

    # ---- overlapping transactions -----------------------------------------------------------------------------------

    @precondition(lambda self: self.world.slow is None)
    @rule(what=st.sampled_from(SLOW), index=INDEX, statements=st.integers(0, 5))
    def begin_slowly(self, what: str, index: int, statements: int) -> None:
        """Somebody begins a step; others do theirs before it ends."""
        step = self.step(what, index)
        if step is not None:
            self.told(self.world.hold, step)
            self.told(self.world.go_on, statements)

    @precondition(lambda self: self.world.slow is None)
    @rule(slow=st.sampled_from(SLOW), other=st.sampled_from(SLOW), index=INDEX, other_index=INDEX,
          statements=st.integers(1, 8))  # fmt: skip
    def race(self, slow: str, other: str, index: int, other_index: int, statements: int) -> None:
        """Two steps at once, one of them between two statements of the other."""
        self.begin_slowly(slow, index, statements)
        step = self.step(other, other_index)
        if step is not None:
            self.do(step)
        self.told(self.world.go_on, 100)

    @precondition(lambda self: self.world.slow is not None)
    @rule(statements=st.sampled_from([0, 1, 1, 2, 3, 100]))
    def go_on(self, statements: int) -> None:
        """The slow step goes on, or comes to its end; 0: whoever does it dies."""
        if statements:
            self.told(self.world.go_on, statements)
        else:
            self.world.kill_slow()

    def step(self, what: str, index: int) -> Step | None:
        """A step of this kind, if there is anything for it to do."""
        if what == "run":
            return one(self.at_work(), index).next_step() if self.at_work() else None
        if what == "remove":
            return keepers.remove(self.world) if self.world.removing else keepers.begin_removal(self.world, index)
        if what == "identify":
            found = keepers.unidentified(self.world)
            return keepers.identify(one(found, index)) if found else None
        if what == "delete" and not self.seen.videos:
            return None
        steps: dict[str, Callable[[], Step]] = {
            "delete": lambda: keepers.delete(self.video(index)), "claim": lambda: keepers.claim(self.world),
            "answer": keepers.answer_ready, "silent": keepers.requeue_silent,
            "cancel": lambda: keepers.cancel(self.job(index)), "abandoned": keepers.end_abandoned,
            "retry": lambda: keepers.retry(self.job(index), force=index % 2 == 0),
        }  # fmt: skip
        return steps[what]()


def machine_on(connections: Connections, on_end: Callable[[World], None] = lambda _: None) -> type[Machine]:
    """The machine as Hypothesis wants it: a class that needs no arguments. `on_end` is told of each example's end."""

    class Connected(Machine):
        def __init__(self) -> None:
            super().__init__(connections)

        def teardown(self) -> None:
            super().teardown()
            on_end(self.world)

    return Connected
