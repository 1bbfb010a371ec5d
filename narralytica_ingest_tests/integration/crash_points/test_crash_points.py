"""Killed at every write of an ingestion in turn: afterwards all is as if nothing had happened.

Each trial kills the ingestion with SIGKILL just before its n-th write to database or bucket, or just after that took
effect. It looks at what is served at this moment, lets everything that recovers do its work, and compares the end with
that of an ingestion that nothing disturbed.

`CRASH_POINT='from_a_url after write 57'` in the environment tries that one alone; the tables in the messages have all.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest_tests.integration.crash_points.end_state import differences
from narralytica_ingest_tests.integration.crash_points.laboratory import Bearer, Laboratory, bearer
from narralytica_ingest_tests.integration.crash_points.points import Kill, Point
from narralytica_ingest_tests.integration.crash_points.scenarios import SCENARIOS, World
from narralytica_ingest_tests.integration.crash_points.trials import (
    after_own_writes,
    after_writes_of_dagster,
    around_own_writes,
    check_points,
    other_own_writes,
    recovered,
    try_all,
    undisturbed,
)
from narralytica_ingest_tests.source_server import SourceServer

pytestmark = pytest.mark.timeout(600)  # dozens of ingestions each

# The trials of a scenario are shared among so many tests, and these among the processes of `make test`.
SHARES = 2

# What must be among the writes, so that no trial passes by what matters.
COMMITS = ("INSERT ingest_jobs", "INSERT videos", "INSERT publications", "INSERT media_files", "INSERT video_metadata")
IN_PARTS = ("CreateMultipartUpload", "UploadPart 1", "UploadPart 2", "CompleteMultipartUpload", "PutObject")
OF_DAGSTER = ("INSERT dynamic_partitions", "INSERT runs", "UPDATE runs", "INSERT event_logs", "UPDATE job_ticks")
NEEDED = {
    "from_a_url": (*COMMITS, *IN_PARTS, *OF_DAGSTER),
    "again": (*COMMITS, "PutObject", "DELETE media_files"),
    "from_an_upload": (*COMMITS, "CopyObject"),
}
LEAST = 15  # of our own

Opened = Callable[[str], Laboratory]
Chosen = Callable[[Sequence[Point]], list[Kill]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, services: Endpoints, tools: MediaTools) -> Iterator[World]:
    """What the killed processes find outside."""
    with SourceServer() as server:
        yield World(server, services, tools, tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def births(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bearer]:
    """The process that bears those that are killed."""
    with bearer(tmp_path_factory.mktemp("births")) as bearing:
        yield bearing


@pytest.fixture
def opened(world: World, births: Bearer, tmp_path: Path) -> Opened:
    """Opens the laboratory of a scenario."""
    return lambda name: Laboratory(world.endpoints, births, tmp_path, SCENARIOS[name](world))


def ended_alike(opened: Opened, name: str, chosen: Chosen, share: tuple[int, int] = (0, 1)) -> None:
    """Tries the chosen kills of an ingestion."""
    laboratory = opened(name)
    points, wanted = undisturbed(laboratory)
    assert {job["status"] for job in wanted["jobs"]} == {"succeeded"}, laboratory.output()
    check_points(points, NEEDED[name], LEAST)

    def trial(kill: Kill) -> list[str]:
        laboratory.begin()
        laboratory.act(kill)
        return recovered(laboratory, wanted)

    try_all(name, points, chosen(points), trial, share)


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
def test_a_kill_after_a_write_to_tables_or_bucket_leaves_no_trace(opened: Opened, share: int) -> None:
    ended_alike(opened, "from_a_url", after_own_writes, (share, SHARES))


@pytest.mark.thorough
@pytest.mark.parametrize("share", range(SHARES))
def test_a_kill_before_a_write_to_tables_or_bucket_leaves_no_trace(opened: Opened, share: int) -> None:
    ended_alike(opened, "from_a_url", other_own_writes, (share, SHARES))


@pytest.mark.thorough
@pytest.mark.parametrize("share", range(SHARES))
def test_a_kill_at_a_write_of_dagsters_leaves_no_trace(opened: Opened, share: int) -> None:
    ended_alike(opened, "from_a_url", after_writes_of_dagster, (share, SHARES))


@pytest.mark.thorough
@pytest.mark.parametrize("share", range(SHARES))
def test_a_kill_while_a_ready_video_is_ingested_again_leaves_no_trace(opened: Opened, share: int) -> None:
    ended_alike(opened, "again", around_own_writes, (share, SHARES))


@pytest.mark.thorough
def test_a_kill_while_an_upload_is_ingested_leaves_no_trace(opened: Opened) -> None:
    ended_alike(opened, "from_an_upload", after_own_writes)


@pytest.mark.parametrize(
    ("first", "needed"),
    [
        pytest.param("CompleteMultipartUpload", ["DELETE publications", "DeleteObject"], marks=pytest.mark.thorough),
        ("INSERT media_files", ["UPDATE videos", "UPDATE ingest_jobs"]),
    ],
)
def test_a_kill_during_the_recovery_leaves_no_trace_either(opened: Opened, first: str, needed: list[str]) -> None:
    laboratory = opened("from_a_url")
    points, wanted = undisturbed(laboratory)
    earlier = next(kill for kill in after_own_writes(points) if first in points[kill.number - 1].what)

    def tend(kill: Kill | None = None) -> list[Point]:
        laboratory.begin()
        laboratory.act(earlier)
        return laboratory.tend(kill)

    def trial(kill: Kill) -> list[str]:
        tend(kill)
        return recovered(laboratory, wanted, kills=2)

    tending = tend()
    check_points(tending, needed, len(needed))
    try_all(f"recovery after {first}", tending, after_own_writes(tending), trial)


@pytest.mark.slow
@pytest.mark.parametrize("repeated", [True, False], ids=["repeated", "left alone"])
def test_a_kill_at_a_write_of_a_deletion_leaves_nothing_of_the_video(opened: Opened, repeated: bool) -> None:
    laboratory = opened("deletion")
    points, wanted = undisturbed(laboratory)
    assert not wanted["videos"] + wanted["media_files"] + wanted["metadata"] + wanted["partitions"]
    check_points(points, ("DELETE media_files", "DELETE videos", "DeleteObject", "DELETE dynamic_partitions"), 5)
    begun = next(point.number for point in points if "DELETE videos" in point.what)

    def trial(kill: Kill) -> list[str]:
        laboratory.begin()
        laboratory.act(kill)
        if not repeated:
            return recovered(laboratory, wanted)
        laboratory.act()
        # The note about a removal that was interrupted is the sweeper's to forget.
        at_once = {name: rows for name, rows in wanted.items() if name != "leftovers"}
        return differences(at_once, laboratory.place.end_state()) or recovered(laboratory, wanted)

    # Nothing happens between two of these writes: after the one is before the next.
    kills = [Kill(point.number, after=True) for point in points if point.number >= begun]
    try_all("deletion", points, kills, trial)
