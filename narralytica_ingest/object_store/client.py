"""The S3 client, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from narralytica_ingest.endpoints import S3Endpoint
from narralytica_ingest.failures import failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def make_client(endpoint: S3Endpoint, *, seconds: float = 60, attempts: int = 4) -> "S3Client":
    """A client that waits at most `seconds` for an answer and tries `attempts` times. Threads may share it."""
    # Imported here: boto3 is slow to load, and most commands need no object store.
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        region_name=endpoint.region,
        aws_access_key_id=endpoint.access_key_id,
        aws_secret_access_key=endpoint.secret_access_key,
        config=Config(
            connect_timeout=min(5, seconds),
            read_timeout=seconds,
            retries={"mode": "standard", "total_max_attempts": attempts},
            s3={"addressing_style": "path" if endpoint.url else "auto"},
        ),
    )


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns boto3's errors into IngestError: `object_store_away` (local), and `object_store_refused`
    (local), `object_missing`, `object_changed` and `object_refused` (permanent)."""
    from boto3.exceptions import Boto3Error, S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code", "")
        if status == 404 or code in ("NoSuchKey", "NoSuchBucket", "404"):
            raise failure(
                "object_missing",
                f"{what}: no such object. Check bucket and key, or upload it again and submit a new job.",
            ) from error
        if status == 412:
            raise failure(
                "object_changed", f"{what}: the object was overwritten meanwhile. Submit a new job for the new object."
            ) from error
        if status == 400:
            raise failure("object_refused", f"{what}: the object store refuses the name ({code}).") from error
        if status in (301, 401, 403):
            raise failure(
                "object_store_refused", f"{what}: the object store refused our keys. Check them with `doctor`."
            ) from error
        raise failure("object_store_away", f"{what}: the object store answered {status} {code}.") from error
    except (BotoCoreError, Boto3Error, S3UploadFailedError) as error:
        raise failure(
            "object_store_away", f"{what}: the object store cannot be reached ({type(error).__name__})."
        ) from error
