"""The words of a fetch: what is asked, what is reported on the way, what comes back.

What belongs here: plain types without any heavy import, for the adapter in `ytdlp/` and for its callers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from narralytica_ingest.egress import Contact, EgressPolicy


@dataclass(frozen=True)
class Access:
    """What opens a source that a stranger cannot read. All of it is secret, so none of it is in `repr`.

    `cookies_file` is in Netscape's format and is only read. `cookies_from_browser` is yt-dlp's `BROWSER[:PROFILE]`.
    `proxy` is the URL of the proxy for this source. `impersonate` names a browser (`chrome`). `extractor_args` are
    yt-dlp's, by extractor and name.
    """

    cookies_file: Path | None = field(default=None, repr=False)
    cookies_from_browser: str | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)
    impersonate: str | None = field(default=None, repr=False)
    pot_provider_url: str | None = field(default=None, repr=False)
    extractor_args: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class FetchOptions:
    """How to fetch. `max_height` is pixels of the shorter side; times are seconds; None means no limit or no wish.

    `format` is a selector of yt-dlp that replaces the usual choice. `max_entries` is how many videos of a playlist are
    listed. A transfer below `min_rate` bytes per second for `stall_seconds` is given up. `egress` says what may be
    reached. `allowed_extractors` and `denied_extractors` are names of yt-dlp's extractors in lower case, each with
    those named `name:…`; no allowed ones means all.
    """

    max_height: int = 1080
    format: str | None = None
    max_duration: float | None = None
    max_bytes: int | None = None
    min_rate: int = 1024
    stall_seconds: float = 20.0
    max_entries: int = 200
    uploaded_captions: bool = True
    automatic_captions: bool = True
    socket_timeout: float = 15.0
    retries: int = 1
    deno: Path | None = None
    access: Access = Access()
    egress: EgressPolicy = EgressPolicy()  # noqa: RUF009 (frozen)
    allowed_extractors: tuple[str, ...] = ()
    denied_extractors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far a stage is. `bytes` and `total` are bytes, `rate` bytes per second, `eta` seconds; None means unknown."""

    stage: str
    bytes: int
    total: int | None
    rate: float | None
    eta: float | None = None


@dataclass(frozen=True)
class FetchEvents:
    """What a fetch tells whoever asked for it. What one of them raises ends the fetch and comes out unchanged.

    `alias`: the id that extraction revealed, told before any media byte. `reserve`: how many bytes of disk the fetch
    will need in its folder, told before any media byte where it can be known. `contacted`: every host that was asked
    for, told once, at the end, however the fetch ended.
    """

    progress: Callable[[Progress], None] = lambda _: None
    alias: Callable[[str], None] = lambda _: None
    reserve: Callable[[int], None] = lambda _: None
    contacted: Callable[[Sequence[Contact]], None] = lambda _: None


@dataclass(frozen=True)
class SideFile:
    """A small file that came with the video. `kind` is `thumbnail` or `captions`; `language` (BCP 47 as the source
    says it) and `origin` (`uploaded` or `automatic`) are of captions."""

    kind: str
    path: Path
    extension: str
    content_type: str
    language: str | None = None
    origin: str | None = None


@dataclass(frozen=True)
class Fetched:
    """What a fetch left in its folder.

    `byte_exact`: `parts` is one file, byte for byte as the source served it. Otherwise `parts` are streams that still
    have to be joined into one container (`media.remux.join_streams`): segments, or picture and sound apart. `info` is
    what the source says about the video, ready for JSON and free of signed URLs, headers and cookies; under
    `not_fetched` it names the side files that could not be had.
    """

    parts: tuple[Path, ...]
    byte_exact: bool
    info: dict[str, Any]
    side_files: tuple[SideFile, ...] = ()


@dataclass(frozen=True)
class ListedVideo:
    """One video of a playlist: where it is, and its title if the list says it."""

    url: str
    title: str | None = None


@dataclass(frozen=True)
class Listing:
    """The URL holds several videos: a playlist, a channel, a page. `more`: there are others beyond `max_entries`."""

    title: str | None
    videos: tuple[ListedVideo, ...]
    more: bool
