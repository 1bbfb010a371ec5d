"""The object store and the rows about it, as the IO manager and the assets use them."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from narralytica_ingest.config import Settings, load_settings
from narralytica_ingest.endpoints import S3Endpoint, resolve_endpoints
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.io_managers.values import LocalFile, StoredMedia
from narralytica_ingest.object_store import media
from narralytica_ingest.object_store.audit import Finding, Wanted, examine
from narralytica_ingest.object_store.media import ObjectRef, OnBytes
from narralytica_ingest.object_store.patience import patiently
from narralytica_ingest.object_store.publishing import Content, publish
from narralytica_ingest.object_store.range_server import served
from narralytica_ingest.store import objects
from narralytica_ingest.store.artifacts import MediaFile
from narralytica_ingest.store.database import Connection, Database, Row
from narralytica_ingest.store.leases import Lease

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_FILES = """
SELECT f.* FROM media_files f JOIN videos v USING (video_id)
 WHERE f.video_id = ANY(%(video_ids)s) AND f.kind = ANY(%(kinds)s)
   AND f.generation = coalesce(CASE WHEN v.lease_run_id = %(run_id)s THEN v.lease_generation END,
                               nullif(v.generation, 0), f.generation)
"""

_REMOVAL_POLL_SECONDS = 0.5
_READERS = 8  # HEADs at once


@dataclass(frozen=True)
class MediaStore:
    """Media files: rows in Postgres, bytes in S3."""

    settings: Settings
    database: Database
    endpoint: S3Endpoint

    @property
    def client(self) -> "S3Client":
        """The process's client for the endpoint of this installation."""
        return _client(self.endpoint)

    def stored(self, kind: str, video_ids: list[str], run_id: str, scratch: Path) -> dict[str, StoredMedia]:
        """The stored files of a kind, by video: those of the generation that the run builds, else the served ones."""
        values = {"video_ids": video_ids, "kinds": [kind, "source_info"], "run_id": run_id}
        rows = self.database.patiently(
            lambda connection: connection.execute(_FILES, values).fetchall(), self.settings.lease_seconds
        )
        infos = {row["video_id"]: row for row in rows if row["kind"] == "source_info"}
        return {
            row["video_id"]: self._stored(row, infos.get(row["video_id"]), scratch)
            for row in rows
            if row["kind"] == kind
        }

    def is_there(self, stored: StoredMedia) -> bool:
        """Whether the bucket still has what the row says, by one HEAD."""
        file = stored.file
        return patiently(lambda: media.is_stored(self.client, _ref(file), file.size_bytes, file.sha256))

    def faults(self, files: Sequence[MediaFile]) -> dict[str, str]:
        """What is wrong with the objects of these files, in words and by key, by one HEAD each. Raises IngestError if
        the object store does not answer."""

        def fault(file: MediaFile) -> Finding | None:
            return examine(self.client, Wanted(_ref(file), file.size_bytes, file.sha256), deep=False)

        with ThreadPoolExecutor(_READERS) as pool:
            found = zip(files, pool.map(fault, files), strict=True)
            return {file.object_key: finding.said for file, finding in found if finding is not None}

    def announce(self, connection: Connection, lease: Lease, files: Sequence[LocalFile]) -> None:
        """States that the run is about to store these: from the commit on nobody begins to remove their objects.

        Raises LeaseLost.
        """
        objects.begin_publications(connection, lease, self.settings.s3_bucket, [_key(file) for file in files])

    def wait_for_removals(self, files: Sequence[LocalFile]) -> None:
        """Until no removal that was begun before `announce` can happen any more: what the bucket has then, it keeps."""
        bucket, keys = self.settings.s3_bucket, [_key(file) for file in files]
        while self.database.patiently(
            lambda connection: objects.being_removed(connection, bucket, keys), objects.REMOVAL_SECONDS
        ):
            time.sleep(_REMOVAL_POLL_SECONDS)

    def publish(self, file: LocalFile, on_bytes: OnBytes, say: Callable[[str], object]) -> tuple[MediaFile, bool]:
        """Stores a file under its content. Returns its row, and whether bytes had to be stored at all.

        `on_bytes` gets a negative count for what was sent in vain; `say` is told what it waits for.
        """
        ref = ObjectRef(self.settings.s3_bucket, _key(file))
        content = Content(file.path, file.size_bytes, file.sha256, file.content_type)
        fresh = patiently(lambda: publish(self.client, content, ref, copy_from=file.copy_from, on_bytes=on_bytes), say)
        row = MediaFile(
            kind=file.kind,
            bucket=ref.bucket,
            object_key=ref.key,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            content_type=file.content_type,
            language=file.language,
            origin=file.origin,
            probe=file.probe,
            profile=file.profile,
            facts=file.facts,
        )
        return row, fresh

    def link(self, file: MediaFile) -> dg.MetadataValue[Any]:
        """A link for the UI: below the configured base URL, else the object's `s3://` name."""
        url = self.url(file)
        return dg.MetadataValue.url(url) if url else dg.MetadataValue.path(str(_ref(file)))

    def url(self, file: LocalFile | MediaFile) -> str | None:
        """Where a browser finds the file once it is stored, if a base URL is configured."""
        key = file.object_key if isinstance(file, MediaFile) else _key(file)
        base = self.settings.media_base_url
        return f"{base.rstrip('/')}/{key}" if base else None

    def _stored(self, row: Row, info: Row | None, scratch: Path) -> StoredMedia:
        file = _media_file(row)

        path = scratch / Path(file.object_key).name  # the content's name, so a file that is there is the right one

        def open_local() -> Path:
            if not path.exists():
                partial = path.with_name(path.name + ".part")
                patiently(lambda: media.download(self.client, _ref(file), partial))
                partial.replace(path)
            return path

        def opened() -> AbstractContextManager[Path | str]:
            return nullcontext(path) if path.exists() else served(self.client, _ref(file), file.size_bytes)

        def source_info() -> dict[str, Any] | None:
            return None if info is None else self._source_info(_ref(_media_file(info)))

        return StoredMedia(row["video_id"], file, open_local, opened, source_info, _read_at(info or row))

    def _source_info(self, ref: ObjectRef) -> dict[str, Any]:
        try:
            loaded = json.loads(patiently(lambda: media.read_small(self.client, ref)))
        except ValueError as error:
            raise failure("source_info_lost") from error
        except IngestError as error:
            if error.code != "object_missing":
                raise
            raise failure("source_info_lost") from error
        if not isinstance(loaded, dict):
            raise failure("source_info_lost")
        return loaded


