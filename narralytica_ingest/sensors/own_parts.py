"""Whether our own parts can take work: looked at before jobs are claimed, so that an outage costs no run."""

from functools import lru_cache
from typing import TYPE_CHECKING

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import S3Endpoint
from narralytica_ingest.engine.partials import downloads_here, free_bytes
from narralytica_ingest.failures import IngestError, code_of_machine, failure
from narralytica_ingest.object_store.client import explained, make_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The longest silence of the object store; a tick has a minute for everything.
PATIENCE_SECONDS = 3.0


def refusal(settings: Settings, endpoint: S3Endpoint) -> IngestError | None:
    """Why no job should be claimed now: this machine's disk is full, or the object store does not answer as it should.

    Costs a system call and a HEAD, and at most twice PATIENCE_SECONDS.
    """
    try:
        _look_at_disk(settings)
        _look_at_bucket(settings.s3_bucket, endpoint)
    except IngestError as error:
        return error
    return None


def _look_at_disk(settings: Settings) -> None:
    try:
        if downloads_here(settings.home):
            free_bytes(settings.home, settings.keep_free_bytes)
    except OSError as error:
        raise failure(code_of_machine(error) or "disk_unusable") from error


def _look_at_bucket(bucket: str, endpoint: S3Endpoint) -> None:
    try:
        with explained(f"bucket {bucket}"):
            _client(endpoint).head_bucket(Bucket=bucket)
    except IngestError as error:
        if error.code == "object_missing":
            raise failure("bucket_missing") from error
        if error.code == "object_refused":
            raise failure("object_store_refused", error.message) from error
        raise


@lru_cache(maxsize=1)
def _client(endpoint: S3Endpoint) -> "S3Client":
    """Made once: that takes longer than the look."""
    return make_client(endpoint, seconds=PATIENCE_SECONDS, attempts=1)
