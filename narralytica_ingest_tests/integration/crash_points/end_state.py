"""What is left in tables, bucket, Dagster and on the disk, in a form in which two ingestions can be compared.

What belongs here: reading. Ids, dates and epochs differ from one life to another and are left out; what remains must be
equal.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narralytica_ingest.store.database import Database, Row

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

State = dict[str, list[Any]]

_QUERIES = {
    "jobs": """SELECT idempotency_key, status, outcome, video_id, run_id IS NOT NULL AS has_run, error_class, error_code
                 FROM ingest_jobs""",
    "videos": """SELECT to_jsonb(v) - ARRAY['lease_epoch', 'created_at', 'updated_at', 'ready_at'] AS video
                   FROM videos v""",
    "aliases": "SELECT alias, video_id FROM video_aliases",
    "media_files": """SELECT (to_jsonb(f) - ARRAY['media_file_id', 'lease_epoch', 'created_at'])
                              #- '{facts,read_at}' AS file
                        FROM media_files f""",
    "metadata": """SELECT to_jsonb(m) - ARRAY['lease_epoch', 'created_at', 'updated_at', 'read_at'] AS metadata
                     FROM video_metadata m""",
    "publications": "SELECT bucket, object_key FROM publications",
    "leftovers": "SELECT bucket, object_key FROM leftover_objects",
    "pauses": "SELECT resource FROM claim_pauses",
    "partitions": "SELECT partitions_def_name, partition FROM dagster.dynamic_partitions",
    "materializations": """SELECT DISTINCT asset_key, partition FROM dagster.event_logs
                            WHERE dagster_event_type = 'ASSET_MATERIALIZATION'""",
    "unfinished runs": "SELECT status FROM dagster.runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')",
}


class Place:
    """Where a scenario leaves its traces: a database, a bucket, and the folder of the machine."""

    def __init__(self, database: Database, client: "S3Client", bucket: str, home: Path) -> None:
        self.database, self.client, self.bucket, self.home = database, client, bucket, home

    def end_state(self) -> State:
        """All that must be equal, however the ingestion came about. Rows are in an order of their own content."""
        state: State = {name: _sorted(self.database.all(query)) for name, query in _QUERIES.items()}
        state["objects"] = sorted((key, *self._measured(key)) for key in self.keys())
        state["uploads"] = sorted(self._open_uploads())
        state["files"] = sorted(self._files())
        return state

    def keys(self) -> list[str]:
        """Everything in the bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [str(each["Key"]) for page in pages for each in page.get("Contents", [])]

    def is_settled(self) -> bool:
        """Whether nothing remains to be done: every job has ended, and nothing lies about."""
        unsettled = """
            SELECT FROM ingest_jobs WHERE finished_at IS NULL UNION ALL SELECT FROM publications
             UNION ALL SELECT FROM leftover_objects UNION ALL SELECT FROM videos WHERE lease_run_id IS NOT NULL
             UNION ALL SELECT FROM dagster.runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')
             UNION ALL SELECT FROM dagster.dynamic_partitions WHERE partition NOT IN (SELECT video_id FROM videos)"""
        referred = {row["object_key"] for row in self.database.all("SELECT object_key FROM media_files")}
        stored = {key for key in self.keys() if key.startswith("media/")}
        return (
            not self.database.all(unsettled)
            and stored == referred
            and not list(self._open_uploads())
            and not list(self._files())
        )

    def check_what_is_served(self) -> None:
        """At every moment: what downstream sees is whole, of one generation, and has the bytes that its rows say."""
        files = self.database.all("SELECT * FROM ready_media_files")
        metadata = self.database.all("SELECT * FROM ready_video_metadata")
        for video in self.database.all("SELECT video_id, generation FROM videos WHERE status = 'ready'"):
            mine = [row for row in files if row["video_id"] == video["video_id"]]
            about = [row for row in metadata if row["video_id"] == video["video_id"]]
            generations = {row["generation"] for row in [*mine, *about]}
            assert generations == {video["generation"]}, f"{video}: served are the generations {generations}"
            assert {"raw_video", "audio_track"} <= {row["kind"] for row in mine}, f"{video}: files are missing"
            assert len(about) == 1, f"{video}: {len(about)} rows of metadata"
        for row in files:
            assert self._measured(row["object_key"]) == (row["size_bytes"], row["sha256"]), row["object_key"]

    def _measured(self, key: str) -> tuple[int, str]:
        body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return len(body), hashlib.sha256(body).hexdigest()

    def _open_uploads(self) -> Iterator[str]:
        for each in self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []):
            yield str(each["Key"])

    def _files(self) -> Iterator[str]:
        for folder in ("scratch", "partial", "reservations"):
            for path in (self.home / folder).glob("*"):
                yield str(path.relative_to(self.home))


def _sorted(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: str(sorted(row.items())))


def differences(undisturbed: State, recovered: State) -> list[str]:
    """What the two do not have in common, a line each."""
    lines = []
    for name in undisturbed:
        before, after = undisturbed[name], recovered[name]
        lines += [f"{name}: missing {each}" for each in before if each not in after]
        lines += [f"{name}: not there undisturbed: {each}" for each in after if each not in before]
        if len(before) != len(after):
            lines.append(f"{name}: {len(after)} instead of {len(before)}")
    return lines
