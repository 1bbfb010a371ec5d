"""The columns of the tables behind the assets, as the UI shows them.

Those of `video_metadata` are in `metadata/columns.py`. The words are the comments of the tables; a test compares them.
"""

import dagster as dg


def _schema(*columns: tuple[str, str, str]) -> dict[str, dg.TableSchema]:
    """Metadata of an asset; each column is a name, a type of Postgres and a description."""
    return {"dagster/column_schema": dg.TableSchema(columns=[dg.TableColumn(*column) for column in columns])}


JOB_COLUMNS = _schema(
    ("job_id", "uuid", "The job."),
    (
        "source_url",
        "text",
        "What to ingest: an http(s) URL of a video, playlist or channel. Exactly one of this and upload_ref.",
    ),
    ("upload_ref", "text", "What to ingest: an uploaded object, s3://bucket/key."),
    ("title", "text", "Hint: fills what the source does not say."),
    ("channel", "text", "Hint, as title."),
    ("language", "text", "Hint, as title: a BCP 47 tag."),
    ("priority", "integer", "Higher goes first."),
    ("idempotency_key", "text", "A request that is repeated with the same key makes no second job."),
    ("options", "jsonb", '{"force": true} ingests again although the video is ready.'),
    ("parent_job_id", "uuid", "The job whose playlist brought this one."),
    ("status", "text", "queued, dispatched, running, succeeded, failed or canceled."),
    (
        "video_id",
        "text",
        "The video that its source turned out to be; NULL before that, and after the video was deleted.",
    ),
    ("source_host", "text", "The host that counts the job."),
    ("outcome", "text", "Of a succeeded job: ingested, deduplicated or expanded."),
    ("attempt", "integer", "Grows at every dispatch and is never reused; the run key is job_id:attempt."),
    ("failures", "integer", "Failed attempts; these alone count against max_attempts."),
    ("max_attempts", "integer", "NULL: the worker's own setting."),
    ("not_before", "timestamp with time zone", "A queued job waits until then."),
    ("run_id", "text", "The Dagster run that works on it, or did last."),
    ("heartbeat_at", "timestamp with time zone", "When its run last gave a sign of life."),
    (
        "progress",
        "jsonb",
        '{"stage", "bytes", "total", "rate", "eta"}: bytes, bytes per second, seconds; unknown is null.',
    ),
    ("cancel_requested", "boolean", "Set it to true to cancel the job."),
    ("error_class", "text", "Class of the last failure, which decides what happens next: docs/failure-codes.md."),
    ("error_code", "text", "Its code."),
    ("error_message", "text", "Its sentence for people."),
    ("created_at", "timestamp with time zone", "When it was inserted."),
    ("updated_at", "timestamp with time zone", "When it was last changed."),
    ("dispatched_at", "timestamp with time zone", "When it was last claimed."),
    ("started_at", "timestamp with time zone", "When its last run began."),
    ("finished_at", "timestamp with time zone", "When it succeeded, failed or was canceled."),
    (
        "playlist",
        "jsonb",
        'Of an expanded job: {"title", "videos", "more"}: how many videos were listed, and whether'
        " the limit left others out.",
    ),
)

FILE_COLUMNS = _schema(
    ("media_file_id", "bigint", "The row."),
    ("video_id", "text", "The video."),
    (
        "generation",
        "integer",
        "The generation of the video's files that it belongs to; only that of the video's own row is served.",
    ),
    ("kind", "text", "raw_video, audio_track, thumbnail, captions or source_info."),
    ("language", "text", "Of captions as the source names it, of an audio track a BCP 47 tag."),
    ("bucket", "text", "Bucket of the object."),
    ("object_key", "text", "Key of the object: media/<first two hex>/<sha256>.<extension>."),
    ("size_bytes", "bigint", "Size of the object."),
    ("sha256", "text", "SHA-256 of its bytes, in hex."),
    ("content_type", "text", "MIME type, told by the bytes."),
    ("probe", "jsonb", "What ffprobe measured, of files with picture or sound."),
    ("lease_epoch", "bigint", "The lease under which it was committed."),
    ("created_at", "timestamp with time zone", "When it was first committed."),
    ("origin", "text", "Of captions: made by people (uploaded) or by the source (automatic)."),
    ("profile", "text", "Of an audio track: how it was made (docs/data-model.md)."),
    ("facts", "jsonb", "What was measured and decided when the file was made: loudness, chosen sound, findings."),
)
