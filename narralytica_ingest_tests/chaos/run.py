"""One chaos run from beginning to end."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from narralytica_ingest_tests.chaos import checks, faults, people
from narralytica_ingest_tests.chaos.course import Course
from narralytica_ingest_tests.chaos.faults import DISK_FULL
from narralytica_ingest_tests.chaos.report import Report
from narralytica_ingest_tests.chaos.sweeping import sweep_all
from narralytica_ingest_tests.chaos.watch import Watch
from narralytica_ingest_tests.chaos.world import TEMPO, make_world

KINDS = (*faults.KINDS, *people.KINDS)


def run_chaos(
    home: Path,
    *,
    seed: int,
    videos: int,
    faults: int,
    workers: int,
    only: str = "",
    say: Callable[[str], None] = print,
) -> Report:
    """Runs the stack in `home` (new) under so many faults over at least so many videos, and looks what became of it.

    Of a good run nothing is left on the disk; of a bad one the home with its logs.
    """
    say(f"seed {seed}: {faults} faults over {videos} videos, {workers} workers and a spare one, in {home}")
    say("tempo: " + ", ".join(f"{name}={value}" for name, value in TEMPO.items()))
    begun = time.monotonic()
    with make_world(home, seed, workers) as world:
        say(f"disk full by: {world.disk.way}. The stack is up after {time.monotonic() - begun:.0f} s.")
        watch = Watch(world)
        kinds = [
            replace(kind, stages=world.disk.stages) if kind.name == DISK_FULL else kind
            for kind in KINDS
            if only in kind.name
        ]
        course = Course(world, watch, kinds, seed, videos, faults, say)
        course.run()
        say(f"All faults are made after {time.monotonic() - begun:.0f} s: now everything has to come to its end.")
        course.calm(120 + 4 * world.unfinished())
        checks.wait_until_quiet(world)
        for said in sweep_all(world):
            say(f"swept: {said}")
        findings = checks.check(world, watch)
        way = world.disk.way
    checks.check_ended(world, findings)
    (home / "faults.txt").write_text("\n".join(watch.made))
    report = Report(course, findings, way)
    say(report.text)
    say(
        f"seed {seed}, {time.monotonic() - begun:.0f} s in all" + ("" if report.is_good else f"; all is kept in {home}")
    )
    shutil.rmtree(home.with_name(f"{home.name}-web"), ignore_errors=True)
    if report.is_good:
        shutil.rmtree(home)
    return report
