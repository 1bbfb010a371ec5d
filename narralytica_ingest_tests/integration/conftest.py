"""What the tests of fetching and of media share: the tools, and streams cut once from the bundled clip."""

from pathlib import Path

import pytest

from narralytica_ingest.media.tools import MediaTools, find_tools
from narralytica_ingest_tests.source_server import make_streams


@pytest.fixture(scope="session")
def tools() -> MediaTools:
    """ffmpeg and ffprobe."""
    return find_tools()


@pytest.fixture(scope="session")
def streams(tmp_path_factory: pytest.TempPathFactory, tools: MediaTools) -> Path:
    """A folder with the clip as a file, HLS and DASH. A server reads it anew, so a test may change what it serves."""
    return make_streams(tmp_path_factory.mktemp("streams"), tools)
