"""Who may be connected to: from a host and a port as they were asked for to the addresses that were checked.

What belongs here: the order of the checks (address, host, port), and the sentences of the refusals. Refused are all
addresses that `addresses.py` names, and this machine's own, public ones too.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence

from narralytica_ingest.egress import resolve
from narralytica_ingest.egress.addresses import reason
from narralytica_ingest.egress.ledger import Code, Refusal
from narralytica_ingest.egress.policy import EgressPolicy, same_host
from narralytica_ingest.egress.resolve import Found

_LONGEST_NAME = 253  # characters


class Refused(Exception):
    """The policy closes this host and port."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def checked(policy: EgressPolicy, host: str, port: int) -> list[Found]:
    """The addresses to connect to, all of them checked. They hold for this one connection.

    Raises Refused, and what the lookup raises: OSError (socket.gaierror), UnicodeError.
    """
    if ":" in host and "%" in host:  # an IPv6 address of one interface, in whatever spelling the resolver knows
        raise _refused(host, port, "blocked_address", "has an address that nothing is fetched from (of an interface)")
    found = resolve.addresses(host, port)
    judge(policy, host, port, found)
    return found


def judge(policy: EgressPolicy, host: str, port: int, found: Sequence[Found]) -> None:
    """Raises Refused where the policy closes the host (as it was asked for), one of its addresses, or the port."""
    if policy.excepts(host, port):
        return
    for each in found:
        why = reason(each.address) or ("this machine's own" if is_own(each) else None)
        if why is not None:
            raise _refused(host, port, "blocked_address", f"has an address that nothing is fetched from ({why})")
    if policy.refuses_host(host):
        raise _refused(host, port, "blocked_host", "the worker's lists of hosts close")
    if port not in policy.ports:
        raise _refused(host, port, "blocked_port", f"is to be asked on port {port}, which is not open")


def is_own(found: Found) -> bool:
    """Whether the address is one of this machine's. Nothing is sent: the kernel is asked for the way to it."""
    with socket.socket(found.family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(found.sockaddr)
        except OSError:  # there is no way to it at all
            return False
        return ipaddress.ip_address(probe.getsockname()[0].partition("%")[0]) == ipaddress.ip_address(found.address)


def is_plain_name(host: str) -> bool:
    """Whether nobody can take the host for an address: then another resolver may be asked for what ours does not
    know."""
    name = same_host(host)
    last = name.rpartition(".")[2]
    return (
        len(name) <= _LONGEST_NAME
        and re.fullmatch(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+", name) is not None
        and re.search(r"[a-z]", last) is not None
        and not last.startswith("0x")
        and last not in ("local", "localhost", "localdomain", "internal", "lan", "home", "arpa")
    )


def _refused(host: str, port: int, code: Code, what: str) -> Refused:
    name = same_host(host)
    shown = f"{name}, which" if is_plain_name(name) and len(name) < 100 else "a host that"
    return Refused(Refusal(name, port, code, f"The source leads to {shown} {what}."))
