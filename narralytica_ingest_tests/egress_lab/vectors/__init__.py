"""The table of attacks, group by group; every entry is data, and one test of its own."""

from narralytica_ingest_tests.egress_lab.vector import Vector
from narralytica_ingest_tests.egress_lab.vectors import (
    addresses,
    beside,
    lookups,
    manifests,
    pages,
    redirects,
    spellings,
    ways,
)

VECTORS: tuple[Vector, ...] = (
    *addresses.VECTORS,
    *spellings.VECTORS,
    *lookups.VECTORS,
    *redirects.VECTORS,
    *pages.VECTORS,
    *manifests.VECTORS,
    *beside.VECTORS,
    *ways.VECTORS,
)

__all__ = ["VECTORS"]
