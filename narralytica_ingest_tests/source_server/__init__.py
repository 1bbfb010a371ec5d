"""A web server on loopback that serves video sources, the well-behaved and the hostile ones, and counts what it serves.

Used by tests, and by hand: `python -m narralytica_ingest_tests.source_server --port N`.
"""

from narralytica_ingest_tests.source_server.resource import Asked, Resource
from narralytica_ingest_tests.source_server.server import PUBLISHED, SourceServer
from narralytica_ingest_tests.source_server.streams import SAMPLE, make_streams
from narralytica_ingest_tests.source_server.usual import add_usual_sources

__all__ = ["PUBLISHED", "SAMPLE", "Asked", "Resource", "SourceServer", "add_usual_sources", "make_streams"]
