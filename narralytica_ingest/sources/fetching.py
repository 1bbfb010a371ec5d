"""The words of a fetch: what is asked, what is reported on the way, what comes back.

What belongs here: plain types without any heavy import, for the adapter in `ytdlp.py` and for its callers.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FetchOptions:
    """How to fetch. `max_height` is pixels of the shorter side; times are seconds."""

    max_height: int = 1080
    socket_timeout: float = 20.0
    retries: int = 3
    deno: Path | None = None


@dataclass(frozen=True)
class Progress:
    """How far a stage is. `bytes` and `total` are bytes, `rate` bytes per second; None means unknown."""

    stage: str
    bytes: int
    total: int | None
    rate: float | None


@dataclass(frozen=True)
class Fetched:
    """What a fetch left in its folder.

    `byte_exact`: `parts` is one file, byte for byte as the source served it. Otherwise `parts` are streams that still have
    to be joined into one container (`media.remux.join_streams`): segments, or picture and sound apart. `info` is what the
    source says about the video, ready for JSON and free of signed URLs, headers and cookies.
    """

    parts: tuple[Path, ...]
    byte_exact: bool
    info: dict[str, Any]


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
        return cls(headers.get("ETag"), headers.get("Last-Modified"), int(length) if length and length.isdigit() else None)

    @property
    def validator(self) -> str | None:
        """What `If-Range` may carry: a strong ETag, else the date; None when nothing proves that two reads match."""
        if self.etag is not None:
            return None if self.etag.startswith("W/") else self.etag
        return self.last_modified


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
