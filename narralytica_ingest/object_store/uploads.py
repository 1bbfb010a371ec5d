"""The upload area: where `submit FILE` and the API put files before a job refers to them.

A file's key holds its SHA-256, `sha256/<64 hex>/<file name>`, so the same file is uploaded once.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from narralytica_ingest.object_store.client import explained
from narralytica_ingest.object_store.media import ObjectRef, OnBytes, is_stored

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def upload_key(sha256: str, name: str) -> str:
    """The key of a local file, below the upload area's prefix; its name is kept readable and harmless."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[-100:] or "file"
    return f"sha256/{sha256}/{safe}"


def upload_file(client: "S3Client", path: Path, ref: ObjectRef, sha256: str, on_bytes: OnBytes | None = None) -> str:
    """Streams a local file to `ref` unless it is there, and returns that as `s3://bucket/key`."""
    from boto3.s3.transfer import TransferConfig

    if not is_stored(client, ref, path.stat().st_size, sha256):
        with explained(f"uploading {path.name}"):
            client.upload_file(
                str(path),
                ref.bucket,
                ref.key,
                ExtraArgs={"ChecksumAlgorithm": "CRC64NVME", "Metadata": {"sha256": sha256}},
                Callback=on_bytes,
                Config=TransferConfig(max_concurrency=4),
            )
    return str(ref)
