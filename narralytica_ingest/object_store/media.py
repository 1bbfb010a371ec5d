"""Stored media files: content-addressed and immutable, `media/<first two hex>/<sha256>.<ext>`.

Publishing is upload, check, and (by the caller) the commit of the `media_files` row. Same bytes, same key: storing
twice is one HEAD.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.object_store.client import explained

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# boto3's own defaults are 8 MiB and 10 threads; fewer threads keep memory at some 50 MB for a file of any size.
PART_BYTES = 8 * 1024 * 1024
THREADS = 4
READ_BYTES = 1024 * 1024
SMALL_BYTES = 32 * 1024 * 1024
# S3 copies at most 5 GiB in one call; boto3's `copy` goes over to parts by itself.

OnBytes = Callable[[int], None]


@dataclass(frozen=True)
class ObjectRef:
    """An object in the store, as `s3://bucket/key`, in one version where `etag` is given."""

    bucket: str
    key: str
    etag: str | None = None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Stat:
    """What a HEAD says. `etag` comes without quotes; `version` is the version id, or the ETag where there is none."""

    size_bytes: int
    etag: str
    version: str
    sha256: str | None  # as whoever stored it said in the object's metadata


def object_key(sha256: str, extension: str) -> str:
    """The key of these bytes."""
    return f"media/{sha256[:2]}/{sha256}.{extension}"


def stat(client: "S3Client", ref: ObjectRef) -> Stat:
    """One HEAD. Raises IngestError `object_missing`, `object_store_away`, `object_store_refused`."""
    with explained(str(ref)):
        head = client.head_object(Bucket=ref.bucket, Key=ref.key)
    etag = head["ETag"].strip('"')
    version = head.get("VersionId")
    return Stat(
        size_bytes=head["ContentLength"],
        etag=etag,
        version=etag if version in (None, "null") else version,
        sha256=head["Metadata"].get("sha256"),
    )


def is_stored(client: "S3Client", ref: ObjectRef, size_bytes: int, sha256: str) -> bool:
    """Whether the object is there with that size, and was stored by us as that content."""
    try:
        found = stat(client, ref)
        return found.size_bytes == size_bytes and found.sha256 == sha256
    except IngestError as error:
        if error.code == "object_missing":
            return False
        raise


def publish(
    client: "S3Client",
    path: Path,
    ref: ObjectRef,
    *,
    content_type: str,
    sha256: str,
    copy_from: ObjectRef | None = None,
    on_bytes: OnBytes | None = None,
) -> bool:
    """Makes the file at `path` the object `ref`; returns False if it was there already, which costs one HEAD.

    Uploads in parts with a whole-object checksum that the server verifies, or lets the server copy `copy_from`, the
    same bytes in the same store. Raises IngestError `object_store_away` or `published_size_differs`.
    """
    size = path.stat().st_size
    if is_stored(client, ref, size, sha256):
        return False
    extra: dict[str, Any] = {"ContentType": content_type, "Metadata": {"sha256": sha256}}
    with explained(f"storing {ref}"):
        if copy_from is not None:
            _copy(client, copy_from, ref, extra)
        else:
            client.upload_file(
                str(path),
                ref.bucket,
                ref.key,
                ExtraArgs={**extra, "ChecksumAlgorithm": "CRC64NVME"},
                Config=_transfer(),
                Callback=on_bytes,
            )
    if not is_stored(client, ref, size, sha256):
        raise failure("published_size_differs", f"{ref} is not there with {size} bytes after storing it.")
    return True


def _copy(client: "S3Client", source: ObjectRef, target: ObjectRef, extra: dict[str, Any]) -> None:
    condition = {} if source.etag is None else {"CopySourceIfMatch": source.etag}
    client.copy(
        {"Bucket": source.bucket, "Key": source.key},
        target.bucket,
        target.key,
        ExtraArgs={**extra, "MetadataDirective": "REPLACE", **condition},
        Config=_transfer(),
    )


def read_small(client: "S3Client", ref: ObjectRef) -> bytes:
    """An object of at most SMALL_BYTES, such as a source info. Raises IngestError `object_too_large` and as `stat`."""
    with explained(f"reading {ref}"):
        answer = client.get_object(Bucket=ref.bucket, Key=ref.key)
        if answer["ContentLength"] > SMALL_BYTES:
            raise failure("object_too_large", f"{ref} is too large to be what it should be; ingest the video anew.")
        return answer["Body"].read()


def download(client: "S3Client", ref: ObjectRef, target: Path, on_bytes: OnBytes | None = None) -> None:
    """Streams an object to a file. With an `etag` in the ref, only that version: else IngestError `upload_changed`."""
    condition: dict[str, Any] = {} if ref.etag is None else {"IfMatch": ref.etag}
    with explained(f"reading {ref}"), target.open("wb") as file:
        body = client.get_object(Bucket=ref.bucket, Key=ref.key, **condition)["Body"]
        for chunk in body.iter_chunks(READ_BYTES):
            file.write(chunk)
            if on_bytes is not None:
                on_bytes(len(chunk))


def _transfer() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=THREADS)
