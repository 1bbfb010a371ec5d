"""The one lookup of a host's addresses.

What belongs here: asking the resolver, once for each connection. What it answers is judged and then connected to; a
name is never looked up a second time between the two.
"""

import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """An address (no name) to which a TCP connection can be made, as `socket` wants it."""

    family: int
    address: str
    sockaddr: tuple[str, int] | tuple[str, int, int, int]


def addresses(host: str, port: int) -> list[Found]:
    """All addresses of the host, in the resolver's order. Raises socket.gaierror, and UnicodeError for impossible
    names."""
    listed = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [Found(family, str(at[0]), at) for family, _, _, _, at in listed]  # type: ignore[arg-type]
