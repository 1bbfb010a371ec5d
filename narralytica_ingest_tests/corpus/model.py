"""What a file of the corpus is: how it is made, and everything that is expected of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from narralytica_ingest_tests.corpus.workshop import SECONDS, Workshop

Make = Callable[[Workshop, Path], None]
"""Writes one file of the corpus to the path given."""


@dataclass(frozen=True)
class Sound:
    """A sound track as the probe sees it. `rate` is hertz."""

    codec: str
    channels: int = 2
    rate: int = 48_000
    language: str | None = None


@dataclass(frozen=True)
class Expected:
    """What becomes of a file. `seconds` is how long its track is, `taken` the place of the chosen sound among the
    file's, `said` the sentence that is heard in the track, `begins` when (seconds after the track's start), `louder` by
    how many decibels than it was put in. `findings` are the codes of what is noticed.

    With a `failure` there is no track. `refused` is a failure of the probe, which leaves nothing else to be known.
    """

    seconds: float = SECONDS
    taken: int = 0
    language: str | None = None
    said: str | None = "sentence"
    begins: float = 0.0
    louder: float = 0.0
    findings: frozenset[str] = frozenset()
    failure: str | None = None
    refused: bool = False


PLAIN = Expected()
"""The sentence is in the track as it was spoken, and nothing is wrong."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One file. `name` has the extension that the file is called by; `container`, `extension` are what it is.

    `rotation` is degrees counter-clockwise; `chapters` are their titles; of `tags`, those named must be there.
    `original` is the language that the source names as the original; `further` are the languages that are wanted beside
    it, each with the sentence that is heard in its track.
    """

    name: str
    how: str
    make: Make = field(repr=False)
    container: str = ""
    extension: str = ""
    picture: str | None = None
    sounds: tuple[Sound, ...] = ()
    rotation: int | None = None
    hdr: str | None = None
    frame_rate: float | None = None
    chapters: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    expected: Expected = PLAIN
    original: str | None = None
    further: Mapping[str, str] = field(default_factory=dict)
