"""One stack, one source server and one YouTube for all end-to-end tests of a session."""

from collections.abc import Iterator

import pytest

from narralytica_ingest.media.tools import find_tools
from narralytica_ingest_tests.e2e.running import Running, running_stack
from narralytica_ingest_tests.fake_youtube import FakeYoutube, in_subprocesses, make_material
from narralytica_ingest_tests.source_server import SourceServer, add_usual_sources, make_streams


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SourceServer]:
    """The web, as far as these tests know it."""
    with SourceServer(make_streams(tmp_path_factory.mktemp("sources"), find_tools())) as server:
        add_usual_sources(server)
        yield server


@pytest.fixture(scope="session")
def other_host() -> Iterator[SourceServer]:
    """A second host of the web."""
    with SourceServer(host="127.0.0.2") as server:
        yield server


@pytest.fixture(scope="session")
def youtube(source: SourceServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeYoutube]:
    """The site that every stack started from now on takes for YouTube."""
    site = FakeYoutube(source, make_material(tmp_path_factory.mktemp("material"), find_tools()))
    with in_subprocesses(source.url("")):
        yield site


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory, youtube: FakeYoutube, other_host: SourceServer
) -> Iterator[Running]:
    """The running stack; each test brings sources of its own, at the hosts that were there before it."""
    with running_stack(
        tmp_path_factory.mktemp("stack"), workers=2, lease_seconds=6.0, heartbeat_seconds=1.0, retry_base_seconds=1.0
    ) as running:
        yield running
