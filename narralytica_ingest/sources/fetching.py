"""The words of a fetch: what is asked, what is reported on the way, what comes back.

What belongs here: plain types without any heavy import, for the adapter in `ytdlp.py` and for its callers.
"""

from dataclasses import dataclass
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

    `byte_exact`: `parts` is one file, byte for byte as the source served it. Otherwise `parts` are streams that still
    have to be joined into one container (`media.remux.join_streams`): segments, or picture and sound apart. `info` is
    what the source says about the video, ready for JSON and free of signed URLs, headers and cookies.
    """

    parts: tuple[Path, ...]
    byte_exact: bool
    info: dict[str, Any]
