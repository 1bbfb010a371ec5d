"""A server that must see nobody."""

from collections.abc import Iterator

import pytest

from narralytica_ingest_tests.source_server import SourceServer


@pytest.fixture
def canary() -> Iterator[SourceServer]:
    """A server that nobody may reach: the policies of these tests do not except it."""
    with SourceServer() as running:
        running.add("/clip.mp4")
        yield running
