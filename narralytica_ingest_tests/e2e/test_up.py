"""`narralytica-ingest up` as a person starts it: exit codes, what it leaves behind, accidents, other services."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import load_embedded
from narralytica_ingest.local.identity import Identity
from narralytica_ingest.local.services import hold
from narralytica_ingest.store.database import Database
from narralytica_ingest_tests.e2e.running import Running, running_stack
from narralytica_ingest_tests.e2e.test_whole_way import unique
from narralytica_ingest_tests.source_server import SAMPLE, SourceServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def up(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "narralytica_ingest", "up", "--port", "0", *arguments],
        env={**os.environ, "NARRALYTICA_HOME": str(home), "NARRALYTICA_LEASE_SECONDS": "6"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left_behind(home: Path) -> list[str]:
    """Processes that name the home in their command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            text = " ".join(process.cmdline()) + " ".join(process.environ().values())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if str(home) in text and process.pid != os.getpid():
            found.append(" ".join(process.cmdline())[:100])
    return found


def test_up_ingests_prints_and_ends_and_a_second_up_finds_its_state_again(tmp_path: Path, source: SourceServer) -> None:
    home, clip = tmp_path / "home", tmp_path / "a clip.mp4"
    shutil.copy(SAMPLE, clip)
    good = ["--submit", str(clip), "--submit", source.url("/page.html"), "--exit-when-done", "--json"]

    first = up(home, *good)
    records: list[dict[str, Any]] = json.loads(first.communicate(timeout=200)[0])
    assert first.returncode == 0
    assert [record["job"]["outcome"] for record in records] == ["ingested", "ingested"]
    assert [record["job"]["source_url"] for record in records] == [None, source.url("/page.html")]
    assert set(records[0]) == {"job", "video", "media_files", "metadata", "contacts"}
    assert left_behind(home) == []
    with hold(Settings(home=home), s3=False) as endpoints:
        runs = Database(endpoints.postgres_url).all("SELECT status FROM dagster.runs")
    assert {run["status"] for run in runs} == {"SUCCESS"}

    started = time.monotonic()
    second = up(home, *good, "--submit", "gopher://old")
    again: list[dict[str, Any]] = json.loads(second.communicate(timeout=200)[0])
    assert second.returncode == 1
    assert [record["job"]["outcome"] for record in again] == ["deduplicated", "deduplicated", None]
    assert (again[2]["job"]["error_code"], again[2]["video"], again[2]["media_files"]) == (
        "blocked_scheme",
        None,
        [],
    )
    assert [record["video"]["video_id"] for record in again[:2]] == [each["video"]["video_id"] for each in records]
    assert time.monotonic() - started < 60
    assert left_behind(home) == []


def test_after_kill_9_of_up_the_next_up_ends_what_is_left_and_brings_the_job_home(
    tmp_path: Path, source: SourceServer
) -> None:
    home = tmp_path / "home"
    url, _ = unique(source, "/kill-up.mp4", b"kill up")
    source.resources["/kill-up.mp4"].rate = 20_000.0
    first = up(home, "--submit", url)
    deadline = time.monotonic() + 90
    while source.sent["/kill-up.mp4"] < 60_000:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    first.kill()
    first.communicate(timeout=20)

    second = up(home)
    while (owner := Identity.load(home / "run" / "up.json")) is None or owner.pid != second.pid:
        assert time.monotonic() < deadline + 30
        time.sleep(0.05)
    source.resources["/kill-up.mp4"].rate = None  # not before: what the first left running could still end the job
    job: dict[str, Any] = {}
    while job.get("status") != "succeeded":
        assert time.monotonic() < deadline + 120, job
        time.sleep(0.5)
        try:
            job = Database(load_embedded(home, "postgres")["url"]).all("SELECT status, outcome FROM ingest_jobs")[0]
        except Exception as error:  # between the two, Postgres is not there for a moment
            print(error)
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=40)
    assert second.returncode in (0, 130), "the latter where the job was done before all of it was up"
    assert left_behind(home) == []


def test_two_stacks_run_side_by_side_and_urls_replace_the_embedded_services(
    stack: Running, source: SourceServer, tmp_path: Path
) -> None:
    with psycopg.connect(stack.endpoints.postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE given")
    given = stack.endpoints.postgres_url.rsplit("/", 1)[0] + "/given"
    s3 = stack.endpoints.s3
    for bucket in ("given-media", "given-uploads"):
        stack.s3.create_bucket(Bucket=bucket)
    settings: dict[str, Any] = {
        "postgres_url": given,
        "s3_endpoint_url": s3.url,
        "s3_access_key_id": s3.access_key_id,
        "s3_secret_access_key": s3.secret_access_key,
        "s3_bucket": "given-media",
        "s3_upload_bucket": "given-uploads",
    }
    with running_stack(tmp_path / "home", **settings) as other:
        assert other.ui_url != stack.ui_url
        assert not (tmp_path / "home" / "postgres").exists()
        assert not (tmp_path / "home" / "s3").exists()
        url, sha256 = unique(source, "/given.mp4", b"given")
        here, there = stack.insert(source_url=url), other.insert(source_url=url)
        assert stack.finish(here)[0]["outcome"] == "ingested"
        assert other.finish(there)[0]["outcome"] == "ingested"
        assert any(sha256 in key for key in other.objects())
