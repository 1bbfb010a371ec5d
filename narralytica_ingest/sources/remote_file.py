"""What an answer's headers prove about the remote file that it is part of.

What belongs here: pure decisions over a status and headers, free of any HTTP library. They are what keeps two files
from being spliced, and a cut one from passing for whole.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeGuard

from narralytica_ingest.failures import IngestError, failure

_COMPRESSIONS = ("gzip", "deflate", "compress", "br", "zstd")


@dataclass(frozen=True)
class RemoteFile:
    """What a response says about the file it is part of. Two responses of one file have equal ones."""

    etag: str | None
    last_modified: str | None
    length: int | None

    @classmethod
    def of(cls, status: int, headers: Any) -> "RemoteFile":
        """From a response's status and headers (a mapping whose `get` ignores case)."""
        span = _span(headers) if status == 206 else None
        length = headers.get("Content-Length") if status != 206 else span[2] if span else None
        # An empty validator is the same for all files, and proves nothing.
        etag, changed = ((headers.get(name) or "").strip() or None for name in ("ETag", "Last-Modified"))
        return cls(etag, changed, int(length) if _is_count(length) else None)

    @property
    def validator(self) -> str | None:
        """What `If-Range` may carry: a strong ETag, else the date; None when nothing proves that two reads match."""
        if self.etag is not None and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    @property
    def is_proof(self) -> bool:
        """Whether a later response can be proven to be of the same file."""
        return self.validator is not None and self.length is not None


@dataclass(frozen=True)
class Answer:
    """Which bytes (`start` to before `stop`) of which file a response brings; `stop` None: to the end, unannounced."""

    file: RemoteFile
    start: int
    stop: int | None

    @classmethod
    def of(cls, status: int, headers: Any) -> "Answer | None":
        """From a response's status and headers; None where a partial answer does not say which part it is."""
        file = RemoteFile.of(status, headers)
        if status != 206:
            return cls(file, 0, file.length)
        span = _span(headers)
        return cls(file, span[0], span[1] + 1) if span and span[0] <= span[1] else None


def _span(headers: Any) -> tuple[int, int, str] | None:
    """First byte, last byte and the whole file's length, which may be `*`."""
    match = re.fullmatch(
        r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", (headers.get("Content-Range") or "").strip()
    )
    return (int(match[1]), int(match[2]), match[3]) if match else None


def source_changed() -> IngestError:
    """The pieces fetched so far and those to come are of two files."""
    return failure(
        "source_changed",
        "The file changed at its source during the transfer: it is fetched again.",
    )


def ranges_ignored() -> IngestError:
    """The source names parts of a file, and its server does not send parts."""
    return failure(
        "ranges_ignored",
        "The source's playlist needs parts of a file, but its server sends whole files: upload it.",
    )


def require_known_end(headers: Any) -> None:
    """Refuses an answer whose cut would go unnoticed. Raises IngestError `length_unknown` (transient)."""
    chunked = "chunked" in (headers.get("Transfer-Encoding") or "").lower()
    compressed = is_compressed(headers)
    # Parts of what is compressed are counted in bytes that are never seen.
    if (compressed and (not chunked or headers.get("Content-Range"))) or (
        not chunked and headers.get("Content-Length") is None
    ):
        raise failure(
            "length_unknown",
            "The source does not say how long the file is, so a cut would go unnoticed: use a server that sends "
            "Content-Length, or upload the file.",
        )


def is_compressed(headers: Any) -> bool:
    """Whether what is read differs from what is sent. Stores also name encodings that nobody undoes (`aws-chunked`)."""
    return any(name in (headers.get("Content-Encoding") or "").lower() for name in _COMPRESSIONS)


def retry_after(value: str | None, now: datetime | None = None) -> datetime | None:
    """The time (UTC) that a `Retry-After` header names, in seconds or as a date; None when absent or senseless."""
    now = now or datetime.now(UTC)
    if value is None:
        return None
    if _is_count(seconds := value.strip()):
        return now + timedelta(seconds=min(int(seconds), 86_400))
    try:
        when = parsedate_to_datetime(value)
        when = (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return min(when, now + timedelta(days=1))


def _is_count(text: str | None) -> TypeGuard[str]:
    return text is not None and re.fullmatch(r"[0-9]{1,18}", text) is not None
