"""Outages, kills, stops and cancels on the real stack: runs ride through, or are handed back, and nothing stays."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import load_embedded
from narralytica_ingest.local.home import locked
from narralytica_ingest.local.postgres import EmbeddedPostgres
from narralytica_ingest.local.services import hold
from narralytica_ingest.media.tools import find_tools
from narralytica_ingest.store import jobs
from narralytica_ingest.store.database import Database, Row
from narralytica_ingest_tests.e2e.running import Running, running_stack
from narralytica_ingest_tests.e2e.test_control import SECONDS_TO_STOP, slow
from narralytica_ingest_tests.e2e.test_up import left_behind, up
from narralytica_ingest_tests.e2e.test_whole_way import unique
from narralytica_ingest_tests.s3_gateway import S3Gateway
from narralytica_ingest_tests.source_server import SourceServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# 8 s for the workers by default, and the other processes and servers, on a machine that has more to do.
SECONDS_TO_END = 25

# The real ffmpeg, that reads as slowly as in real time when it makes the audio track and somebody wants it so.
SLOW_FFMPEG = """#!/bin/sh
case "$*" in *"f=flac]"*) [ -e {flag} ] && exec {ffmpeg} -readrate 0.3 "$@" ;; esac
exec {ffmpeg} "$@"
"""


@dataclass
class Interrupted:
    """A stack whose uploads and extractions can be made slow."""

    stack: Running
    gateway: S3Gateway
    extracts_slowly: Path


@pytest.fixture(scope="module")
def slowed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interrupted]:
    home, s3_home = tmp_path_factory.mktemp("interrupted"), tmp_path_factory.mktemp("s3")
    tools, flag = find_tools(), home / "slow"
    ffmpeg = home / "ffmpeg"
    ffmpeg.write_text(SLOW_FFMPEG.format(flag=flag, ffmpeg=tools.ffmpeg))
    ffmpeg.chmod(0o755)
    settings = {
        "workers": 2, "lease_seconds": 6.0, "heartbeat_seconds": 1.0, "retry_base_seconds": 1.0,
        "ffmpeg": ffmpeg, "ffprobe": tools.ffprobe,
    }  # fmt: skip
    with hold(Settings(home=s3_home), postgres=False) as endpoints, S3Gateway(endpoints.s3) as gateway:
        s3 = gateway.endpoint
        settings |= {
            "s3_endpoint_url": s3.url,
            "s3_access_key_id": s3.access_key_id,
            "s3_secret_access_key": s3.secret_access_key,
        }
        with running_stack(home / "home", **settings) as running:
            yield Interrupted(running, gateway, flag)


@pytest.fixture
def stack(slowed: Interrupted) -> Iterator[Running]:
    """The stack at full speed again after each test, with all jobs ended."""
    yield slowed.stack
    slowed.gateway.seconds_per_body = 0.0
    slowed.extracts_slowly.unlink(missing_ok=True)
    left = slowed.stack.database.all("SELECT job_id FROM ingest_jobs WHERE finished_at IS NULL")
    for row in left:
        slowed.stack.cancel(row["job_id"])
    slowed.stack.finish(*[row["job_id"] for row in left])


@contextmanager
def postgres_away(home: Path) -> Iterator[None]:
    """Within the block the home's Postgres is stopped; `up`, which would start it again, waits for the lock."""
    postgres = EmbeddedPostgres(home)
    with locked(home / "run" / "postgres.lock"):
        postgres.stop()
        yield
        postgres.ensure()


def tools_at_work() -> list[psutil.Process]:
    """The media tools of this stack's runs."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if each.status() != psutil.STATUS_ZOMBIE and each.name().startswith("ff"):
                found.append(each)
    return found


def run_status(stack: Running, run_id: str) -> str:
    """From Dagster's tables: the UI may be in trouble for a moment."""
    return str(stack.database.all("SELECT status FROM dagster.runs WHERE run_id = %s", (run_id,))[0]["status"])


