"""What a fetch scenario is: what the web does, and what must come out of each attempt."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from narralytica_ingest_tests.fake_youtube import FakeYoutube
from narralytica_ingest_tests.source_server import SAMPLE, SourceServer

CLIP = SAMPLE.read_bytes()
SWAPPED = CLIP[:-1000] + bytes(1000)  # same size, other content
Side = tuple[str, str | None, str | None]


@dataclass(frozen=True)
class Web:
    """The web of one scenario: a server (with the usual streams), one that speaks TLS, and YouTube.

    `folder` is for files that a scenario makes; `streams` and `youtube.path()` are where the served ones lie.
    """

    server: SourceServer
    secure: SourceServer
    youtube: FakeYoutube
    streams: Path
    folder: Path


@dataclass(frozen=True)
class Published:
    """An original is stored: `file` itself, or the tracks of the files `tracks` gives, in one container.

    `beside`: kind, language and origin of every side file. `info`: what the stored source info must say.
    `sent_at_most`: bytes of a name that the server may have sent so far, over all attempts. `resumed`: names that
    were asked for from somewhere behind their beginning. `untouched`: names that were not asked for at all.
    """

    file: bytes | None = None
    tracks: Callable[[Web], list[Path]] | None = None
    extension: str = "mp4"
    beside: frozenset[Side] | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    sent_at_most: Mapping[str, int] = field(default_factory=dict)
    resumed: tuple[str, ...] = ()
    untouched: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fails:
    """The attempt ends with this verdict, and nothing is stored. `retry_in`: seconds (from, to) until the next try."""

    failure_class: str
    code: str
    retry_in: tuple[float, float] | None = None


@dataclass(frozen=True)
class Expands:
    """The job becomes the parent of jobs for these URLs."""

    urls: tuple[str, ...]
    more: bool = False


Outcome = Published | Fails | Expands


@dataclass(frozen=True)
class Scenario:
    """`serve` sets up the web and returns the URL of the job; `outcomes` has one entry for each attempt.

    `options` are the job's, `settings` the worker's; `stall_seconds` shortens the patience with slow sources.
    """

    name: str
    serve: Callable[[Web], str]
    outcomes: tuple[Outcome, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    stall_seconds: float | None = None


def row(name: str, serve: Callable[[Web], str], *outcomes: Outcome, **properties: Any) -> Scenario:
    """One row of the table."""
    return Scenario(name, serve, outcomes, **properties)
