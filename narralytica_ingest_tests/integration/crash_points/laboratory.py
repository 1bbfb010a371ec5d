"""Where one ingestion is tried again and again: always from the same beginning, and killed where the test says.

What belongs here: setting database, bucket and disk back, ordering lives, and letting time pass without waiting for it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

import narralytica_ingest
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.store import jobs
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.migrate import migrate
from narralytica_ingest_tests.integration.crash_points import lives
from narralytica_ingest_tests.integration.crash_points.end_state import Place
from narralytica_ingest_tests.integration.crash_points.lives import Order
from narralytica_ingest_tests.integration.crash_points.points import Kill, Point, read_points
from narralytica_ingest_tests.source_server.exceptions import SETTING

KILLED = -9
PROJECT = Path(narralytica_ingest.__file__).parents[1]

# A run lives for a second here: no heartbeat comes between its writes, and whoever holds a lease no longer has died.
_QUICK = {
    "HEARTBEAT_SECONDS": "600",
    "LEASE_SECONDS": "0.2",
    "RETRY_BASE_SECONDS": "0",
    "SWEEP_GRACE_SECONDS": "0",
    "KEEP_FREE_BYTES": "0",
}
_HOUR = 3600


@dataclass(frozen=True)
class Scenario:
    """An ingestion: the jobs that were done before it begins, what changes then, and its own act."""

    name: str
    act: str
    arguments: Mapping[str, Any]
    before: Sequence[Mapping[str, Any]] = ()
    change: Callable[[], object] = field(default=lambda: None)


class Bearer:
    """The process that forks a child for each life."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def live(self, order: Order) -> int:
        """The exit code of the child; KILLED if it died at its point."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order.as_line())
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def bearer(folder: Path) -> Iterator[Bearer]:
    """Runs within the block, with a clean environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NARRALYTICA_")}
    with (
        (folder / "bearer.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", lives.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=PROJECT,
            env=environment,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield Bearer(process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)


class Laboratory:
    """One scenario with a database, buckets and a home of its own. `begin` comes before every trial."""

    def __init__(self, endpoints: Endpoints, bearer: Bearer, folder: Path, scenario: Scenario) -> None:
        self._endpoints, self._bearer, self.scenario = endpoints, bearer, scenario
        self._home, self._output, self._points = folder / "home", folder / "output", folder / "points"
        self._name = f"crash_{scenario.name}"
        self._bucket = self._name.replace("_", "-")
        self._kept = f"{self._bucket}-kept"
        self._client = make_client(endpoints.s3)
        self._url = f"{endpoints.postgres_url.rsplit('/', 1)[0]}/{self._name}"
        self.place = Place(Database(self._url), self._client, self._bucket, self._home)
        for bucket in (self._bucket, self._kept):
            self._make_bucket(bucket)
        self._copy_database("template1", self._name)
        migrate(self._url)
        self._make_home()
        self._live("tend")  # sensors have looked once: they know where the events begin
        for job in scenario.before:
            self._live("ingest", **job)
        self.recover()
        scenario.change()
        self._copy_database(self._name, f"{self._name}_kept")
        self._copy_bucket(self._bucket, self._kept)

    # ---- a trial -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Everything is as it was before the ingestion."""
        self._copy_database(f"{self._name}_kept", self._name)
        self._copy_bucket(self._kept, self._bucket)
        self._make_home()

    def act(self, kill: Kill | None = None) -> list[Point]:
        """The ingestion, until it ends or is killed. Returns the writes that were seen."""
        return self._live(self.scenario.act, kill, **self.scenario.arguments)

    def submit(self) -> None:
        """The API does not know whether it was heard, and repeats itself with the same idempotency key."""
        if self.scenario.act != "ingest":
            return
        with self.place.database.transaction() as connection:
            jobs.insert(connection, jobs.JobRequest(**self.scenario.arguments))

    def tend(self, kill: Kill | None = None) -> list[Point]:
        """An hour later everything that puts things right has its look."""
        self._let_time_pass()
        return self._live("tend", kill)

    def recover(self, hours: int = 6) -> None:
        """Every hour everything that puts things right looks, and what comes of it is done, until all is settled."""
        for _ in range(hours):
            if self.place.is_settled():
                return
            self._let_time_pass()
            self._live("look_after")

    def _live(self, act: str, kill: Kill | None = None, **arguments: Any) -> list[Point]:
        order = Order(act, arguments, self._environment(), str(self._points), str(self._output), kill)
        code = self._bearer.live(order)
        wanted = KILLED if kill else 0
        assert code == wanted, f"{act} ended with {code} instead of {wanted}:\n{self.output()}"
        return read_points(self._points)

    def output(self) -> str:
        """The end of what the lives of this trial said."""
        return self._output.read_text(errors="replace")[-6000:]

    # ---- beginnings --------------------------------------------------------------------------------------------

    def _environment(self) -> dict[str, str]:
        s3, database = self._endpoints.s3, Endpoints(self._url, "", self._endpoints.s3)
        ours = _QUICK | {
            "HOME": str(self._home),
            "POSTGRES_URL": self._url,
            "S3_ENDPOINT_URL": str(s3.url),
            "S3_ACCESS_KEY_ID": str(s3.access_key_id),
            "S3_SECRET_ACCESS_KEY": str(s3.secret_access_key),
            "S3_BUCKET": self._bucket,
            "EGRESS_ALLOW": os.environ.get(SETTING, ""),
        }
        return {f"NARRALYTICA_{name}": value for name, value in ours.items()} | {
            "DAGSTER_HOME": str(self._home / "dagster"),
            "DAGSTER_COMPUTE_LOGS": str(self._home / "compute_logs"),
            "DAGSTER_MAX_CONCURRENT_RUNS": "4",
            "DAGSTER_POSTGRES_URL": database.dagster_postgres_url,
            "BROKER_URL": "memory://",
            "RESULT_BACKEND_URL": "cache+memory://",
        }

    def _make_home(self) -> None:
        shutil.rmtree(self._home, ignore_errors=True)
        (self._home / "dagster").mkdir(parents=True)
        (self._home / "dagster" / "dagster.yaml").symlink_to(PROJECT / "dagster.yaml")
        self._output.unlink(missing_ok=True)

    def _copy_database(self, source: str, target: str) -> None:
        with psycopg.connect(self._endpoints.postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {target} TEMPLATE {source}")

    def _make_bucket(self, bucket: str) -> None:
        """An empty bucket, whatever an earlier laboratory left in it."""
        with suppress(self._client.exceptions.BucketAlreadyExists, self._client.exceptions.BucketAlreadyOwnedByYou):
            self._client.create_bucket(Bucket=bucket)
        for upload in self._client.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            self._client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        for each in self._client.list_objects_v2(Bucket=bucket).get("Contents", []):
            self._client.delete_object(Bucket=bucket, Key=each["Key"])

    def _copy_bucket(self, source: str, target: str) -> None:
        self._make_bucket(target)
        for each in self._client.list_objects_v2(Bucket=source).get("Contents", []):
            self._client.copy_object(Bucket=target, Key=each["Key"], CopySource={"Bucket": source, "Key": each["Key"]})

    # ---- time --------------------------------------------------------------------------------------------------

    def _let_time_pass(self) -> None:
        """Everything that is dated was an hour ago: leases, waits, runs and files."""
        with psycopg.connect(self._url) as connection:
            for (statement,) in connection.execute(_MAKE_OLDER).fetchall():
                connection.execute(statement)
        for path in self._home.rglob("*"):
            with suppress(FileNotFoundError):
                dated = path.lstat().st_mtime - _HOUR
                os.utime(path, (dated, dated), follow_symlinks=False)


# One UPDATE for each table with dates, made by the database itself. Dagster's events and ticks keep theirs, and so do
# heartbeats (one that is older than the server would be from before an outage) and what videos say of themselves.
_MAKE_OLDER = """
SELECT format('UPDATE %I.%I SET %s', table_schema, table_name,
              string_agg(format('%1$I = %1$I - interval ''1 hour''', column_name), ', '))
  FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
 WHERE table_type = 'BASE TABLE' AND data_type LIKE 'timestamp%'
   AND column_name NOT IN ('heartbeat_at', 'published_at', 'uploaded_at', 'recorded_at')
   AND (table_schema = 'public' OR (table_schema, table_name) = ('dagster', 'runs'))
 GROUP BY table_schema, table_name
"""
