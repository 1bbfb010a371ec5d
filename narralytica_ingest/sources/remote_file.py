"""What an answer's headers prove about the remote file that it is part of.

What belongs here: pure decisions over a status and headers, free of any HTTP library. They are what keeps two files
from being spliced, and a cut one from passing for whole.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from narralytica_ingest.failures import FailureClass, IngestError, permanent, transient


@dataclass(frozen=True)
class RemoteFile:
    """What a response says about the file it is part of. Two responses of one file have equal ones."""

    etag: str | None
    last_modified: str | None
    length: int | None

    @classmethod
    def of(cls, status: int, headers: Any) -> "RemoteFile":
        """From a response's status and headers (a mapping whose `get` ignores case)."""
        length = headers.get("Content-Length")
        if status == 206:
            match = re.fullmatch(r"bytes \d+-\d+/(\d+)", (headers.get("Content-Range") or "").strip())
            length = match[1] if match else None
        return cls(
            headers.get("ETag"), headers.get("Last-Modified"), int(length) if length and length.isdigit() else None
        )

    @property
    def validator(self) -> str | None:
        """What `If-Range` may carry: a strong ETag, else the date; None when nothing proves that two reads match."""
        if self.etag is not None:
            return None if self.etag.startswith("W/") else self.etag
        return self.last_modified


def check_piece(asked: str, status: int, headers: Any, first: RemoteFile) -> None:
    """Whether a piece (`Range: bytes=a-b`) is of the same file as the first answer.

    A piece cannot start over, so otherwise the attempt ends: IngestError `source_changed` (restart), or
    `ranges_ignored` (permanent) where the whole file came instead.
    """
    if status == 206:
        later = RemoteFile.of(status, headers)
        if later.length in (first.length, None) and (later.etag, later.last_modified) == (
            first.etag,
            first.last_modified,
        ):
            return
    elif asked.startswith("bytes=0-"):
        return
    else:
        raise permanent(
            "ranges_ignored",
            "The source's playlist needs parts of a file, but its server sends whole files: upload it.",
        )
    raise IngestError(
        FailureClass.RESTART,
        "source_changed",
        "The file changed at its source during the transfer: it is fetched again.",
    )


def require_known_end(headers: Any) -> None:
    """Refuses an answer whose cut would go unnoticed. Raises IngestError `length_unknown` (transient)."""
    chunked = "chunked" in (headers.get("Transfer-Encoding") or "").lower()
    if not chunked and (headers.get("Content-Length") is None or headers.get("Content-Encoding")):
        raise transient(
            "length_unknown",
            "The source does not say how long the file is, so a cut would go unnoticed: use a server that sends "
            "Content-Length, or upload the file.",
        )


def retry_after(value: str | None, now: datetime | None = None) -> datetime | None:
    """The time (UTC) that a `Retry-After` header names, in seconds or as a date; None when absent or senseless."""
    now = now or datetime.now(UTC)
    if value is None:
        return None
    if value.strip().isdigit():
        return now + timedelta(seconds=min(int(value), 86_400))
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(when.astimezone(UTC), now + timedelta(days=1))
