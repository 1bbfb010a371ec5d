"""Which IP addresses nobody may be sent to, and why: pure, without a lookup.

What belongs here: IANA's registries of special-purpose addresses (IPv4, IPv6 and multicast, as of 2026), the
addresses under which clouds serve their machines' secrets, and every form in which IPv6 carries an IPv4 address.
"""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

# The narrower network stands first: the first that fits names the reason.
_V4: tuple[tuple[str, str], ...] = (
    ("169.254.169.254/32", "cloud metadata"),
    ("169.254.170.2/32", "cloud metadata"),
    ("100.100.100.200/32", "cloud metadata"),
    ("192.0.0.192/32", "cloud metadata"),
    ("168.63.129.16/32", "cloud metadata"),  # public by its number, and a cloud's own wire server
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by a carrier (CGNAT)"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved for protocols"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "reserved (AS112)"),
    ("192.52.193.0/24", "reserved (AMT)"),
    ("192.88.99.0/24", "reserved (6to4 relay)"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "reserved (AS112)"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("240.0.0.0/4", "reserved"),
)
_V6: tuple[tuple[str, str], ...] = (
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("fd00:ec2::254/128", "cloud metadata"),
    ("fd20:ce::254/128", "cloud metadata"),
    ("::ffff:0:0/96", "IPv4 within IPv6 (mapped)"),
    ("::ffff:0:0:0/96", "IPv4 within IPv6 (translated)"),
    ("::/96", "IPv4 within IPv6 (compatible)"),
    ("64:ff9b::/96", "IPv4 within IPv6 (NAT64)"),
    ("64:ff9b:1::/48", "IPv4 within IPv6 (NAT64)"),
    ("100::/64", "discard"),
    ("2001::/32", "IPv4 within IPv6 (Teredo)"),
    ("2001:db8::/32", "documentation"),
    ("2001::/23", "reserved for protocols"),
    ("2002::/16", "IPv4 within IPv6 (6to4)"),
    ("2620:4f:8000::/48", "reserved (AS112)"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
NETWORKS_V4 = tuple((IPv4Network(network), why) for network, why in _V4)
NETWORKS_V6 = tuple((IPv6Network(network), why) for network, why in _V6)
_GLOBAL_V6 = IPv6Network("2000::/3")  # all that IANA has given out for unicast; the rest is reserved
_ISATAP = {0x00005EFE, 0x02005EFE}  # the first half of such an interface identifier; the other is an IPv4 address


def reason(address: str) -> str | None:
    """Why nobody may be sent to this IP address; None where it is a public one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "no address"
    return _reason_v4(parsed) if isinstance(parsed, IPv4Address) else _reason_v6(parsed)


def _reason_v4(address: IPv4Address) -> str | None:
    return next((why for network, why in NETWORKS_V4 if address in network), None)


def _reason_v6(address: IPv6Address) -> str | None:
    if address.scope_id is not None:
        return "scoped to an interface"
    for network, why in NETWORKS_V6:
        if address in network:
            return why
    if address not in _GLOBAL_V6:
        return "reserved"
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return "IPv4 within IPv6 (ISATAP)"
    return None
