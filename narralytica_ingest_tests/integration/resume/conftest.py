"""Fixtures of the tests of resuming."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from narralytica_ingest.sources import ytdlp
from narralytica_ingest_tests.integration.resume.attempts import (
    KnowingDownloader,
    SiteIE,
)
from narralytica_ingest_tests.source_server import SourceServer


@pytest.fixture
def server(streams: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SourceServer]:
    monkeypatch.setattr(ytdlp, "Downloader", KnowingDownloader)
    monkeypatch.setattr(SiteIE, "formats", ())
    with SourceServer(streams) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "partial"
