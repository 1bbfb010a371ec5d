"""Rows of `video_metadata` as a run commits them, fenced by the lease."""

from collections.abc import Mapping, Sequence

from narralytica_ingest.store.artifacts import complete
from narralytica_ingest.store.database import Connection, Row, as_jsonb
from narralytica_ingest.store.leases import Lease, fence

# One statement for any number of videos: the rows travel as one JSON value, typed by the table itself.
_METADATA_COLUMNS = """
title, description, channel_id, channel, channel_url, published_at, language, tags, categories, chapters, thumbnail_url,
webpage_url, declared_duration_seconds, declared_width, declared_height, measured_container, measured_duration_seconds,
measured_size_bytes, measured_bit_rate, measured_width, measured_height, measured_frame_rate, measured_video_codec,
measured_audio_codec, measured_audio_channels, measured_audio_sample_rate, origins
"""
METADATA_COLUMNS = tuple(name.strip() for name in _METADATA_COLUMNS.split(","))

# (The names are the constants above: nothing from outside is ever put into a statement.)
_UPSERT_METADATA = f"""
INSERT INTO video_metadata (video_id, generation, lease_epoch, {_METADATA_COLUMNS})
SELECT video_id, generation, lease_epoch, {_METADATA_COLUMNS}
  FROM jsonb_populate_recordset(NULL::video_metadata, %s)
ON CONFLICT (video_id, generation) DO UPDATE
   SET lease_epoch = excluded.lease_epoch, {", ".join(f"{name} = excluded.{name}" for name in METADATA_COLUMNS)}
 WHERE video_metadata.lease_epoch <= excluded.lease_epoch
"""  # noqa: S608


def commit_metadata(connection: Connection, leases: Mapping[str, Lease], rows: Sequence[Row]) -> None:
    """Upserts one row per video, all in one statement. `rows` hold `video_id` and METADATA_COLUMNS.

    Raises LeaseLost if any of the videos is somebody else's now; then none is written.
    """
    mine = [leases[row["video_id"]] for row in rows]
    fence(connection, mine)
    fenced = [
        row | {"generation": lease.generation, "lease_epoch": lease.epoch}
        for row, lease in zip(rows, mine, strict=True)
    ]
    connection.execute(_UPSERT_METADATA, (as_jsonb(fenced),))
    complete(connection, mine)
