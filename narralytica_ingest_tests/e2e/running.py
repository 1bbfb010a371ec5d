"""A running stack for end-to-end tests: the real daemon, workers, servers and UI of a home of their own."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psutil

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.local.stack import Stack
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.store import jobs
from narralytica_ingest.store.database import Database, Row

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Graph = dict[str, Any]


@dataclass
class Running:
    """Handles on a running stack."""

    settings: Settings
    endpoints: Endpoints
    ui_url: str
    events: list[str]

    @property
    def database(self) -> Database:
        return Database(self.endpoints.postgres_url)

    @property
    def s3(self) -> "S3Client":
        return make_client(self.endpoints.s3)

    def insert(self, **values: object) -> UUID:
        """Inserts a job as the API does, in plain SQL."""
        names, holes = ", ".join(values), ", ".join(["%s"] * len(values))
        row = self.database.all(
            f"INSERT INTO ingest_jobs ({names}) VALUES ({holes}) RETURNING job_id", list(values.values())
        )
        return UUID(str(row[0]["job_id"]))

    def job(self, job_id: UUID) -> Row:
        return self.database.all("SELECT * FROM ingest_jobs WHERE job_id = %s", (job_id,))[0]

    def record(self, job_id: UUID | str) -> Row:
        with self.database.transaction() as connection:
            found = jobs.record(connection, str(job_id))
        assert found is not None
        return found

    def wait_for(self, said: str, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Waits until the condition holds; fails with what was waited for."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {said}; {self.events[-5:]}"
            time.sleep(0.2)

    def finish(self, *job_ids: UUID, seconds: float = 90) -> list[Row]:
        """Waits for the end of these jobs and returns their rows."""
        self.wait_for(
            f"the end of {len(job_ids)} jobs",
            lambda: all(self.job(each)["status"] in jobs.TERMINAL for each in job_ids),
            seconds,
        )
        return [self.job(each) for each in job_ids]

    def wait_for_bytes(self, job_id: UUID, size: int = 1) -> Row:
        """Waits until the job's download has so many bytes, and returns its row."""
        self.wait_for("the download", lambda: (self.job(job_id)["progress"] or {}).get("bytes", 0) >= size)
        return self.job(job_id)

    def cancel(self, job_id: UUID) -> None:
        """Asks for a cancel as the API does."""
        self.database.all("UPDATE ingest_jobs SET cancel_requested = true WHERE job_id = %s RETURNING 1", (job_id,))

    def partitions(self) -> set[str]:
        """The videos that Dagster shows."""
        rows = self.database.all(
            "SELECT partition FROM dagster.dynamic_partitions WHERE partitions_def_name = 'videos'"
        )
        return {row["partition"] for row in rows}

    def objects(self) -> dict[str, int]:
        """Keys and sizes of all media files in the bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.settings.s3_bucket, Prefix="media/")
        return {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", [])}

    def body(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.settings.s3_bucket, Key=key)["Body"].read()

    def graphql(self, query: str, **variables: Any) -> Graph:
        """What the UI's own buttons send."""
        request = urllib.request.Request(
            f"{self.ui_url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: Graph = json.load(response)
        assert "errors" not in answer, answer["errors"]
        data: Graph = answer["data"]
        return data

    def backfill(self, assets: list[str], partitions: list[str]) -> str:
        """Starts a backfill as the UI does, and returns its id."""
        query = """
        mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
            __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
        keys = [{"path": [name]} for name in assets]
        answer = self.graphql(query, params={"assetSelection": keys, "partitionNames": partitions})
        return str(answer["launchPartitionBackfill"]["backfillId"])

    def backfill_runs(self, backfill_id: str) -> list[tuple[str, str]]:
        """Ids and statuses of a backfill's runs."""
        query = """
        query ($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs { results { runId status } } } }"""
        tags = [{"key": "dagster/backfill", "value": backfill_id}]
        runs = self.graphql(query, filter={"tags": tags})["runsOrError"]["results"]
        return [(run["runId"], run["status"]) for run in runs]

    def backfill_is_over(self, backfill_id: str) -> bool:
        """Whether it made runs and all of them have ended."""
        runs = self.backfill_runs(backfill_id)
        return bool(runs) and all(status in ("SUCCESS", "FAILURE", "CANCELED") for _, status in runs)

    def run_status(self, run_id: str) -> str:
        query = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        return str(self.graphql(query, id=run_id)["runOrError"]["status"])

    def terminate(self, run_id: str) -> None:
        """The UI's *Terminate*."""
        query = """
        mutation ($id: String!) { terminateRun(runId: $id) {
            __typename ... on TerminateRunFailure { message } ... on PythonError { message } } }"""
        answer = self.graphql(query, id=run_id)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def kill_worker(self) -> None:
        """Kills the worker and every run in it, as a machine does that loses its power."""
        worker = self.worker()
        processes = [*worker.children(recursive=True), worker]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=5)

    def worker(self) -> psutil.Process:
        """The Celery worker's main process."""
        for child in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):  # a zombie has no command line
                if "express,dagster" in child.cmdline():
                    return child
        raise AssertionError("no worker runs")


@contextmanager
def running_stack(home: Path, **settings: Any) -> Iterator[Running]:
    """Starts the whole stack, looks after it in a thread, and stops it."""
    chosen = Settings(home=home, ui_port=0, **settings)
    events: list[str] = []
    stopping = threading.Event()

    def supervise(stack: Stack) -> None:
        while not stopping.wait(0.3):
            stack.supervise()

    with Stack(chosen, events.append) as stack:
        endpoints = stack.start()
        stack.wait_until_ready()
        thread = threading.Thread(target=supervise, args=(stack,))
        thread.start()
        try:
            yield Running(chosen, endpoints, stack.ui_url, events)
        finally:
            stopping.set()
            thread.join()


def command(home: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command line on a home."""
    return subprocess.run(
        [sys.executable, "-m", "narralytica_ingest", *arguments],
        env={**os.environ, "NARRALYTICA_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )
