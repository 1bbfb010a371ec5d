"""How a run itself fails, apart from what its work meets, and how Dagster is told of a failure."""

from datetime import UTC, datetime

import dagster as dg

from narralytica_ingest.failures import IngestError, failure


def as_dagster_failure(failed: IngestError) -> dg.Failure:
    """The failure as Dagster shows it best: the sentence first, class and code beside it."""
    return dg.Failure(
        description=failed.message,
        metadata={"error_class": failed.failure_class.value, "error_code": failed.code},
        allow_retries=False,
    )


def unknown_video(video_id: str) -> IngestError:
    """There is no row of it."""
    return failure(
        "unknown_video", f"No video {video_id} is known: insert a job for its source; the job makes the partition."
    )


def busy(video_id: str) -> IngestError:
    """A run that a person started does not wait."""
    return failure(
        "video_busy",
        f"Another run is at work on {video_id}: wait for it or terminate it, then materialize again.",
    )


def interrupted() -> IngestError:
    """Nobody's fault and nothing to wait for: the next worker may have the job at once."""
    return failure(
        "interrupted",
        "The worker was stopped during the run; the job goes on when a worker is there.",
        retry_at=datetime.now(UTC),
    )
