"""A web server on loopback that serves video sources, the well-behaved and the hostile ones, and counts what it serves.

Used by tests, and by hand: `python -m narralytica_ingest_tests.source_server --port N`.
"""

from narralytica_ingest_tests.source_server.exceptions import close_to, lab_options, lab_policy, open_to, opened_to
from narralytica_ingest_tests.source_server.resource import Asked, Resource
from narralytica_ingest_tests.source_server.server import PUBLISHED, SourceServer
from narralytica_ingest_tests.source_server.streams import SAMPLE, make_streams
from narralytica_ingest_tests.source_server.usual import add_usual_sources

__all__ = [
    "PUBLISHED",
    "SAMPLE",
    "Asked",
    "Resource",
    "SourceServer",
    "add_usual_sources",
    "close_to",
    "lab_options",
    "lab_policy",
    "make_streams",
    "open_to",
    "opened_to",
]
