"""The normalized metadata of a video, one row in Postgres."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import dagster as dg

from narralytica_ingest.assets.raw_video import raw_video
from narralytica_ingest.engine.run_session import RunSession
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.io_managers.postgres_table import PostgresTableIOManager
from narralytica_ingest.io_managers.values import StoredMedia
from narralytica_ingest.metadata.columns import COLUMNS
from narralytica_ingest.metadata.normalize import Reading, normalize
from narralytica_ingest.partitions import videos
from narralytica_ingest.resources.media_store import MediaStore
from narralytica_ingest.shown import shown_metadata
from narralytica_ingest.store.database import Row

# Videos of a range that are read, checked and stored at once: what they say is all that is held in memory.
BATCH = 250
# Dagster plans the checks of a range in a way that grows with its square (docs/decisions/0018): 2.4 GB at 5,000 videos.
MOST_OF_A_RANGE = 2_000
# Source infos read at once; each is a request of some milliseconds.
READERS = 8

_CODE_VERSION = "2"
_COLUMN_SCHEMA = dg.TableSchema(
    columns=[
        dg.TableColumn(
            column.name,
            column.kind.value,
            column.description,
            dg.TableColumnConstraints(nullable=column.name not in ("video_id", "origins")),
        )
        for column in COLUMNS
    ]
)


@dg.asset(
    partitions_def=videos,
    deps=[raw_video],
    backfill_policy=dg.BackfillPolicy.multi_run(MOST_OF_A_RANGE),
    io_manager_key="postgres_table",
    output_required=False,
    group_name="ingest",
    owners=["team:ingest"],
    kinds={"postgres", "pandas"},
    code_version=_CODE_VERSION,
    tags={"stage": "metadata"},
    metadata={"dagster/column_schema": _COLUMN_SCHEMA},
)
def video_metadata(
    context: dg.AssetExecutionContext,
    run_session: dg.ResourceParam[RunSession],
    media_store: dg.ResourceParam[MediaStore],
    postgres_table: dg.ResourceParam[PostgresTableIOManager],
) -> Iterator[dg.Output[Any] | dg.AssetMaterialization]:  # of pandas.DataFrame, too slow to import for a sensor's tick
    """What the source declares and what was measured, from what is stored: no network is touched.

    One partition or a range of them in one run. Of a range, videos that are at work in another run or have no original
    are left out, and nothing is said of them; the run fails at its end if any other got no metadata.
    """
    reader = _Reader(context, run_session, media_store)
    if context.has_partition_key:
        yield from _one(reader, context.partition_key)
    else:
        yield from _range(reader, list(context.partition_keys), postgres_table)


class _Reader:
    """From stored originals to rows, for videos whose lease the run holds."""

    def __init__(self, context: dg.AssetExecutionContext, session: RunSession, store: MediaStore) -> None:
        self.session, self.log, self._store = session, context.log, store

    def originals(self, video_ids: Sequence[str]) -> dict[str, StoredMedia]:
        """The stored originals of these videos."""
        return self._store.stored("raw_video", list(video_ids), self.session.run.run_id, self.session.scratch)

    def rows(self, originals: Sequence[StoredMedia]) -> tuple[list[Row], dict[str, IngestError]]:
        """The rows of these videos, and a failure for each that has none."""
        known = self.session.videos([original.video_id for original in originals])
        originals = [original for original in originals if original.video_id in known]  # not deleted just now
        with ThreadPoolExecutor(READERS) as pool:
            made = list(pool.map(lambda original: self._row(original, known[original.video_id]), originals))
        rows = [each for each in made if not isinstance(each, IngestError)]
        pairs = zip(originals, made, strict=True)
        return rows, {original.video_id: each for original, each in pairs if isinstance(each, IngestError)}

    def _row(self, original: StoredMedia, video: Row) -> Row | IngestError:
        try:
            info = original.source_info()
        except IngestError as error:
            if error.code != "source_info_lost":
                raise
            return error
        try:
            read = Reading(
                video_id=original.video_id,
                source=video["source"],
                source_id=video["source_id"],
                info=info,
                probe=original.file.probe or {},
                hints=video["hints"],
                file_name=video["upload_ref"],
                size_bytes=original.file.size_bytes,
                read_at=original.read_at,
                spoken=_spoken(original.file.probe or {}),
            )
            return normalize(read)
        except Exception as error:  # of one video among thousands
            self.log.exception("the metadata of %s could not be made", original.video_id)
            said = f"The metadata of {original.video_id} could not be made ({type(error).__name__}): report it."
            return failure("metadata_invalid", said)


def _spoken(stored: Mapping[str, Any]) -> str | None:
    """The language of the sound that `audio_track` takes, by the file's own word."""
    from narralytica_ingest.media.probe import stored_probe
    from narralytica_ingest.media.tracks import choose

    measured = stored_probe(stored) if stored.get("raw") else None
    return choose(measured)[0].stream.language if measured and measured.audio else None


