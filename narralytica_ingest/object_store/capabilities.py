"""What the object store really does, tried with a few small requests: not every S3 server does all that S3 does.

Publishing is safe without either of these; they make it cheaper and stricter:

- conditional writes: a published object is never written again. Without them it may be, with the same bytes.
- verified checksums: bytes that change on their way are refused. Without them every object is read back once.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from narralytica_ingest.object_store.client import answer_of, explained
from narralytica_ingest.object_store.media import PROBE_PREFIX

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHECKSUM = "CRC64NVME"  # of the whole object, also of one that is sent in parts

_BODY = b"narralytica"
_WRONG = "AAAAAAAAAAA="

_log = logging.getLogger(__name__)

# What a conditional write is answered where the object is there, or is being written by somebody else.
_THERE = (412, 409)


@dataclass(frozen=True)
class Capabilities:
    """What the store honours, for objects that are sent whole and for those sent in parts alike."""

    conditional_writes: bool
    checksums: bool

    def __str__(self) -> str:
        overwrites = "refuses to overwrite on condition" if self.conditional_writes else "ignores If-None-Match"
        verifies = "verifies checksums" if self.checksums else "verifies no checksums, so what is stored is read back"
        return f"{overwrites}, {verifies}"


@lru_cache(maxsize=8)
def capabilities(client: "S3Client", bucket: str) -> Capabilities:
    """Probes a bucket, once per process and client. Raises IngestError as `explained` does.

    Whatever a probe leaves behind that is killed is swept with the rest.
    """
    with explained(f"trying bucket {bucket}"):
        able = _Probe(client, bucket, f"{PROBE_PREFIX}{uuid4()}").run()
    _log.info("bucket %s: %s", bucket, able)
    return able


class _Probe:
    def __init__(self, client: "S3Client", bucket: str, key: str) -> None:
        self._client = client
        self._where: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._known: dict[str, Any] = {"ChecksumAlgorithm": CHECKSUM}

    def run(self) -> Capabilities:
        client, where = self._client, self._where
        if _refusal(lambda: client.put_object(**where, Body=_BODY, **self._known)):
            self._known = {}  # a server that knows no such checksum
            client.put_object(**where, Body=_BODY)
        try:
            damaged = _refusal(lambda: client.put_object(**where, Body=_BODY, ChecksumCRC64NVME=_WRONG))
            again = _refusal(lambda: client.put_object(**where, Body=_BODY, IfNoneMatch="*"))
            of_parts = self._in_parts()
        finally:
            client.delete_object(**where)
        return Capabilities(
            again in _THERE and of_parts.conditional_writes, bool(self._known) and bool(damaged) and of_parts.checksums
        )

    def _in_parts(self) -> Capabilities:
        client, where = self._client, self._where
        upload: dict[str, Any] = {"UploadId": client.create_multipart_upload(**where, **self._known)["UploadId"]}
        part: dict[str, Any] = {**where, **upload, "PartNumber": 1, "Body": _BODY}
        try:
            damaged = _refusal(lambda: client.upload_part(**part, ChecksumCRC64NVME=_WRONG))
            sent = client.upload_part(**part, **self._known)
            whole: Any = {"Parts": [{"PartNumber": 1, "ETag": sent["ETag"]} | _checksum_of(sent)]}
            again = _refusal(
                lambda: client.complete_multipart_upload(**where, **upload, MultipartUpload=whole, IfNoneMatch="*")
            )
        finally:
            with suppress(client.exceptions.NoSuchUpload):  # it was completed
                client.abort_multipart_upload(**where, **upload)
        return Capabilities(again in _THERE, bool(damaged))


def _checksum_of(sent: Any) -> dict[str, str]:
    return {"ChecksumCRC64NVME": sent["ChecksumCRC64NVME"]} if "ChecksumCRC64NVME" in sent else {}


def _refusal(request: Callable[[], object]) -> int:
    """The status with which the server refuses what it does not like or know; 0 if it does as it is told.

    Any other trouble is raised on.
    """
    from botocore.exceptions import ClientError

    try:
        request()
    except ClientError as error:
        status, _ = answer_of(error)
        if status in (400, 501, *_THERE):
            return status
        raise
    return 0
