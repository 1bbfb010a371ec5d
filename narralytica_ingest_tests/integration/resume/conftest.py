"""Fixtures of the tests of resuming."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from narralytica_ingest.media.tools import MediaTools, find_tools
from narralytica_ingest.sources import ytdlp
from narralytica_ingest_tests.integration.resume.attempts import (
    KnowingDownloader,
    SiteIE,
)
from narralytica_ingest_tests.source_server import SourceServer, make_streams


@pytest.fixture(scope="module")
def tools() -> MediaTools:
    return find_tools()


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory, tools: MediaTools) -> Path:
    return make_streams(tmp_path_factory.mktemp("streams"), tools)


@pytest.fixture
def server(streams: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SourceServer]:
    monkeypatch.setattr(ytdlp, "Downloader", KnowingDownloader)
    monkeypatch.setattr(SiteIE, "formats", ())
    with SourceServer(streams) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "partial"
