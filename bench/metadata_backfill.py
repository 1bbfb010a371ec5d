"""How long a backfill of `video_metadata` takes, and how much memory: `python -m bench.metadata_backfill 5000`.

Real Postgres and S3 (the embedded ones) hold so many stored videos, with Dagster's own tables in that Postgres, too;
one run makes all their metadata, as a backfill in the UI does.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg
import psutil
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run_iterator

from narralytica_ingest.config import Settings
from narralytica_ingest.definitions import defs
from narralytica_ingest.endpoints import Endpoints, sqlalchemy_url
from narralytica_ingest.local.services import hold
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.partitions import videos
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.migrate import migrate
from narralytica_ingest_tests.stored_videos import store


def measure(endpoints: Endpoints, instance: dg.DagsterInstance, bucket: str, count: int) -> str:
    """Stores so many videos, makes their metadata in one run, and says what that took."""
    database, client = Database(endpoints.postgres_url), make_client(endpoints.s3)
    ids = store(database, client, bucket, range(count))
    instance.add_dynamic_partitions(str(videos.name), ids)
    process, memory, begun = psutil.Process(), list[int](), time.monotonic()
    ends = {"dagster/asset_partition_range_start": ids[0], "dagster/asset_partition_range_end": ids[-1]}
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection={dg.AssetKey("video_metadata")})
    run = instance.create_run_for_job(job, tags=ends, asset_selection=frozenset({dg.AssetKey("video_metadata")}))
    queued = time.monotonic() - begun
    for number, _ in enumerate(execute_run_iterator(InMemoryJob(job), run, instance)):  # as a worker: none is kept
        if number % 100 == 0:
            memory.append(process.memory_info().rss)
    done = instance.get_run_by_id(run.run_id)
    took = time.monotonic() - begun
    rows = database.all("SELECT count(*) AS n FROM video_metadata")[0]["n"]
    told = len(instance.get_materialized_partitions(dg.AssetKey("video_metadata")))
    return (
        f"{done.status.value if done else 'lost'}: {rows} rows, {told} partitions told, {took:.1f} s, of which "
        f"{queued:.1f} s before the run began ({took / count * 1000:.1f} ms each); "
        f"memory in the run {memory[0] / 1e6:.0f} MB at its beginning, {max(memory) / 1e6:.0f} MB at most"
    )


def main() -> None:
    """Prints the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with tempfile.TemporaryDirectory() as folder, hold(Settings(home=Path(folder) / "home")) as endpoints:
        migrate(endpoints.postgres_url)
        values = {
            "HOME": f"{folder}/home",
            "POSTGRES_URL": endpoints.postgres_url,
            "S3_ENDPOINT_URL": str(endpoints.s3.url),
            "S3_ACCESS_KEY_ID": str(endpoints.s3.access_key_id),
            "S3_SECRET_ACCESS_KEY": str(endpoints.s3.secret_access_key),
            "S3_BUCKET": "bench",
        }
        os.environ.update({f"NARRALYTICA_{name}": value for name, value in values.items()})
        make_client(endpoints.s3).create_bucket(Bucket="bench")
        with _instance(Path(folder) / "dagster", endpoints.postgres_url) as instance:
            print(measure(endpoints, instance, "bench", count))


def _instance(folder: Path, postgres_url: str) -> dg.DagsterInstance:
    """Dagster with its tables in the same Postgres."""
    folder.mkdir()
    url = sqlalchemy_url(postgres_url)
    (folder / "dagster.yaml").write_text(f"storage:\n  postgres:\n    postgres_url: {url}\n")
    return dg.DagsterInstance.from_config(str(folder))


if __name__ == "__main__":
    main()
