"""What a job may reach on the network, and the guard that sees to it.

What belongs here: a forward proxy on loopback, free of yt-dlp and Dagster, which looks names up, judges all addresses,
connects to those very addresses, and keeps the job's limits and the list of its contacts.
"""

from narralytica_ingest.egress.guard import Guard
from narralytica_ingest.egress.ledger import Contact, Refusal
from narralytica_ingest.egress.policy import EgressPolicy, parse_allow, parse_hosts, parse_ports, parse_words, same_host
from narralytica_ingest.egress.ways import ProxyFailed

__all__ = [
    "Contact",
    "EgressPolicy",
    "Guard",
    "ProxyFailed",
    "Refusal",
    "parse_allow",
    "parse_hosts",
    "parse_ports",
    "parse_words",
    "same_host",
]