@lru_cache(maxsize=1)
def _client(endpoint: S3Endpoint) -> "S3Client":
    """Made by dagster-aws' S3 resource, once per worker process: making one takes a quarter of a short run."""
    from dagster_aws.s3 import S3Resource

    client: S3Client = S3Resource(
        endpoint_url=endpoint.url,
        region_name=endpoint.region,
        aws_access_key_id=endpoint.access_key_id,
        aws_secret_access_key=endpoint.secret_access_key,
        max_attempts=4,
    ).get_client()
    return client


def _read_at(row: Row) -> datetime:
    """When the source was read. Source infos that were stored before this was kept tell only when that was."""
    told = (row["facts"] or {}).get("read_at")
    stored: datetime = row["created_at"]
    return datetime.fromisoformat(told) if told else stored


def _media_file(row: Row) -> MediaFile:
    return MediaFile(**{name: row[name] for name in MediaFile.__dataclass_fields__})


def _key(file: LocalFile) -> str:
    return media.object_key(file.sha256, file.extension)


def _ref(file: MediaFile) -> ObjectRef:
    return ObjectRef(file.bucket, file.object_key)


@dg.resource(description="Media files: rows in Postgres, bytes in S3.")
def media_store(_: dg.InitResourceContext) -> MediaStore:
    """Resolved when a run starts, never when definitions load."""
    settings = load_settings()
    endpoints = resolve_endpoints(settings)
    return MediaStore(settings, Database(endpoints.postgres_url), endpoints.s3)
