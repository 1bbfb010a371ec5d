"""What nobody needs any more: unreferenced objects, stale uploads, files of killed runs on this machine."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import dagster as dg

from narralytica_ingest.config import Settings, load_settings
from narralytica_ingest.endpoints import resolve_endpoints
from narralytica_ingest.engine.machine_sweep import sweep_files
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.recovery import sweep
from narralytica_ingest.recovery.ownership import MARK, is_ours
from narralytica_ingest.recovery.sweep import Walk
from narralytica_ingest.store import objects
from narralytica_ingest.store.database import Database

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A tick has a minute for all of it, and a lock on a key is held while the bucket is asked.
ANSWER_SECONDS = 5.0
SAID_IN_UI = 5


@dg.sensor(
    name="sweeper",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Removes what nothing refers to: objects and uploads in the bucket, files of killed runs on the disk.",
)
def sweeper(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Asks for no runs. The cursor tells how far the walk through the bucket has come."""
    settings = load_settings()
    said: list[str] = []

    def say(sentence: str) -> None:
        context.log.info(sentence)
        said.append(sentence)

    try:
        database = Database(resolve_endpoints(settings).postgres_url)
        sweep.end_publications(database, say)
        for sentence in sweep_files(settings, database):
            say(sentence)
        _sweep_buckets(context, settings, database, say)
    except IngestError as error:
        if error.failure_class is not FailureClass.LOCAL:
            raise
        context.log.warning("the sweep goes on at the next tick: %s", error)
        said.append(error.message)
    more = f"; and {len(said) - SAID_IN_UI} more" if len(said) > SAID_IN_UI else ""
    return dg.SkipReason("; ".join(said[:SAID_IN_UI]) + more or "Nothing to sweep.")


def _sweep_buckets(
    context: dg.SensorEvaluationContext, settings: Settings, database: Database, say: Callable[[str], None]
) -> None:
    from narralytica_ingest.object_store.client import make_client

    client = make_client(resolve_endpoints(settings).s3, seconds=ANSWER_SECONDS, attempts=1)
    with database.transaction() as connection:
        buckets = objects.buckets_with_leftovers(connection)
    for bucket in sorted(buckets | {settings.s3_bucket}):
        if not _may_sweep(database, client, bucket, say):
            continue
        sweep.remove_leftovers(database, client, bucket, settings.sweep_grace_seconds, say)
        if bucket == settings.s3_bucket:
            walk = sweep.find_unknown(database, client, bucket, _walk(context.cursor), say)
            context.update_cursor(json.dumps(asdict(walk)))
            sweep.abort_stale_uploads(database, client, bucket, say)


def _may_sweep(database: Database, client: "S3Client", bucket: str, say: Callable[[str], None]) -> bool:
    try:
        ours = is_ours(database, client, bucket)
    except IngestError as error:
        if error.code != "object_missing":
            raise
        say(f"there is no bucket {bucket}: nothing is swept there")
        return False
    if not ours:
        say(f"bucket {bucket} is another installation's, as its object {MARK} says: nothing is swept there")
    return ours


def _walk(cursor: str | None) -> Walk:
    return Walk(**json.loads(cursor)) if cursor else Walk()
