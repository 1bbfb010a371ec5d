"""What a failure is: its class (which decides what happens next), a stable code, and a sentence for a person.

The mapping of a library's exceptions to these belongs to the module that calls the library
(`sources.ytdlp.failures.py`, `media/...`); the consequences of each class belong to `store/outcomes.py`.
"""

from datetime import datetime
from enum import StrEnum


class FailureClass(StrEnum):
    """Decides the policy: `store/outcomes.py` says what follows from each."""

    PERMANENT = "permanent"  # fail now
    NEEDS_OPERATOR = "needs_operator"  # fail now, loudly; restartable by `retry`
    NOT_YET = "not_yet"  # requeue for later, no failure counted
    RATE_LIMITED = "rate_limited"  # requeue after the source's own delay or a growing one
    TRANSIENT = "transient"  # retry with exponential backoff
    RESTART = "restart"  # drop the partial files, then retry
    LOCAL = "local"  # our own disk, database or object store: keep the job, count nothing
    CANCELED = "canceled"  # asked for


class IngestError(Exception):
    """A failure with a verdict.

    `code` is stable, lower_snake_case, and never contains data; `message` is one sentence that says what happened and
    what to do about it, free of secrets. `retry_at` (UTC) is set where the time of the next try is known.
    """

    def __init__(
        self, failure_class: FailureClass, code: str, message: str, *, retry_at: datetime | None = None
    ) -> None:
        super().__init__(message)
        self.failure_class = failure_class
        self.code = code
        self.message = message
        self.retry_at = retry_at

    def __str__(self) -> str:
        return f"{self.message} [{self.failure_class}/{self.code}]"


def permanent(code: str, message: str) -> IngestError:
    """A failure that no retry mends."""
    return IngestError(FailureClass.PERMANENT, code, message)


def transient(code: str, message: str) -> IngestError:
    """A failure that a later try may not meet."""
    return IngestError(FailureClass.TRANSIENT, code, message)


def local(code: str, message: str) -> IngestError:
    """A failure of our own machine or services; it says nothing about the job."""
    return IngestError(FailureClass.LOCAL, code, message)
