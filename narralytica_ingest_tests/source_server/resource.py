"""What a path of the source server answers: content, and every way in which a server may misbehave."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TypeVar

T = TypeVar("T")

TYPES = {
    ".mp4": "video/mp4",
    ".m4a": "audio/mp4",
    ".m4s": "video/iso.segment",
    ".ts": "video/mp2t",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".mpd": "application/dash+xml",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".jpg": "image/jpeg",
    ".vtt": "text/vtt",
}


@dataclass
class Resource:
    """What a path answers. The lists are read by the request's number (the last value stays); by default all is well.

    `cuts`: bytes after which the connection is closed, or None. `stalls`: bytes after which nothing more comes, though
    the connection stays. `bodies`: the content, which may change. `rate` is bytes per second. `etag`, `dated`,
    `ranges` and `announced` (Content-Length) can be switched off; `lie` is added to the length that is announced.
    `name` is what the server counts by, instead of the path. Whoever raises `broken_off` breaks off the answers that
    are being sent just now.
    """

    bodies: list[bytes]
    content_type: str = "video/mp4"
    cuts: list[int | None] = field(default_factory=lambda: [None])
    stalls: list[int | None] = field(default_factory=lambda: [None])
    statuses: list[int] = field(default_factory=lambda: [200])
    headers: Mapping[str, str] = field(default_factory=dict)
    rate: float | None = None
    etag: bool = True
    dated: bool = True
    ranges: bool = True
    honours_if_range: bool = True
    announced: bool = True
    lie: int = 0
    name: str | None = None
    broken_off: int = 0


@dataclass(frozen=True)
class Asked:
    """A request, for paths that are answered by a function. `query` has the last value of each name."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


Answer = Callable[[Asked], Resource]


def not_found() -> Resource:
    """The answer to a path that nobody serves."""
    return Resource([b"not found\n"], "text/plain", statuses=[404])


def nth(values: Sequence[T], number: int) -> T:
    """The value for a request's number; the last one stays."""
    return values[min(number, len(values) - 1)]


def etag(body: bytes) -> str:
    """A strong validator of the content."""
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


def date(body: bytes) -> str:
    """A date that belongs to the content: other content, other date."""
    return formatdate(1_700_000_000 + int(hashlib.sha256(body).hexdigest()[:6], 16), usegmt=True)
