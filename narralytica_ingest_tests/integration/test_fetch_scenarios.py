"""The table of `scenarios/`, run through the product's own fetch and storage: the job table in Postgres, the run's
session, the fetcher with the real yt-dlp and ffmpeg, and objects in S3. Only Dagster's engine is left out.
"""

import dataclasses
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.engine.run_session import RunInfo, RunSession
from narralytica_ingest.intake import Intake
from narralytica_ingest.io_managers.s3_media import S3MediaIOManager
from narralytica_ingest.media.integrity import packet_hashes
from narralytica_ingest.media.tools import find_tools
from narralytica_ingest.resources.fetch_options import fetch_options
from narralytica_ingest.resources.fetcher import Fetcher, IsPlaylist
from narralytica_ingest.resources.media_store import MediaStore
from narralytica_ingest.sources.fetching import FetchOptions
from narralytica_ingest.store import dispatch
from narralytica_ingest.store.database import Database, Row, as_jsonb
from narralytica_ingest.store.leases import Dispatch
from narralytica_ingest_tests.fake_youtube import FakeYoutube, in_this_process, make_material
from narralytica_ingest_tests.scenarios import SCENARIOS, Expands, Fails, Published, Scenario, Web
from narralytica_ingest_tests.source_server import SourceServer, opened_to
from narralytica_ingest_tests.source_server.exceptions import SETTING

CERTIFICATE = Path(__file__).parents[1] / "source_server" / "self_signed.pem"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_material(tmp_path_factory.mktemp("material"), find_tools())


