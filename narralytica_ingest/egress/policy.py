"""What a job may reach: which ports and hosts, how much, and the exact exceptions.

What belongs here: the rules as values, and how they are read from text. Which addresses are forbidden is no setting: it
is in `addresses.py`.
"""

import ipaddress
import re
from dataclasses import dataclass

OPEN_PORTS = frozenset({80, 443})
# Twice the largest video that is taken by default (64 GiB): what a source changes midway is fetched anew.
MAX_BYTES = 128 << 30
MAX_SECONDS = 12 * 3600.0
# Twelve hours of picture and sound in segments of two seconds are 43,200 requests; four times that, and some.
MAX_CONNECTIONS = 200_000


@dataclass(frozen=True)
class EgressPolicy:
    """What the requests of one job may reach.

    `allow` are exact exceptions, host as it is asked for (lower case) and port: neither address nor port is checked
    there. `ports` are open everywhere else. `allowed_hosts` and `denied_hosts` are domains, each with all below it;
    no allowed ones means all. `max_bytes` counts both ways, `max_seconds` from the first to the last request.
    """

    allow: frozenset[tuple[str, int]] = frozenset()
    ports: frozenset[int] = OPEN_PORTS
    allowed_hosts: tuple[str, ...] = ()
    denied_hosts: tuple[str, ...] = ()
    max_bytes: int = MAX_BYTES
    max_seconds: float = MAX_SECONDS
    max_connections: int = MAX_CONNECTIONS

    def excepts(self, host: str, port: int) -> bool:
        """Whether this very host and port are an exception."""
        return (same_host(host), port) in self.allow

    def refuses_host(self, host: str) -> bool:
        """Whether the lists of hosts close this one."""
        asked = same_host(host)
        if any(_is_below(asked, domain) for domain in self.denied_hosts):
            return True
        return bool(self.allowed_hosts) and not any(_is_below(asked, domain) for domain in self.allowed_hosts)


def same_host(host: str) -> str:
    """One spelling for a host: lower case, no brackets, no trailing dot, an IP address in its usual form."""
    text = host.strip().lower().removeprefix("[").removesuffix("]").rstrip(".")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return text.encode("idna").decode("ascii").rstrip(".") if not text.isascii() else text
    except UnicodeError:
        return text


def parse_allow(text: str) -> frozenset[tuple[str, int]]:
    """The exceptions in `host:port,[::1]:80`; empty text has none. Raises ValueError where one is no host and port."""
    return frozenset(_host_and_port(each) for each in parse_words(text))


def parse_ports(text: str) -> frozenset[int]:
    """The ports in `80,443`. Raises ValueError where one is no port, or there is none."""
    ports = frozenset(_port(each) for each in parse_words(text))
    if not ports:
        raise ValueError("must name at least one port, as in 80,443")
    return ports


def parse_hosts(text: str) -> tuple[str, ...]:
    """The domains in `example.com, example.org`, sorted. Raises ValueError where one is no host."""
    hosts = {same_host(each.removeprefix("*.").removeprefix(".")) for each in parse_words(text)}
    for each in hosts:
        if not re.fullmatch(r"[a-z0-9._:-]+", each):
            raise ValueError(f"names a host that is none: {each[:100]}")
    return tuple(sorted(hosts))


def _host_and_port(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+):(?P<port>\d{1,5})", text)
    if found is None:
        raise ValueError(f"must be exact exceptions, as in lab.example.com:8080,[::1]:80, but one is {text[:100]}")
    return same_host(found["host"]), _port(found["port"])


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65_536:
        raise ValueError(f"must name ports from 1 to 65535, but one is {text[:100]}")
    return int(text)


def parse_words(text: str) -> tuple[str, ...]:
    """The words in `youtube, vimeo`, in lower case."""
    return tuple(word.strip().lower() for word in text.split(",") if word.strip())


def _is_below(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")
