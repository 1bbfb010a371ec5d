"""The values that travel between assets and IO managers."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from narralytica_ingest.object_store.media import ObjectRef
from narralytica_ingest.store.artifacts import MediaFile


@dataclass(frozen=True)
class LocalFile:
    """A file on the worker's disk that is to become a media file of the video.

    `extension` and `content_type` are a function of the bytes. `copy_from` names the same bytes in the object store,
    where they are there already: then the server copies, and nothing is sent.
    """

    kind: str
    path: Path
    size_bytes: int
    sha256: str
    extension: str
    content_type: str
    language: str | None = None
    origin: str | None = None
    probe: dict[str, Any] | None = None
    profile: str | None = None
    facts: dict[str, Any] | None = None
    copy_from: ObjectRef | None = None


@dataclass(frozen=True)
class NewMedia:
    """Files to store for a video, all or none; the first is the asset's own."""

    video_id: str
    files: tuple[LocalFile, ...]


@dataclass(frozen=True)
class StoredMedia:
    """A media file that is stored already.

    `open_local` gives its bytes as a file on the worker's disk: the one the run still has, or a download; that is for
    small files. `opened` gives them to a tool: the file that the run still has, else the URL at which they are served
    on this machine's loopback until the block ends, whose end raises what the store failed with. `source_info` reads
    what the source said about the video; an upload has none. `read_at` is when that was read; of an upload, when it was
    stored.
    """

    video_id: str
    file: MediaFile
    open_local: Callable[[], Path]
    opened: Callable[[], AbstractContextManager[Path | str]]
    source_info: Callable[[], dict[str, Any] | None]
    read_at: datetime | None = None
