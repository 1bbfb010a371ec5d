"""Words for tests of the job table: submit a job, start its run, commit what it makes, look."""

from typing import Any
from uuid import UUID

from narralytica_ingest.store import artifacts, dispatch, jobs, leases, metadata_rows, outcomes
from narralytica_ingest.store.artifacts import MediaFile
from narralytica_ingest.store.database import Connection
from narralytica_ingest.store.dispatch import Dispatched, VideoKey
from narralytica_ingest.store.leases import Dispatch, Lease
from narralytica_ingest.store.metadata_rows import METADATA_COLUMNS

POLICY = outcomes.RetryPolicy(max_attempts=3, base_seconds=5, max_seconds=60, random=lambda: 0.0)
SHA = "a" * 64


def key(name: str = "v") -> VideoKey:
    return VideoKey(f"web-{name}", "web", name, f"http://host-{name}/clip.mp4", None, None, f"host-{name}")


def submit(connection: Connection, name: str = "v", **wishes: Any) -> UUID:
    """Inserts a job and gives it its video."""
    job_id = jobs.insert(connection, jobs.JobRequest(source_url=f"http://host-{name}/clip.mp4", **wishes))
    hints: dict[str, str] = {hint: wishes[hint] for hint in ("title", "channel", "language") if hint in wishes}
    dispatch.attach(connection, job_id, key(name), hints=hints, force=wishes.get("force", False))
    return job_id


def start(
    connection: Connection, run_id: str = "run-1", seconds: float = 60, window: int = 1
) -> tuple[Dispatched, Lease]:
    """Claims the next job and begins its run."""
    claimed = dispatch.claim(connection, window)[0]
    force = leases.is_forced(connection, Dispatch(claimed.job_id, claimed.attempt))
    lease = leases.take(connection, run_id, [claimed.video_id], seconds, force=force)[claimed.video_id]
    assert leases.bind(connection, Dispatch(claimed.job_id, claimed.attempt), lease)
    return claimed, lease


def media_file(kind: str, sha256: str = SHA) -> MediaFile:
    profile = "flac" if kind == "audio_track" else None
    return MediaFile(kind, "bucket", f"media/{sha256[:2]}/{sha256}", 10, sha256, "video/mp4", profile=profile)


def metadata_row(lease: Lease, **values: Any) -> dict[str, Any]:
    return {"video_id": lease.video_id, **dict.fromkeys(METADATA_COLUMNS), "origins": {}, **values}


def commit_all(connection: Connection, lease: Lease, sha256: str = SHA, **values: Any) -> None:
    artifacts.commit_media_files(connection, lease, [media_file("raw_video", sha256)])
    artifacts.commit_media_files(connection, lease, [media_file("audio_track", sha256)])
    metadata_rows.commit_metadata(connection, {lease.video_id: lease}, [metadata_row(lease, **values)])


def job(connection: Connection, job_id: UUID) -> dict[str, Any]:
    row = connection.execute("SELECT * FROM ingest_jobs WHERE job_id = %s", (job_id,)).fetchone()
    assert row is not None
    return row


def video(connection: Connection, name: str = "v") -> dict[str, Any]:
    row = connection.execute("SELECT * FROM videos WHERE video_id = %s", (f"web-{name}",)).fetchone()
    assert row is not None
    return row


def start_second(connection: Connection) -> tuple[Dispatched, Lease]:
    claimed = dispatch.claim(connection, 2)[0]
    lease = leases.take(connection, "run-stray", [claimed.video_id], 60)[claimed.video_id]
    assert leases.bind(connection, Dispatch(claimed.job_id, claimed.attempt), lease)
    return claimed, lease
