"""Stored media files: content-addressed and immutable, `media/<first two hex>/<sha256>.<ext>`.

What belongs here: their keys, and reading. How they are stored is in `publishing.py`.
"""

import re
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.object_store.client import explained

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READ_BYTES = 1024 * 1024
SMALL_BYTES = 32 * 1024 * 1024
PREFIX = "media/"
PROBE_PREFIX = f"{PREFIX}probe/"  # see capabilities.py
_OUR_KEY = re.compile(rf"{PREFIX}([0-9a-f]{{2}})/\1[0-9a-f]{{62}}\.\w+|{PROBE_PREFIX}.+")

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
    return f"{PREFIX}{sha256[:2]}/{sha256}.{extension}"


def is_our_key(key: str) -> bool:
    """Whether we may have stored an object of this key: the bucket may hold somebody else's, too."""
    return _OUR_KEY.fullmatch(key) is not None


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


def read_small(client: "S3Client", ref: ObjectRef) -> bytes:
    """An object of at most SMALL_BYTES, such as a source info. Raises IngestError `object_too_large` and as `stat`."""
    with explained(f"reading {ref}"):
        answer = client.get_object(Bucket=ref.bucket, Key=ref.key)
        if answer["ContentLength"] > SMALL_BYTES:
            raise failure("object_too_large", f"{ref} is too large to be what it should be; ingest the video anew.")
        return answer["Body"].read()


def blocks(client: "S3Client", ref: ObjectRef, part: tuple[int, int] | None = None) -> Generator[bytes, None, None]:
    """Streams an object, or the `part` of it from one byte up to another. With an `etag` in the ref, only that version:
    else IngestError `object_changed`."""
    wanted: dict[str, Any] = {} if ref.etag is None else {"IfMatch": ref.etag}
    if part is not None:
        wanted["Range"] = f"bytes={part[0]}-{part[1] - 1}"
    with explained(f"reading {ref}"), ExitStack() as stack:
        body = client.get_object(Bucket=ref.bucket, Key=ref.key, **wanted)["Body"]
        stack.callback(body.close)
        yield from body.iter_chunks(READ_BYTES)


def download(client: "S3Client", ref: ObjectRef, target: Path, on_bytes: OnBytes | None = None) -> None:
    """Streams an object to a file, as `blocks` does."""
    with target.open("wb") as file:
        for block in blocks(client, ref):
            file.write(block)
            if on_bytes is not None:
                on_bytes(len(block))
