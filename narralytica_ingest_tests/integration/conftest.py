"""What the tests of parts share: the tools, streams cut once from the bundled clip, and a place to ingest in."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.media.tools import MediaTools, find_tools
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest_tests.in_process import Installation, own_bucket
from narralytica_ingest_tests.source_server import SourceServer, make_streams


@pytest.fixture(scope="session")
def tools() -> MediaTools:
    """ffmpeg and ffprobe."""
    return find_tools()


@pytest.fixture(scope="session")
def streams(tmp_path_factory: pytest.TempPathFactory, tools: MediaTools) -> Path:
    """A folder with the clip as a file, HLS and DASH. A server reads it anew, so a test may change what it serves."""
    return make_streams(tmp_path_factory.mktemp("streams"), tools)


@pytest.fixture
def server() -> Iterator[SourceServer]:
    """A source with the bundled clip at `/clip.mp4`; a module that wants another one has its own."""
    with SourceServer() as running:
        running.add("/clip.mp4")
        yield running


@pytest.fixture
def place(settings: Settings, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """Tables, a bucket and a Dagster instance of the test's own."""
    bucket = own_bucket(make_client(endpoints.s3), monkeypatch)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Installation(settings.model_copy(update={"s3_bucket": bucket}), endpoints, instance)
