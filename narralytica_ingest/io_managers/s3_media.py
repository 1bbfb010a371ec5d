"""Media files in S3: streaming, content-addressed, idempotent. The row in `media_files` is the commit point."""

import time
from collections.abc import Sequence
from typing import Any

import dagster as dg

from narralytica_ingest.engine.run_session import RunSession
from narralytica_ingest.failures import failure
from narralytica_ingest.io_managers.values import LocalFile, NewMedia, StoredMedia
from narralytica_ingest.resources.media_store import MediaStore
from narralytica_ingest.shown import tables
from narralytica_ingest.store.artifacts import MediaFile, commit_media_files


class S3MediaIOManager(dg.IOManager):
    """Stores NewMedia, passes StoredMedia through, and loads an upstream asset as StoredMedia."""

    def __init__(self, session: RunSession, store: MediaStore) -> None:
        self._session = session
        self._store = store

    def handle_output(self, context: dg.OutputContext, obj: NewMedia | StoredMedia) -> None:
        """Announces and publishes every file, then commits their rows in one transaction.

        Each step may be repeated: the database or the object store may be away for a moment.
        """
        if isinstance(obj, StoredMedia):
            context.add_output_metadata(self._describe(obj.file, stored_now=False))
            return
        with self._session.stage("store"):
            lease = self._session.lease(obj.video_id)
            self._session.commit(lambda connection: self._store.announce(connection, lease, obj.files))
            self._store.wait_for_removals(obj.files)
            published = self._publish(obj.files)
            rows = [row for row, _ in published]
            self._session.commit(lambda connection: commit_media_files(connection, lease, rows))
        row, fresh = published[0]
        context.add_output_metadata(
            self._describe(row, stored_now=fresh) | _beside([file for file, _ in published[1:]])
        )

    def load_input(self, context: dg.InputContext) -> StoredMedia | dict[str, StoredMedia]:
        """The upstream asset's stored file: one, or for a range of partitions a dict by video.

        The lease is taken first, so that nobody replaces the file meanwhile. In a range, videos without the file are
        left out and named in the log; alone, that is a failure.
        """
        upstream = context.upstream_output
        assert upstream is not None
        kind = upstream.asset_key.path[-1]
        keys = list(context.asset_partition_keys)
        with self._session.stage("read"):
            taken = list(self._session.take(keys))
            found = self._store.stored(kind, taken, self._session.run.run_id, self._session.scratch)
            if len(keys) > 1:
                for left in sorted(set(keys) - found.keys()):
                    context.log.warning("%s is left out: it has no stored %s, or is at work in another run", left, kind)
                return found
            if not found:
                raise failure(
                    "not_ingested", f"{keys[0]} has no stored {kind} yet: materialize {kind} first, or submit a job."
                )
        return found[keys[0]]

    def _publish(self, files: Sequence[LocalFile]) -> list[tuple[MediaFile, bool]]:
        done, total, started = 0, sum(file.size_bytes for file in files), time.monotonic()

        def on_bytes(count: int) -> None:
            nonlocal done
            done += count
            self._session.progress("store", done, total, done / max(time.monotonic() - started, 0.001))

        return [self._store.publish(file, on_bytes, self._session.log.warning) for file in files]

    def _describe(self, file: MediaFile, *, stored_now: bool) -> dict[str, Any]:
        return {
            "object": self._store.link(file),
            "sha256": file.sha256,
            "size_bytes": dg.MetadataValue.int(file.size_bytes),
            "content_type": file.content_type,
            "bytes_stored_now": file.size_bytes if stored_now else 0,
        }


def _beside(files: Sequence[MediaFile]) -> dict[str, Any]:
    """What came with the asset's own file."""
    names = ("kind", "language", "origin", "profile", "size_bytes", "content_type")
    columns = {name: "int" if name == "size_bytes" else "string" for name in names}
    rows = [{name: getattr(file, name) for name in names} for file in files]
    return tables(stored_with_it=(columns, rows))


@dg.io_manager(
    required_resource_keys={"run_session", "media_store"}, description="Media files in S3, under their content."
)
def s3_media(context: dg.InitResourceContext) -> S3MediaIOManager:
    """Made once per run."""
    resources: Any = context.resources
    return S3MediaIOManager(resources.run_session, resources.media_store)
