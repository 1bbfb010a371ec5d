"""Whatever happens in whatever order, the invariants of docs/invariants.md hold. On a real Postgres."""

from collections.abc import Iterator

import pytest
from hypothesis.stateful import run_state_machine_as_test

from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest_tests.integration.invariants import keepers
from narralytica_ingest_tests.integration.invariants.machine import CI, Machine, machine_on
from narralytica_ingest_tests.integration.invariants.quiesce import tick
from narralytica_ingest_tests.integration.invariants.runs import Run
from narralytica_ingest_tests.integration.invariants.world import Connections, connected


@pytest.fixture
def connections(endpoints: Endpoints) -> Iterator[Connections]:
    with connected(endpoints.postgres_url) as all_three:
        yield all_three


@pytest.mark.slow
@pytest.mark.timeout(900)  # a violation takes minutes to be made short
def test_the_invariants_hold_whatever_happens(connections: Connections) -> None:
    run_state_machine_as_test(machine_on(connections), settings=CI)


def advance(machine: Machine, stage: str) -> Run:
    """Brings the only run to this stage."""
    (run,) = machine.runs
    while run.todo[0] != stage:
        run.work()
    return run


# ---- courses that once went wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", ["identify", "run"])
def test_a_name_is_given_once_though_two_give_it_at_once(connections: Connections, slow: str) -> None:
    for statements in range(6):
        machine = Machine(connections)
        machine.begin(["page-of-a"])
        machine.dispatch()
        advance(machine, "learn")
        machine.insert("a", force=False, priority=0, key=None, max_attempts=None)
        machine.race(slow, "run" if slow == "identify" else "identify", 0, 0, statements)
        machine.teardown()


def test_what_was_made_of_another_original_does_not_stay_beside_a_new_one(connections: Connections) -> None:
    machine = Machine(connections)
    machine.begin(["a"])
    tick(machine.world)
    machine.world.lose("audio_track")
    machine.bucket("mend", 0)
    machine.world.lose("raw_video")
    machine.world_changes("A")
    tick(machine.world)
    machine.teardown()


def test_a_served_original_is_not_replaced_in_place(connections: Connections) -> None:
    machine = Machine(connections)
    machine.begin(["a"])
    tick(machine.world)
    machine.world.lose("raw_video")
    machine.world_changes("A")
    machine.start_by_hand(0, ("raw_video",))
    machine.work(0, 30)
    machine.teardown()


def test_a_run_that_lost_its_lease_says_nothing_about_its_job(connections: Connections) -> None:
    machine = Machine(connections)
    machine.begin(["a"])
    machine.dispatch()
    machine.work(0, 1)
    machine.lose_lease(0, "ui")
    machine.zombie(0, ["beat"])
    machine.teardown()


def about_to_store_what_is_left_over(connections: Connections) -> tuple[Machine, Run]:
    """A video was deleted, its objects are still there, and a run has just fetched it again."""
    machine = Machine(connections)
    machine.begin(["a"])
    tick(machine.world)
    machine.person("delete", 0)
    machine.insert("a", force=False, priority=0, key=None, max_attempts=None)
    machine.dispatch()
    return machine, advance(machine, "announce")


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("slow", ["look", "remove", "announce"])
def test_sweeper_and_publisher_come_to_an_object_at_once(connections: Connections, slow: str, dies: bool) -> None:
    for statements in range(7):
        machine, run = about_to_store_what_is_left_over(connections)
        if slow == "remove":
            machine.do(keepers.begin_removal(machine.world))
        machine.begin_slowly("run" if slow == "announce" else "remove", 0, statements)
        for _ in range(6):
            machine.sweep() if slow == "announce" else run.work()
        machine.go_on(0 if dies else 100)
        machine.teardown()


def test_what_is_published_is_not_swept(connections: Connections) -> None:
    for steps in range(7):
        machine, run = about_to_store_what_is_left_over(connections)
        for _ in range(steps):
            run.work()
        machine.sweep()
        machine.work(0, 30)
        machine.teardown()


def test_a_publisher_waits_for_the_removal_that_a_dead_sweeper_asked_for(connections: Connections) -> None:
    machine, _ = about_to_store_what_is_left_over(connections)
    for index in range(3):  # whichever of the objects it is
        machine.sweeper("begin", index)
        machine.sweeper("die", index)
    machine.work(0, 6)
    while machine.world.late_removals:
        machine.bucket("late removal", 0)
    machine.teardown()


def test_a_note_about_an_object_that_is_let_go_just_now_is_kept(connections: Connections) -> None:
    """Two videos have the same bytes. The sweeper looks at what one of them left while the other one goes, too."""
    for statements in range(7):
        machine = Machine(connections)
        machine.begin(["b", "same-as-b"])
        tick(machine.world)
        machine.person("delete", 1)
        machine.race("remove", "delete", 0, 0, statements)
        machine.teardown()


@pytest.mark.parametrize("gone", [False, True])
def test_a_run_that_lost_its_lease_names_nothing(connections: Connections, gone: bool) -> None:
    machine = Machine(connections)
    machine.begin(["one-name"])
    machine.dispatch()
    run = advance(machine, "learn")
    if gone:
        machine.person("delete", 0)
    else:
        machine.lose_lease(0, "upkeep")
    run.work()
    machine.teardown()