@pytest.fixture
def web(streams: Path, material: Path, tmp_path: Path) -> Iterator[Web]:
    (tmp_path / "web").mkdir()
    with (
        SourceServer(streams) as server,
        SourceServer(certificate=CERTIFICATE) as secure,
        in_this_process(server.url("")),
        opened_to("127.0.0.1", 9),  # where nobody listens
    ):
        yield Web(server, secure, FakeYoutube(server, material), streams, tmp_path / "web")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_the_source_does_has_its_outcome(
    scenario: Scenario, web: Web, settings: Settings, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = {"egress_allow": os.environ[SETTING]}  # the servers began after the settings were read
    worker = Worker(settings.model_copy(update=lab | dict(scenario.settings)), endpoints)
    if scenario.stall_seconds is not None:
        impatient = partial(with_patience, scenario.stall_seconds)
        monkeypatch.setattr("narralytica_ingest.resources.fetcher.fetch_options", impatient)
    job_id = worker.submit(scenario.serve(web), dict(scenario.options))
    for outcome in scenario.outcomes:
        before = worker.objects()
        began = datetime.now(UTC)
        worker.attempt(job_id)
        if isinstance(outcome, Published):
            check_published(worker, web, job_id, outcome)
        elif isinstance(outcome, Fails):
            check_failure(worker.job(job_id), outcome, began)
            assert worker.media_files() == []
            assert worker.objects() == before, "nothing is stored"
        else:
            check_expanded(worker, job_id, outcome)
            assert worker.objects() == before, "nothing is stored"
        assert not list((settings.home / "scratch").glob("*")), "no scratch is left"


def with_patience(seconds: float, settings: Settings, video: Row) -> FetchOptions:
    return dataclasses.replace(fetch_options(settings, video), stall_seconds=seconds)


class Worker:
    """What the sensor and a run do, without their engine."""

    def __init__(self, settings: Settings, endpoints: Endpoints) -> None:
        self.settings = settings
        self.endpoints = endpoints
        self.database = Database(endpoints.postgres_url)
        self.store = MediaStore(settings, self.database, endpoints.s3)

    def submit(self, url: str, options: dict[str, Any]) -> Any:
        row = self.database.all(
            "INSERT INTO ingest_jobs (source_url, options, max_attempts) VALUES (%s, %s, 5) RETURNING job_id",
            (url, as_jsonb(options)),
        )
        return row[0]["job_id"]

    def attempt(self, job_id: Any) -> None:
        """Claims the job, whatever it waits for, and does what `raw_video` does in a run."""
        self.database.all("UPDATE ingest_jobs SET not_before = NULL WHERE job_id = %s RETURNING 1", (job_id,))
        self.database.all("UPDATE hosts SET cool_until = NULL, refusals = 0 RETURNING 1")
        Intake(self.settings, self.endpoints).admit()
        with self.database.transaction() as connection:
            claimed = dispatch.claim(connection, self.settings.dispatch_window)
        if not claimed:
            return  # refused before any run
        (mine,) = claimed
        told = Dispatch(mine.job_id, mine.attempt)
        run = RunInfo(f"run-{time.monotonic_ns()}", mine.video_id, told, False, lambda: False, lambda: None)
        with RunSession(self.settings, self.database, run, logging.getLogger("test")) as session, suppress(dg.Failure):
            with session.stage("fetch"):
                assert session.take([mine.video_id])
                try:
                    new = Fetcher(self.settings, session, self.store).fetch(mine.video_id)
                except IsPlaylist:
                    return
            S3MediaIOManager(session, self.store).handle_output(dg.build_output_context(), new)

    def job(self, job_id: Any) -> Row:
        return self.database.all("SELECT * FROM ingest_jobs WHERE job_id = %s", (job_id,))[0]

    def media_files(self) -> list[Row]:
        return self.database.all("SELECT * FROM media_files ORDER BY media_file_id")

    def objects(self) -> set[str]:
        pages = self.store.client.get_paginator("list_objects_v2").paginate(Bucket=self.settings.s3_bucket)
        return {each["Key"] for page in pages for each in page.get("Contents", [])}

    def body(self, row: Row) -> bytes:
        return self.store.client.get_object(Bucket=row["bucket"], Key=row["object_key"])["Body"].read()


def check_published(worker: Worker, web: Web, job_id: Any, wanted: Published) -> None:
    files = worker.media_files()
    said = worker.job(job_id)
    assert files, f"nothing was published: {said['error_code']}: {said['error_message']}"
    for each in files:
        body = worker.body(each)
        assert (len(body), hashlib.sha256(body).hexdigest()) == (each["size_bytes"], each["sha256"])
    original = next(each for each in files if each["kind"] == "raw_video")
    assert original["object_key"].endswith(f".{wanted.extension}")
    if wanted.file is not None:
        assert original["sha256"] == hashlib.sha256(wanted.file).hexdigest()
    if wanted.tracks is not None:
        check_tracks(worker.body(original), wanted.tracks(web), web.folder)
    contacted = worker.database.all("SELECT host, bytes_received FROM hosts_contacted WHERE job_id = %s", (job_id,))
    assert sum(row["bytes_received"] for row in contacted if row["host"] in ("127.0.0.1", "localhost")) > 1000
    info = json.loads(worker.body(next(each for each in files if each["kind"] == "source_info")))
    assert {name: info.get(name) for name in wanted.info} == wanted.info
    if wanted.beside is not None:
        beside = [(f["kind"], f["language"], f["origin"]) for f in files if f["kind"] in ("thumbnail", "captions")]
        assert sorted(map(str, beside)) == sorted(map(str, wanted.beside))
    for name, most in wanted.sent_at_most.items():
        assert web.server.sent[name] <= most, f"{name} was fetched again"
    for name in wanted.resumed:
        spans = [span for asked, span in web.server.ranges if asked == name]
        assert any(not span.startswith("bytes=0-") for span in spans), f"{name} was never continued"
    for name in wanted.untouched:
        assert not web.server.requests[name]


def check_tracks(stored: bytes, served: list[Path], folder: Path) -> None:
    tools = find_tools()
    (folder / "stored").write_bytes(stored)
    wanted = [track for path in served for track in packet_hashes(path, tools)]
    assert sorted(packet_hashes(folder / "stored", tools)) == sorted(wanted)


def check_failure(job: Row, wanted: Fails, began: datetime) -> None:
    assert (job["error_class"], job["error_code"]) == (wanted.failure_class, wanted.code), job["error_message"]
    assert len(job["error_message"].split()) > 5, "a sentence with advice"
    assert "127.0.0.1" not in job["error_message"]
    ends = wanted.failure_class in ("permanent", "needs_operator")
    assert job["status"] == ("failed" if ends else "queued")
    if wanted.failure_class == "not_yet":
        assert job["failures"] == 0, "waiting costs no attempt"
    if wanted.retry_in is not None:
        assert wanted.retry_in[0] < (job["not_before"] - began).total_seconds() < wanted.retry_in[1]


def check_expanded(worker: Worker, job_id: Any, wanted: Expands) -> None:
    job = worker.job(job_id)
    assert (job["status"], job["outcome"]) == ("succeeded", "expanded"), job["error_message"]
    children = worker.database.all(
        "SELECT source_url FROM ingest_jobs WHERE parent_job_id = %s ORDER BY created_at", (job_id,)
    )
    assert tuple(child["source_url"] for child in children) == wanted.urls
    assert job["playlist"]["more"] is wanted.more
