"""Words for tests that ingest a video the whole way in their own process: the job table, the real Dagster job with its
real resources, Postgres and S3. Only the daemon and the workers are left out.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import dagster as dg
import pytest

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.main import run
from narralytica_ingest.config import Settings
from narralytica_ingest.definitions import defs
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.engine.tags import ATTEMPT_TAG, JOB_TAG
from narralytica_ingest.intake import Intake
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.partitions import videos
from narralytica_ingest.store import artifacts, dispatch, jobs, leases, metadata_rows
from narralytica_ingest.store.artifacts import MediaFile
from narralytica_ingest.store.database import Connection, Database, Row
from narralytica_ingest.store.dispatch import Dispatched
from narralytica_ingest.store.leases import Lease
from narralytica_ingest_tests.job_table import metadata_row, start, submit

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BODY = b"the bytes of a video"


@dataclass(frozen=True)
class Installation:
    """One database, one bucket, one Dagster instance."""

    settings: Settings
    endpoints: Endpoints
    instance: dg.DagsterInstance

    @property
    def database(self) -> Database:
        return Database(self.endpoints.postgres_url)

    @property
    def s3(self) -> "S3Client":
        return make_client(self.endpoints.s3)

    def submit(self, url: str) -> UUID:
        """Inserts a job and gives it its video."""
        with self.database.transaction() as connection:
            job_id = jobs.insert(connection, jobs.JobRequest(source_url=url))
        Intake(self.settings, self.endpoints).admit()
        return job_id

    def claim(self) -> list[Dispatched]:
        """What the dispatch sensor does: identify, claim, make the partitions."""
        Intake(self.settings, self.endpoints).admit()
        with self.database.transaction() as connection:
            claimed = dispatch.claim(connection, self.settings.dispatch_window)
        self.instance.add_dynamic_partitions(str(videos.name), [each.video_id for each in claimed])
        return claimed

    def run(self, claimed: Dispatched) -> bool:
        """The run of a claimed job; whether Dagster counts it as successful."""
        done = defs.resolve_job_def("ingest").execute_in_process(
            partition_key=claimed.video_id,
            instance=self.instance,
            tags={JOB_TAG: str(claimed.job_id), ATTEMPT_TAG: str(claimed.attempt)},
            raise_on_error=False,
        )
        return done.success

    def work(self) -> list[Row]:
        """Runs whatever is queued, and returns the rows of these jobs."""
        claimed = self.claim()
        for each in claimed:
            self.run(each)
        return [self.job(each.job_id) for each in claimed]

    def ingest(self, url: str) -> Row:
        """Submits the URL and runs its job, which must succeed. Returns the video's row."""
        job_id = self.submit(url)
        self.work()
        row = self.job(job_id)
        assert row["status"] == "succeeded", row["error_message"]
        return self.database.all("SELECT * FROM videos WHERE video_id = %s", (row["video_id"],))[0]

    def job(self, job_id: UUID) -> Row:
        return self.database.all("SELECT * FROM ingest_jobs WHERE job_id = %s", (job_id,))[0]

    def files(self, video_id: str) -> dict[str, Row]:
        """The media files of a video, by kind."""
        rows = self.database.all("SELECT * FROM media_files WHERE video_id = %s", (video_id,))
        return {row["kind"]: row for row in rows}

    def objects(self) -> set[str]:
        """The media files in the bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.settings.s3_bucket, Prefix="media/")
        return {each["Key"] for page in pages for each in page.get("Contents", [])}


def put(client: "S3Client", bucket: str, kind: str, body: bytes) -> MediaFile:
    """Stores a body under its content."""
    sha256 = hashlib.sha256(body).hexdigest()
    key = f"media/{sha256[:2]}/{sha256}.bin"
    client.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"sha256": sha256}, ContentType="video/mp4")
    return MediaFile(kind, bucket, key, len(body), sha256, "video/mp4")


def commit(connection: Connection, lease: Lease, files: Sequence[MediaFile]) -> None:
    """What a run commits: the files and the metadata."""
    artifacts.commit_media_files(connection, lease, files)
    metadata_rows.commit_metadata(connection, {lease.video_id: lease}, [metadata_row(lease)])


def make_ready(database: Database, client: "S3Client", bucket: str, name: str = "v", body: bytes = BODY) -> str:
    """A video `web-<name>` that is ready, without the work: an original, which is another's, too, if that has the same
    `body`, and an audio track of its own. Returns its id."""
    files = [put(client, bucket, "raw_video", body), put(client, bucket, "audio_track", body + name.encode())]
    with database.transaction() as connection:
        submit(connection, name)
        _, lease = start(connection, f"run-{name}", window=100)
        commit(connection, lease, files)
        leases.release(connection, [lease])
    return lease.video_id


def own_bucket(client: "S3Client", monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket that `load_settings()` names from now on."""
    bucket = f"test-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    monkeypatch.setenv("NARRALYTICA_S3_BUCKET", bucket)
    return bucket


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Cli = Callable[..., Said]


@contextmanager
def command_line(capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """The command line in this process: a new one takes seconds to start."""

    def forget_consoles() -> None:
        terminal.out.cache_clear()
        terminal.err.cache_clear()

    def cli(*arguments: str) -> Said:
        forget_consoles()
        capsys.readouterr()
        code = run(arguments)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    try:
        yield cli
    finally:
        forget_consoles()