def worker_of(stack: Running, processes: int = 2) -> tuple[psutil.Process, list[psutil.Process]]:
    """The worker and its pool's processes, when all of them are there. (What just died is a zombie for a moment.)"""
    found: list[psutil.Process] = []

    def is_there() -> bool:
        with suppress(psutil.NoSuchProcess, StopIteration):
            worker = stack.worker()
            found[:] = [worker, *worker.children()]
        return len(found) == 1 + processes

    stack.wait_for("the worker", is_there)
    return found[0], found[1:]


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def seconds_until(condition: Callable[[], bool], limit: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit
        time.sleep(0.02)
    return time.monotonic() - began


def extracting(slowed: Interrupted, source: SourceServer, path: str) -> tuple[UUID, list[psutil.Process]]:
    """A job whose audio track is being made, and the tools that make and measure it."""
    slowed.extracts_slowly.touch()
    job_id = slowed.stack.insert(source_url=unique(source, path, path.encode())[0])
    slowed.stack.wait_for("the extraction", lambda: len(tools_at_work()) == 2 and at(slowed, job_id, "audio"))
    return job_id, tools_at_work()


def at(slowed: Interrupted, job_id: UUID, stage: str) -> bool:
    return (slowed.stack.job(job_id)["progress"] or {}).get("stage") == stage


# ---- outages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away", [3.0, 20.0])
def test_a_postgres_that_is_away_costs_no_run(stack: Running, source: SourceServer, away: float) -> None:
    """The leases of this stack last for 6 s: the longer outage outlasts them."""
    first = stack.insert(source_url=slow(source, f"/outage-{away}.mp4", rate=20_000.0))
    second = stack.insert(source_url=slow(source, f"/short-{away}.mp4", rate=60_000.0))
    stack.wait_for_bytes(first)
    stack.wait_for_bytes(second)
    with postgres_away(stack.settings.home):
        time.sleep(away)
    rows = stack.finish(first, second, seconds=100)
    assert [(row["status"], row["attempt"], row["failures"]) for row in rows] == [("succeeded", 1, 0)] * 2
    stack.wait_for("the runs", lambda: {run_status(stack, row["run_id"]) for row in rows} == {"SUCCESS"}, 10)


# ---- kills -----------------------------------------------------------------------------------------------------------


def test_a_killed_run_takes_its_tools_along_and_is_running_again_soon(
    slowed: Interrupted, stack: Running, source: SourceServer
) -> None:
    job_id, tools = extracting(slowed, source, "/killed-run.mp4")
    run = next(each for each in worker_of(stack)[1] if tools[0] in each.children(recursive=True))
    run.kill()
    assert seconds_until(lambda: all(is_gone(each) for each in tools), 1.0) < 1.0
    slowed.extracts_slowly.unlink()
    stack.wait_for("the next attempt", lambda: stack.job(job_id)["attempt"] == 2, 60)
    row = stack.finish(job_id)[0]
    assert (row["outcome"], row["failures"]) == ("ingested", 1)


def test_runs_of_a_killed_worker_hand_their_jobs_back_and_no_process_stays(
    slowed: Interrupted, stack: Running, source: SourceServer
) -> None:
    job_id, tools = extracting(slowed, source, "/killed-worker.mp4")
    worker, children = worker_of(stack)  # one of them is idle
    worker.kill()
    took = seconds_until(lambda: all(is_gone(each) for each in (*tools, *children)), 10)
    assert took < 5
    row = stack.job(job_id)
    assert row["status"] in ("queued", "dispatched"), "the daemon claims it again at once"
    assert (row["error_code"], row["failures"]) == ("interrupted", 0)
    slowed.extracts_slowly.unlink()
    row = stack.finish(job_id, seconds=60)[0]
    assert (row["outcome"], row["attempt"], row["failures"]) == ("ingested", 2, 0)


def test_a_worker_whose_idle_processes_are_killed_works_again(stack: Running, source: SourceServer) -> None:
    """One of them may have held the lock under which all take their tasks."""
    for idle in worker_of(stack)[1]:
        idle.kill()
    row = stack.finish(stack.insert(source_url=unique(source, "/after-idle.mp4", b"after idle")[0]), seconds=60)[0]
    assert (row["outcome"], row["attempt"], row["failures"]) == ("ingested", 1, 0)


# ---- cancel ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["fetch", "store", "audio"])
def test_a_cancel_ends_the_run_wherever_it_is(
    slowed: Interrupted, stack: Running, source: SourceServer, stage: str
) -> None:
    path = f"/cancel-{stage}.mp4"
    if stage == "audio":
        job_id, _ = extracting(slowed, source, path)
    else:
        slowed.gateway.seconds_per_body = 5.0 if stage == "store" else 0.0
        job_id = stack.insert(source_url=slow(source, path) if stage == "fetch" else unique(source, path, b"c")[0])
        stack.wait_for(f"the stage {stage}", lambda: at(slowed, job_id, stage))
    stack.cancel(job_id)
    row = stack.finish(job_id, seconds=SECONDS_TO_STOP)[0]
    assert (row["status"], row["failures"]) == ("canceled", 0)
    stack.wait_for("the run", lambda: run_status(stack, row["run_id"]) == "CANCELED", SECONDS_TO_STOP)
    assert nothing_is_left_of(stack, row)
    files, seen = files_of(stack, row), media_objects(stack)
    time.sleep(3)
    assert files_of(stack, row) == files
    assert media_objects(stack) == seen

    slowed.gateway.seconds_per_body = 0.0
    slowed.extracts_slowly.unlink(missing_ok=True)
    source.resources[path].rate = None
    with stack.database.transaction() as connection:
        jobs.retry(connection, job_id)
    assert stack.finish(job_id)[0]["outcome"] == "ingested"


def nothing_is_left_of(stack: Running, row: Row) -> bool:
    (video,) = stack.database.all("SELECT status, lease_run_id FROM videos WHERE video_id = %s", (row["video_id"],))
    assert (video["status"], video["lease_run_id"]) == ("pending", None)
    assert not (stack.settings.home / "scratch" / row["run_id"]).exists()
    assert not (stack.settings.home / "partial" / row["video_id"]).exists()
    return not tools_at_work()


def media_objects(stack: Running) -> set[str]:
    """All but those by which the stack tries its bucket."""
    return {key for key in stack.objects() if "/probe/" not in key}


def files_of(stack: Running, row: Row) -> list[Row]:
    return stack.database.all("SELECT * FROM media_files WHERE video_id = %s ORDER BY 1", (row["video_id"],))


def test_a_cancel_ends_jobs_whose_runs_wait_and_these_runs(stack: Running, source: SourceServer) -> None:
    ids = [stack.insert(source_url=slow(source, f"/waiting-{number}.mp4")) for number in range(9)]

    def runs() -> dict[UUID, str]:
        rows = stack.database.all(
            "SELECT r.status, t.value FROM dagster.runs r JOIN dagster.run_tags t USING (run_id)"
            " WHERE t.key = 'dagster/run_key'"
        )
        found = {row["value"].split(":")[0]: row["status"] for row in rows}
        return {job_id: found.get(str(job_id), "") for job_id in ids}

    stack.wait_for("the runs", lambda: {"QUEUED", "STARTING", "STARTED"} <= set(runs().values()))
    waiting = [job_id for job_id, status in runs().items() if status in ("QUEUED", "STARTING")]
    for job_id in waiting:
        stack.cancel(job_id)
    rows = stack.finish(*waiting, seconds=SECONDS_TO_STOP)
    assert {row["status"] for row in rows} == {"canceled"}
    # A worker that had a run's message already found nothing to do: that is no failure.
    stack.wait_for("the runs to end", lambda: {runs()[job_id] for job_id in waiting} <= {"CANCELED", "SUCCESS"}, 60)


# ---- shutdown --------------------------------------------------------------------------------------------------------


def test_a_stopped_stack_hands_its_jobs_back_and_goes_on_where_it_was(tmp_path: Path, source: SourceServer) -> None:
    home, path = tmp_path / "home", "/shutdown.mp4"
    url = slow(source, path)
    first = up(home, "--submit", url)
    deadline = time.monotonic() + 90
    while source.sent[path] < 100_000:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    began = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        first.send_signal(number)
        time.sleep(0.3)
    first.communicate(timeout=40)
    assert time.monotonic() - began < SECONDS_TO_END
    assert left_behind(home) == []
    with hold(Settings(home=home), s3=False) as endpoints:
        (row,) = Database(endpoints.postgres_url).all("SELECT * FROM ingest_jobs")
    # The daemon, which ends at the same time, may have claimed it once more.
    assert row["status"] in ("queued", "dispatched")
    assert (row["error_code"], row["failures"]) == ("interrupted", 0)
    assert list((home / "partial" / row["video_id"]).iterdir())

    source.resources[path].rate = None
    asked = len(source.ranges)
    second = up(home)
    seconds_until(lambda: status_in(home) == "succeeded", 90)
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=40)
    spans = [span for name, span in source.ranges[asked:] if name == path]
    resumed = [span for span in spans if span and not span.startswith("bytes=0-")]
    assert resumed, "what was there is not fetched again"


def status_in(home: Path) -> str | None:
    try:
        return str(Database(load_embedded(home, "postgres")["url"]).all("SELECT status FROM ingest_jobs")[0]["status"])
    except Exception as error:  # Postgres is not there yet
        print(error)
        return None


def test_a_stack_stops_in_time_though_its_database_is_away(tmp_path: Path, source: SourceServer) -> None:
    home, path = tmp_path / "home", "/shutdown-away.mp4"
    first = up(home, "--submit", slow(source, path))
    seconds_until(lambda: source.sent[path] > 50_000, 90)
    with locked(home / "run" / "postgres.lock"):
        EmbeddedPostgres(home).stop()
        began = time.monotonic()
        first.send_signal(signal.SIGTERM)
        seconds_until(lambda: not workers_of(home), 20)
        assert time.monotonic() - began < SECONDS_TO_END
    first.communicate(timeout=40)
    assert left_behind(home) == []


def workers_of(home: Path) -> list[str]:
    return [line for line in left_behind(home) if "celery" in line]
