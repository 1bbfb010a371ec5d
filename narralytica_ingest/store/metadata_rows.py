"""Rows of `video_metadata`: as a run commits them, as jobs' hints fill them, and as people correct them.

The table holds what was read. What people correct lies over it in the views (`corrected_video_metadata`), so that no
write of a run can undo it, and a correction that is dropped shows again what was read.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from narralytica_ingest.store.artifacts import complete
from narralytica_ingest.store.database import Connection, Row, as_jsonb
from narralytica_ingest.store.leases import Lease, fence

# One statement for any number of videos: the rows travel as one JSON value, typed by the table itself.
_METADATA_COLUMNS = """
source, source_id, webpage_url, title, description, channel, channel_id, channel_url, published_at, published_precision,
uploaded_at, uploaded_precision, recorded_at, language, tags, categories, chapters, captions, thumbnail_url, license,
age_limit, live_status, view_count, like_count, comment_count, read_at,
declared_duration_seconds, declared_size_bytes, declared_container, declared_bit_rate, declared_width, declared_height,
declared_frame_rate, declared_dynamic_range, declared_video_codec, declared_video_bit_rate, declared_audio_codec,
declared_audio_bit_rate, declared_audio_channels, declared_audio_sample_rate,
measured_duration_seconds, measured_size_bytes, measured_container, measured_bit_rate, measured_width, measured_height,
measured_frame_rate, measured_dynamic_range, measured_video_codec, measured_video_bit_rate, measured_audio_codec,
measured_audio_bit_rate, measured_audio_channels, measured_audio_sample_rate, measured_rotation, origins
"""
METADATA_COLUMNS = tuple(name.strip() for name in _METADATA_COLUMNS.split(","))

# The fence lets no zombie write. Of two readings of one generation the newer stays, whichever comes last.
# (The names are the constants above: nothing from outside is ever put into a statement.)
_UPSERT_METADATA = f"""
INSERT INTO video_metadata (video_id, generation, lease_epoch, {_METADATA_COLUMNS})
SELECT video_id, generation, lease_epoch, {_METADATA_COLUMNS}
  FROM jsonb_populate_recordset(NULL::video_metadata, %s)
ON CONFLICT (video_id, generation) DO UPDATE
   SET lease_epoch = excluded.lease_epoch, {", ".join(f"{name} = excluded.{name}" for name in METADATA_COLUMNS)}
 WHERE video_metadata.lease_epoch <= excluded.lease_epoch
   AND (video_metadata.read_at IS NULL OR video_metadata.read_at <= excluded.read_at)
"""  # noqa: S608


def commit_metadata(connection: Connection, leases: Mapping[str, Lease], rows: Sequence[Row]) -> None:
    """Upserts one row per video, all in one statement. `rows` hold `video_id` and METADATA_COLUMNS, times as text.

    A row that is there already and was read later stays as it is. Raises LeaseLost if any of the videos is somebody
    else's now; then none is written.
    """
    mine = [leases[row["video_id"]] for row in rows]
    fence(connection, mine)
    fenced = [
        {**row, "generation": lease.generation, "lease_epoch": lease.epoch}
        for row, lease in zip(rows, mine, strict=True)
    ]
    connection.execute(_UPSERT_METADATA, (as_jsonb(fenced),))
    fill_from_hints(connection, [lease.video_id for lease in mine])  # a job may have come since the run looked
    complete(connection, mine)


# A hint goes where it would have gone had it been known before: where nobody or only the file itself states a value.
_FILL_FROM_HINTS = """
WITH hinted AS (
    SELECT m.video_id, m.generation, jsonb_object_agg(h.key, h.value) AS hints,
           jsonb_object_agg(h.key, 'hint') AS origins
      FROM video_metadata m JOIN videos v USING (video_id) CROSS JOIN LATERAL jsonb_each(v.hints) AS h
     WHERE v.video_id = ANY(%s) AND h.key IN ('title', 'channel', 'language')
       AND (to_jsonb(m) ->> h.key IS NULL OR m.origins ->> h.key IN ('container', 'url', 'file_name'))
     GROUP BY m.video_id, m.generation)
UPDATE video_metadata m
   SET title = coalesce(hinted.hints ->> 'title', m.title), channel = coalesce(hinted.hints ->> 'channel', m.channel),
       language = coalesce(hinted.hints ->> 'language', m.language), origins = m.origins || hinted.origins
  FROM hinted WHERE m.video_id = hinted.video_id AND m.generation = hinted.generation
"""


def fill_from_hints(connection: Connection, video_ids: Collection[str]) -> None:
    """Fills what the metadata of these videos leaves open from what their jobs have stated since."""
    connection.execute(_FILL_FROM_HINTS, (list(video_ids),))


_SERVED = """
SELECT m.* FROM corrected_video_metadata m JOIN videos v USING (video_id, generation) WHERE m.video_id = ANY(%s)
"""


def served(connection: Connection, video_ids: Collection[str]) -> list[Row]:
    """The rows of these videos as they are served, corrections included."""
    return connection.execute(_SERVED, (list(video_ids),)).fetchall()


# ---- corrections ---------------------------------------------------------------------------------------------------

_CORRECT = """
INSERT INTO metadata_corrections (video_id, field, value, by)
SELECT %(video_id)s, field, value, %(by)s FROM jsonb_each(%(values)s) AS correction (field, value) ORDER BY field
ON CONFLICT (video_id, field) DO UPDATE SET value = excluded.value, by = excluded.by
"""
_DROP = "DELETE FROM metadata_corrections WHERE video_id = %s AND field = ANY(%s) RETURNING field"
_CORRECTIONS = "SELECT field, value, by, at FROM metadata_corrections WHERE video_id = %s ORDER BY field"


def correct(connection: Connection, video_id: str, values: Mapping[str, Any], by: str) -> None:
    """States these fields of a video for good, in the form of docs/data-model.md; None means that it is unknown.

    Raises psycopg's IntegrityError or DataError for a field that cannot be corrected or a value that does not fit it.
    """
    connection.execute(_CORRECT, {"video_id": video_id, "values": as_jsonb(dict(values)), "by": by})


def drop_corrections(connection: Connection, video_id: str, fields: Collection[str]) -> list[str]:
    """Takes corrections back, so that what was read is served again. Returns the fields that had one."""
    return [row["field"] for row in connection.execute(_DROP, (video_id, list(fields))).fetchall()]


def corrections(connection: Connection, video_id: str) -> list[Row]:
    """What people corrected: `field`, `value`, `by`, `at`."""
    return connection.execute(_CORRECTIONS, (video_id,)).fetchall()
