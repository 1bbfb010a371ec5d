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


def fell_silent(unseen: bool) -> IngestError:
    """The run stopped beating. `unseen`: it may as well have been our own outage, for which no job pays."""
    return _outage() if unseen else failure("worker_lost", "The worker died or lost its connection during the run.")


def ended_early(unseen: bool) -> IngestError:
    """The run has ended, and its job does not know how. `unseen`: as above."""
    return _outage() if unseen else failure("run_ended_early", "The run ended without a word.")


def taken_for_dead() -> IngestError:
    """Dagster has no use for the run any more, though it lives; its job goes to another one, and pays nothing."""
    return failure(
        "interrupted",
        "The run had been given up before it began, and was stopped; the job goes on in another one.",
        retry_at=datetime.now(UTC),
    )


def run_died() -> IngestError:
    """The run ended before it took its job up, so nothing of the job was tried: another run may have it at once."""
    return failure("run_died", "The run ended before it began its work.", retry_at=datetime.now(UTC))


def _outage() -> IngestError:
    return failure(
        "database_away",
        "Postgres was away during the run, which has not been heard of since; the job goes on by itself.",
        retry_at=datetime.now(UTC),
    )
