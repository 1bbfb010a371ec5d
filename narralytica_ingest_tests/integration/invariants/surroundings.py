"""The state machine's words, and the rules of all who are no run: the API, people, sensors, the sweeper, the bucket."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from psycopg.errors import ForeignKeyViolation

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.store.leases import Dispatch
from narralytica_ingest_tests.integration.invariants import keepers
from narralytica_ingest_tests.integration.invariants.quiesce import quiesce, tick
from narralytica_ingest_tests.integration.invariants.runs import Run
from narralytica_ingest_tests.integration.invariants.steps import Step
from narralytica_ingest_tests.integration.invariants.world import Connections, World

# What people are told whose wish cannot be granted, and the death of the sweeper: each was rolled back.
TOLD = {"interrupted", "job_has_ended", "job_not_ended", "no_such_job_or_video"}
WISHES = ("cancel", "cancel in SQL", "retry", "retry --force", "retry --force", "retry children", "reset hosts",
          "delete", "delete")  # fmt: skip
SENSORS = ("identify", "refuse", "claim", "lose a claim", "answer", "cancel", "emit", "silent", "silent, ours", "dead",
           "a run failed", "a run was canceled")  # fmt: skip
INDEX = st.integers(0, 7)
MOST_RUNS = 8


def one(things: list[Any], index: int) -> Any:
    """One of them."""
    return things[index % len(things)]


class Surroundings(RuleBasedStateMachine):
    """Each rule is one step of somebody."""

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self.world = World(connections)
        self.runs: list[Run] = []

    def teardown(self) -> None:
        """The end, unless something broke before."""
        self.world.kill_slow()
        if not self.world.broken:
            quiesce(self.world)

    # ---- words ------------------------------------------------------------------------------------------------------

    @property
    def seen(self) -> Any:
        """The last look at the tables."""
        return self.world.history.seen

    def has_jobs(self, *statuses: str) -> bool:
        """Whether there is a job in one of these states."""
        return any(job["status"] in statuses for job in self.seen.jobs.values())

    def job(self, index: int) -> UUID:
        """One of the jobs, the newest first."""
        jobs = sorted(self.seen.jobs.values(), key=lambda job: str(job["created_at"]), reverse=True)
        return UUID(one(jobs, index)["job_id"])

    def video(self, index: int) -> str:
        """One of the videos."""
        return str(one(sorted(self.seen.videos), index))

    def at_work(self) -> list[Run]:
        """The runs that have something to do and are not about to do it."""
        return [run for run in self.runs if run.todo and not self.world.is_slow(run.run_id)]

    def zombies(self) -> list[Run]:
        """The runs that have lost their lease."""
        return [run for run in self.runs if run.lease and not self.seen.holds(run.lease)]

    def do(self, step: Step) -> None:
        """The step, or a truthful no."""
        self.told(self.world.do, step)

    def told(self, do: Callable[..., Any], *args: Any) -> None:
        """What is said to people and sensors is no defect; a deadlock or a broken constraint is."""
        try:
            do(*args)
        except IngestError as error:
            if error.code not in TOLD:
                raise
        except ForeignKeyViolation:
            # The video that a job was led to has just gone; the sensor asks again at its next look.
            self.world.broken = False

    def launch(self, run: Run, steps: int) -> None:
        """A run begins, and does some steps; the oldest are dead for good."""
        self.runs = [*self.runs, run][-MOST_RUNS:]
        for _ in range(steps):
            run.work()

    # ---- the API and people -----------------------------------------------------------------------------------------

    @initialize(names=st.lists(st.sampled_from(keepers.NAMES), min_size=1, max_size=3), stored=st.booleans())
    def begin(self, names: list[str], stored: bool = False) -> None:
        """Some jobs are there, or what they asked for is."""
        for name in names:
            self.do(keepers.insert(name, None))
        if stored:
            tick(self.world)

    @rule(
        name=st.sampled_from(keepers.NAMES),
        force=st.booleans(),
        priority=st.sampled_from([0, 0, 5]),
        key=st.sampled_from([None, None, "k"]),
        max_attempts=st.sampled_from([None, 1]),
    )
    def insert(self, name: str, force: bool, priority: int, key: str | None, max_attempts: int | None) -> None:
        """A job, perhaps for a video that is known, perhaps the same again."""
        key = key and f"{key} {name}"
        self.do(keepers.insert(name, max_attempts, force=force, priority=priority, idempotency_key=key))

    @rule(wish=st.sampled_from(WISHES), index=INDEX)
    def person(self, wish: str, index: int) -> None:
        """Wishes something of any job or video, whatever its state."""
        job = self.job(index)
        steps: dict[str, Callable[[], Step]] = {
            "cancel": lambda: keepers.cancel(job), "cancel in SQL": lambda: keepers.cancel_in_sql(job),
            "retry": lambda: keepers.retry(job, force=False), "retry --force": lambda: keepers.retry(job, force=True),
            "retry children": lambda: keepers.retry_children(job), "reset hosts": keepers.reset_hosts,
            "delete": lambda: keepers.delete(self.video(index) if self.seen.videos else ""),
        }  # fmt: skip
        self.do(steps[wish]())

    # ---- sensors ----------------------------------------------------------------------------------------------------

    @rule(steps=st.sampled_from([1, 2, 4, 6, 9]))
    def dispatch(self, steps: int = 1) -> None:
        """The dispatch sensor, undisturbed; its runs begin."""
        for job in keepers.unidentified(self.world):
            self.do(keepers.identify(job))
        for step in (keepers.cancel_requested(), keepers.answer_ready(), keepers.claim(self.world)):
            self.do(step)
        while self.world.requests:
            self.begin_run(0, steps)

    @precondition(lambda self: self.world.requests)
    @rule(index=INDEX, steps=st.sampled_from([1, 2, 6]))
    def begin_run(self, index: int, steps: int) -> None:
        """One that Dagster was asked for."""
        request = self.world.requests.pop(index % len(self.world.requests))
        tags = Dispatch(request.job_id, request.attempt)
        self.launch(Run(self.world, f"run-{self.world.number()}", request.video_id, tags), steps)

    @rule(part=st.sampled_from(SENSORS), index=INDEX)
    def sensor(self, part: str, index: int) -> None:
        """One of the things that the sensors do."""
        if part in ("identify", "refuse"):
            if found := keepers.unidentified(self.world):
                code = one(["invalid_url", "object_store_away"], index)
                job = one(found, index)
                self.do(keepers.identify(job) if part == "identify" else keepers.refuse(job, failure(code)))
            return
        steps: dict[str, Callable[[], Step]] = {
            "claim": lambda: keepers.claim(self.world), "lose a claim": lambda: keepers.claim(self.world, lost=True),
            "answer": keepers.answer_ready, "cancel": keepers.cancel_requested,
            "emit": lambda: keepers.emit_again(self.world), "silent": keepers.requeue_silent,
            "silent, ours": lambda: keepers.requeue_silent(ours=True),
            "a run failed": lambda: self._run_ended(index, "run_ended_early"),
            "a run was canceled": lambda: self._run_ended(index, "canceled"),
            "dead": lambda: keepers.requeue_dead_dispatches(self.world),
        }  # fmt: skip
        self.do(steps[part]())

    def _run_ended(self, index: int, code: str) -> Step:
        """Dagster says so of a run that may yet be at work."""
        run_id = one(self.runs, index).run_id if self.runs else "none"
        return keepers.run_ended(run_id, failure(code), frees=index % 2 == 0)

    # ---- the sweeper, and the bucket --------------------------------------------------------------------------------

    @precondition(lambda self: self.world.bucket or self.seen.published)
    @rule(part=st.sampled_from(["abandoned", "walk", "sweep", "begin", "begin", "finish", "die"]), index=INDEX)
    def sweeper(self, part: str, index: int) -> None:
        """One of its parts. It may die after it has asked the bucket to remove an object."""
        world = self.world
        if part == "abandoned":
            self.do(keepers.end_abandoned())
        elif part == "walk":
            self.do(keepers.walk_bucket(world))
        elif part == "sweep":
            self.sweep()
        elif part == "begin" and not world.removing:
            self.do(keepers.begin_removal(world, index))
        elif world.removing and part == "finish":
            self.do(keepers.remove(world))
        elif world.removing and part == "die":
            self.do(keepers.ask_and_die(world))
            world.removing = None

    def sweep(self) -> None:
        """The sweeper removes all that it may."""
        for _ in self.seen.left_over:
            self.do(keepers.begin_removal(self.world))
            if self.world.removing:
                self.do(keepers.remove(self.world))

    @precondition(lambda self: self.world.late_removals or self.world.bucket)
    @rule(part=st.sampled_from(["late removal", "late removal", "loss", "mend"]), index=INDEX)
    def bucket(self, part: str, index: int) -> None:
        """It does what a dead sweeper asked for; it loses an object, through no fault of ours; that is mended."""
        world = self.world
        if part == "late removal" and world.late_removals:
            world.bucket.discard(world.late_removals.pop())
        elif part == "loss" and world.bucket:
            key = one(sorted(world.bucket), index)
            world.bucket.remove(key)
            world.stored.lost.add(key)
        world.look()
        for key in sorted(world.stored.lost) if part == "mend" else ():
            self.do(keepers.mend(world, key))
