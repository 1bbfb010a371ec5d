"""The S3 client, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from narralytica_ingest.endpoints import S3Endpoint
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.redaction import shown_url

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# How servers say that they are full (MinIO, Ceph, RFC 4918); others, the embedded one too, answer a plain 500.
_FULL_STATUS = 507
_FULL_CODES = ("XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage")

# How they say that the bytes which came are not those that the checksum was made of.
_DAMAGED = ("BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "IncompleteBody")


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
    """Turns boto3's errors into IngestError: `object_store_away`, `object_store_full` and `object_store_refused`
    (local), `object_missing`, `object_changed` and `object_refused` (permanent)."""
    from boto3.exceptions import Boto3Error, S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    what = shown_url(what)  # it may name an upload, whose name others chose
    try:
        yield
    except ClientError as error:
        raise _meaning(what, error) from error
    except S3UploadFailedError as error:  # boto3 hides what the server said behind a sentence
        raise _meaning(what, error.__context__) from error.__context__
    except (BotoCoreError, Boto3Error) as error:
        raise _meaning(what, error) from error


@contextmanager
def our_own_fault(what: str, bucket: str) -> Iterator[None]:
    """Around what is explained: where we choose bucket and name, nothing that is wrong is the video's fault. So
    `object_missing` and `object_refused` become `bucket_missing`, `object_store_away`, `object_store_refused`, or
    `published_bytes_differ`, all local."""
    try:
        yield
    except IngestError as error:
        _, code = answer_of(error.__cause__)
        if error.code == "object_missing" and code == "NoSuchUpload":
            raise failure("object_store_away", f"{what}: the upload was aborted meanwhile.") from error
        if error.code == "object_missing":
            raise failure("bucket_missing", f"There is no bucket {bucket}: create it, or name another.") from error
        if error.code == "object_refused" and code in _DAMAGED:
            message = f"{what}: the bytes changed on their way, and were refused ({code})."
            raise failure("published_bytes_differ", message) from error
        if error.code == "object_refused":
            raise failure("object_store_refused", f"{what}: the object store refused it ({code}).") from error
        raise


def answer_of(error: BaseException | None) -> tuple[int, str]:
    """Status and code with which the server refused; (0, "") if it never answered."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return 0, ""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status, error.response.get("Error", {}).get("Code", "")


def _meaning(what: str, error: BaseException | None) -> IngestError:
    status, code = answer_of(error)
    if status == 404 or code in ("NoSuchKey", "NoSuchBucket", "404"):
        message = f"{what}: no such object. Check bucket and key, or upload it again and submit a new job."
        return failure("object_missing", message)
    if status == 412:
        message = f"{what}: the object was overwritten meanwhile. Submit a new job for the new object."
        return failure("object_changed", message)
    if status == 400:
        return failure("object_refused", f"{what}: the object store refuses the name ({code}).")
    if status == _FULL_STATUS or code in _FULL_CODES:
        return failure("object_store_full", f"{what}: the object store is full ({status} {code}): give it more space.")
    if status in (301, 401, 403):
        message = f"{what}: the object store refused our keys. Check them with `doctor`."
        return failure("object_store_refused", message)
    if status:
        return failure("object_store_away", f"{what}: the object store answered {status} {code}.")
    return failure("object_store_away", f"{what}: the object store cannot be reached ({type(error).__name__}).")