def _one(reader: _Reader, video_id: str) -> Iterator[dg.Output[Any]]:
    from narralytica_ingest.metadata.schema import typed

    with reader.session.stage("metadata"):
        if not reader.session.take([video_id]):
            return
        originals = reader.originals([video_id])
        if video_id not in originals:
            said = f"{video_id} has no stored raw_video yet: materialize raw_video first, or submit a job."
            raise failure("not_ingested", said)
        rows, failed = reader.rows([originals[video_id]])
        frame, invalid = typed(rows)
        for error in (failed | invalid).values():
            raise error
    yield dg.Output(frame, metadata=shown_metadata(rows[0]), data_version=dg.DataVersion(_version(rows[0])))


def _range(reader: _Reader, video_ids: list[str], target: PostgresTableIOManager) -> Iterator[dg.AssetMaterialization]:
    """Stored batch by batch. Dagster would say of every partition of the range that it was materialized, all in one
    version; so each is told by itself, once it is stored."""
    from narralytica_ingest.metadata.schema import typed

    session, done, failed = reader.session, 0, dict[str, IngestError]()
    with session.stage("metadata"):
        taken = sorted(session.take(video_ids))
    for batch in _batches(taken):
        with session.stage("metadata"):
            originals = reader.originals(batch)
            rows, without = reader.rows(list(originals.values()))
            frame, invalid = typed(rows)
        stored = set(frame["video_id"])
        if stored:
            target.store(frame)
        for row in rows:
            if row["video_id"] in stored:
                yield _materialization(row, originals[row["video_id"]])
        failed |= without | invalid
        done += len(stored)
        for left in sorted(set(batch) - originals.keys()):
            reader.log.warning("%s is left out: it has no stored original", left)
        reader.log.info("metadata of %d videos of %d is stored", done, len(video_ids))
    for left in sorted(set(video_ids) - set(taken)):
        reader.log.warning("%s is left out: it is at work in another run, or unknown", left)
    with session.stage("metadata"):
        _tell(reader, failed, done)


def _tell(reader: _Reader, failed: dict[str, IngestError], done: int) -> None:
    """Names the videos that got no metadata although they could have; then the run fails."""
    for video_id, error in failed.items():
        reader.log.error("%s got no metadata: %s", video_id, error)
    if failed:
        video_id, first = next(iter(failed.items()))
        said = f"{len(failed)} of {done + len(failed)} videos got no metadata, {video_id} first: {first.message}"
        raise failure("metadata_incomplete", said)


def _materialization(row: Row, original: StoredMedia) -> dg.AssetMaterialization:
    """As Dagster would write it of a single partition."""
    tags = {
        "dagster/code_version": _CODE_VERSION,
        "dagster/data_version": _version(row),
        "dagster/data_version_is_user_provided": "true",
        "dagster/input_data_version/raw_video": original.file.sha256,
        "dagster/input_event_pointer/raw_video": "NULL",
    }
    return dg.AssetMaterialization(
        video_metadata.key, partition=row["video_id"], metadata=shown_metadata(row), tags=tags
    )  # fmt: skip


def _version(row: Row) -> str:
    """The same values are the same version, however often the source was read."""
    values = {name: value for name, value in row.items() if name != "read_at"}
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str, ensure_ascii=False).encode()).hexdigest()


def _batches(video_ids: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(video_ids)
    while batch := list(islice(rest, BATCH)):
        yield batch
