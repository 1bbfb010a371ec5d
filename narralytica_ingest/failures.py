"""What a failure is: its class (which decides what happens next), a stable code, and a sentence for a person.

What belongs here: the classes with their policies, and the catalogue that gives every code its one class. The codes
themselves are listed in `failure_codes.py`; which exceptions they stand for belongs to the module that calls the
library (`sources/ytdlp/failures.py`, `media/...`); `store/outcomes.py` carries the policies out.
"""

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from narralytica_ingest import failure_codes
from narralytica_ingest.redaction import visible


class FailureClass(StrEnum):
    """Decides the policy: see `POLICIES`."""

    PERMANENT = "permanent"
    NEEDS_OPERATOR = "needs_operator"
    NOT_YET = "not_yet"
    RATE_LIMITED = "rate_limited"
    TRANSIENT = "transient"
    RESTART = "restart"
    LOCAL = "local"
    CANCELED = "canceled"


@dataclass(frozen=True)
class Policy:
    """What follows from a class. `rule` tells it all; `then` is the sentence that ends a message of this class."""

    rule: str
    then: str


POLICIES: Mapping[FailureClass, Policy] = MappingProxyType(
    {
        FailureClass.PERMANENT: Policy(
            "The job fails at once: no retry mends it. Jobs that wait for the same video get the same verdict.", ""
        ),
        FailureClass.NEEDS_OPERATOR: Policy(
            "The job fails at once, and so do the jobs that wait for the same video: a person must change something "
            "first. Then `narralytica-ingest retry` starts it again with a fresh budget. A bot check or captcha also "
            "rests the source's whole host; while the host is under suspicion, a further one counts like `transient`.",
            "Then retry the job.",
        ),
        FailureClass.NOT_YET: Policy(
            "The job goes back to the queue until the time that the source names (at least minutes, at most a day "
            "ahead), else for 5 minutes, doubling with each look up to an hour. Nothing is counted.",
            "The job waits and looks again.",
        ),
        FailureClass.RATE_LIMITED: Policy(
            "The job is tried again when the source says (`Retry-After`), else within 45 seconds, and each refusal is "
            "counted. Until then the source's whole host rests, and when the job ends, for "
            "`NARRALYTICA_HOST_COOLDOWN_SECONDS`, doubling while it goes on. Its other jobs wait at no cost, other "
            "hosts go on, and `narralytica-ingest hosts` shows and ends the rest.",
            "",
        ),
        FailureClass.TRANSIENT: Policy(
            "The job is tried again after `NARRALYTICA_RETRY_BASE_SECONDS`, doubling up to "
            "`NARRALYTICA_RETRY_MAX_SECONDS`, and goes on with what it has. Each failure is counted; after "
            "`NARRALYTICA_MAX_ATTEMPTS` the job fails.",
            "",
        ),
        FailureClass.RESTART: Policy("What was downloaded so far is dropped; otherwise like `transient`.", ""),
        FailureClass.LOCAL: Policy(
            "The fault is ours, not the job's: the job goes back to the queue for 15 seconds, doubling up to 5 "
            "minutes, for as long as it takes. Nothing is counted. While the object store or the disk is away or full, "
            "no job is claimed: for 5 seconds, doubling up to 40; then one job at a time, until one succeeds.",
            "The job stays and goes on by itself.",
        ),
        FailureClass.CANCELED: Policy(
            "Somebody asked for it: the job ends as `canceled`, and what it had downloaded is removed.",
            "`retry` starts it again.",
        ),
    }
)


@dataclass(frozen=True)
class Known:
    """An entry of the catalogue: what a code means, and what the operator does about it (empty: nothing).

    `in_jobs`: it can end up in a job or a run; otherwise it is only ever seen on the terminal.
    """

    code: str
    failure_class: FailureClass
    meaning: str
    action: str
    in_jobs: bool

    @property
    def sentence(self) -> str:
        """What happened, what to do about it, and what comes next."""
        then = POLICIES[self.failure_class].then if self.in_jobs else ""
        return " ".join(filter(None, [self.meaning, self.action, then]))


def _catalogue() -> dict[str, Known]:
    rows = [
        Known(code, FailureClass(name), meaning, action, in_jobs)
        for listed, in_jobs in ((failure_codes.OF_JOBS, True), (failure_codes.OF_COMMANDS, False))
        for name, codes in listed.items()
        for code, (meaning, action) in codes.items()
    ]
    known = {row.code: row for row in rows}
    assert len(known) == len(rows), "a code is listed twice"
    return known


CATALOGUE: Mapping[str, Known] = MappingProxyType(_catalogue())


class IngestError(Exception):
    """A failure with a verdict; `failure` makes one.

    `code` is stable, lower_snake_case, and never contains data; `message` is one sentence that says what happened and
    what to do about it, free of secrets. `retry_at` (UTC) is set where the time of the next try is known.
    """

    def __init__(
        self, failure_class: FailureClass, code: str, message: str, *, retry_at: datetime | None = None
    ) -> None:
        message = visible(message)  # names and keys of strangers are in some: they forge no line of a log
        super().__init__(message)
        self.failure_class = failure_class
        self.code = code
        self.message = message
        self.retry_at = retry_at

    def __str__(self) -> str:
        return f"{self.message} [{self.failure_class}/{self.code}]"


def failure(code: str, message: str | None = None, *, retry_at: datetime | None = None) -> IngestError:
    """The failure that the catalogue knows by this code, with its class.

    `message` says more than the catalogue can, where there is more to say. Raises KeyError for an unknown code.
    """
    known = CATALOGUE[code]
    return IngestError(known.failure_class, code, message or known.sentence, retry_at=retry_at)


BY_ERRNO = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "disk_unusable",
    errno.EIO: "disk_unusable",
    errno.EMFILE: "too_many_open_files",
    errno.ENFILE: "too_many_open_files",
    errno.ENOMEM: "out_of_memory",
}


def code_of_machine(error: BaseException) -> str | None:
    """The code of a failure of the worker's own machine (disk, memory, open files); None for any other."""
    if isinstance(error, MemoryError):
        return "out_of_memory"
    # Not of its subclasses: libraries of the network put numbers of their own into `errno`.
    return BY_ERRNO.get(error.errno or 0) if type(error) is OSError else None
