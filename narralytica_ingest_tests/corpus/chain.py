"""What the assets do with a file, as a function of the file: measure it, judge it, choose its sound, extract that.

What belongs here: the product's own steps in their order, and remembering what came out, so that each file goes the way
once however many tests look at it.
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from narralytica_ingest.failures import IngestError
from narralytica_ingest.media.audio import extract_audio
from narralytica_ingest.media.findings import judge
from narralytica_ingest.media.integrity import inspect, sha256_file
from narralytica_ingest.media.probe import Probe, probe
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest.media.tracks import choose
from narralytica_ingest_tests.corpus.model import Entry
from narralytica_ingest_tests.corpus.workshop import Workshop, alone


@dataclass(frozen=True)
class Track:
    """A file that came out. `facts` are those that are stored with it."""

    path: Path
    profile: str
    language: str | None
    sha256: str
    facts: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Outcome:
    """What became of a file: its tracks, or the code of a failure. `findings` are the codes of what was noticed."""

    probe: Probe | None
    tracks: tuple[Track, ...] = ()
    findings: frozenset[str] = frozenset()
    failure: str | None = None

    @property
    def track(self) -> Track:
        """The original's track."""
        return self.tracks[0]


def process(
    entry: Entry, source: Path, folder: Path, tools: MediaTools, profiles: Sequence[str] = ("flac",)
) -> Outcome:
    """Sends a file the whole way; its tracks are written to `folder`."""
    measured: Probe | None = None
    tracks: list[Track] = []
    try:
        measured = probe(source, tools)
        noticed = {each.code for each in judge(inspect(source, measured, tools))}
        for chosen in choose(measured, tuple(entry.further), entry.original):
            for made in extract_audio(source, measured, chosen, profiles, folder, tools):
                tracks.append(Track(made.path, made.profile, made.language, sha256_file(made.path), made.facts))
                noticed |= {each["code"] for each in made.facts["findings"]}
    except IngestError as error:
        return Outcome(measured, failure=error.code)
    return Outcome(measured, tuple(tracks), frozenset(noticed))


def outcome(entry: Entry, shop: Workshop) -> Outcome:
    """What became of a file of the corpus: the first who asks sends it the way."""
    folder = outcome_folder(entry, shop)
    with alone(folder / ".lock"):
        kept = folder / ".outcome"
        if not kept.exists():
            kept.write_bytes(pickle.dumps(process(entry, shop.file(entry.name), folder, shop.tools)))
    found = pickle.loads(kept.read_bytes())
    assert isinstance(found, Outcome)
    return found


def outcome_folder(entry: Entry, shop: Workshop) -> Path:
    """Where the tracks of a file of the corpus are."""
    folder = shop.files.parent / "outcomes" / entry.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
