"""A corpus of small media files, whole and broken ones, each with what is expected of it.

What belongs here: how each file is made (with ffmpeg, once per run of the tests), and the verdicts. `CORPUS` lists them
all; `made` makes them; `chain.process` does with one what the assets do.
"""

import os
from collections.abc import Iterable

import pytest

from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest_tests.corpus.broken import BROKEN
from narralytica_ingest_tests.corpus.containers import CONTAINERS
from narralytica_ingest_tests.corpus.model import Entry
from narralytica_ingest_tests.corpus.peculiar import PECULIAR
from narralytica_ingest_tests.corpus.workshop import Workshop, alone, ffmpeg_of_the_wheel, in_parallel

CORPUS: tuple[Entry, ...] = (*CONTAINERS, *PECULIAR, *BROKEN)


def made(factory: pytest.TempPathFactory, tools: MediaTools) -> Workshop:
    """The corpus and its material, made once for all processes of a run of the tests."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "corpus"
    for each in (folder, folder / "material", folder / "files"):
        each.mkdir(exist_ok=True)
    shop = Workshop(folder / "material", folder / "files", ffmpeg_of_the_wheel(), tools)
    with alone(folder / ".lock"):
        done = folder / ".made"
        if not done.exists():
            shop.prepare()
            in_parallel(lambda entry: entry.make(shop, shop.file(entry.name)), CORPUS)
            done.touch()
    return shop


def each(entries: Iterable[Entry]) -> pytest.MarkDecorator:
    """The test goes over these files, each by its name."""
    chosen = list(entries)
    assert chosen
    return pytest.mark.parametrize("entry", chosen, ids=[entry.name for entry in chosen])
