"""Runs the state machine for as long as you like: `python -m narralytica_ingest_tests.integration.invariants 600`."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from narralytica_ingest.config import Settings
from narralytica_ingest.local.services import hold
from narralytica_ingest.store.migrate import migrate
from narralytica_ingest_tests.integration.invariants.machine import CI, machine_on
from narralytica_ingest_tests.integration.invariants.world import Connections, World, connected

EXAMPLES = 50


def main() -> None:
    """Prints how much was done; a violation ends it with the shortest course that leads to it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=600.0)
    parser.add_argument("--steps", type=int, default=50, help="most rules in an example")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, hold(Settings(home=Path(folder))) as endpoints:
        migrate(endpoints.postgres_url)
        with connected(endpoints.postgres_url) as connections:
            run(connections, arguments.seconds, arguments.steps)


def run(connections: Connections, seconds: float, most_rules: int) -> None:
    """New random examples, a batch at a time, until the time is over."""
    started, examples, events = time.monotonic(), 0, Counter[str]()

    def count(world: World) -> None:
        nonlocal examples
        examples += 1
        events.update(world.events)

    budget = settings(CI, max_examples=EXAMPLES, stateful_step_count=most_rules)
    while (passed := time.monotonic() - started) < seconds:
        run_state_machine_as_test(machine_on(connections, count), settings=budget)
        passed = time.monotonic() - started
        said = ", ".join(f"{number:,} {what}" for what, number in events.most_common())
        sys.stdout.write(f"{passed:,.0f} s, {examples:,} examples, {events['steps'] / passed:,.0f} steps/s: {said}\n")
        sys.stdout.flush()


main()
