"""A laboratory of the internet, without the internet: two network namespaces that the test itself makes.

In the one, `worker`, the real fetch path runs. In the other, `internet`, servers answer on every address there is, the
forbidden ones too, and would serve a perfectly good video on each: a leak would succeed. What leaves the worker is
counted on the wire itself, and so is what reaches the worker's own loopback. Nothing leaves the machine.
"""

from narralytica_ingest_tests.egress_lab.lab import Lab
from narralytica_ingest_tests.egress_lab.namespaces import NamespacesRefused
from narralytica_ingest_tests.egress_lab.vector import Vector
from narralytica_ingest_tests.egress_lab.words import Report

__all__ = ["Lab", "NamespacesRefused", "Report", "Vector"]
