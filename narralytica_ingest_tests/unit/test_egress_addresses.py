"""No source leads to an address that is not a public one, however it is written."""

import ipaddress
import socket

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from narralytica_ingest.egress.addresses import NETWORKS_V4, NETWORKS_V6, reason
from narralytica_ingest.egress.judge import Refused, is_plain_name, judge
from narralytica_ingest.egress.policy import EgressPolicy
from narralytica_ingest.egress.resolve import Found, addresses

FORBIDDEN = {
    "this network": ["0.0.0.0", "0.0.0.1", "0.255.255.255"],
    "private": [
        "10.0.0.0", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",
        "fc00::1", "fd00::1", "fd12:3456:789a::1", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ],
    "shared by a carrier (CGNAT)": ["100.64.0.1", "100.100.100.201", "100.127.255.255"],
    "loopback": ["127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.255", "::1"],
    "cloud metadata": [
        "169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254",
        "fd20:ce::254",
    ],
    "link-local": ["169.254.0.1", "169.254.169.253", "169.254.255.255", "fe80::1", "febf::1"],
    "reserved for protocols": ["192.0.0.1", "192.0.0.8", "192.0.0.170", "2001:1::1", "2001:1ff::1", "2001:2::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.255", "2001:db8::1", "3fff::1", "3fff:fff:ffff::1"],
    "reserved (AS112)": ["192.31.196.1", "192.175.48.1", "2620:4f:8000::1"],
    "reserved (AMT)": ["192.52.193.1"],
    "reserved (6to4 relay)": ["192.88.99.1"],
    "benchmarking": ["198.18.0.1", "198.19.255.255"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1", "ff00::"],
    "broadcast": ["255.255.255.255"],
    "reserved": ["240.0.0.1", "250.1.2.3", "255.255.255.254", "4000::1", "1::1", "1fff::1", "8000::1", "fe00::1",
                 "64:ff9b:2::1", "200::1", "::1:0:0:0"],
    "unspecified": ["::"],
    "IPv4 within IPv6 (mapped)": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::ffff:7f00:1"],
    "IPv4 within IPv6 (translated)": ["::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"],
    "IPv4 within IPv6 (compatible)": ["::127.0.0.1", "::8.8.8.8", "::2"],
    "IPv4 within IPv6 (NAT64)": ["64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "64:ff9b:1:ffff::a00:1"],
    "IPv4 within IPv6 (Teredo)": ["2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "IPv4 within IPv6 (6to4)": ["2002:7f00:1::1", "2002:a00:1::", "2002:808:808::1"],
    "IPv4 within IPv6 (ISATAP)": ["2a00:1450::5efe:127.0.0.1", "2606:4700::200:5efe:10.0.0.1"],
    "discard": ["100::1"],
    "segment routing": ["5f00::1"],
    "site-local": ["fec0::1", "feff::1"],
    "scoped to an interface": ["fe80::1%eth0", "2a00:1450::1%1"],
    "no address": ["", "localhost", "127.1", "0x7f000001", "2130706433", "127.0.0.01", "1.2.3.4.5", "::1::"],
}  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.9.9.9", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1",
    "169.253.255.255", "169.255.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1", "192.0.3.1", "192.167.255.255",
    "192.169.0.1", "198.17.255.255", "198.20.0.1", "223.255.255.255", "93.184.215.14", "168.63.129.15",
    "2a00:1450:4001:82a::200e", "2606:4700:4700::1111", "2001:200::1", "2001:4860:4860::8888", "2003::1", "2620:fe::fe",
    "2600::", "3ffe::1", "2400:cb00::1",
]  # fmt: skip


@pytest.mark.parametrize(("why", "address"), [(why, each) for why, listed in FORBIDDEN.items() for each in listed])
def test_a_special_address_is_refused_with_its_reason(why: str, address: str) -> None:
    assert reason(address) == why


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_not_refused(address: str) -> None:
    assert reason(address) is None


NETWORKS = st.sampled_from([str(network) for network, _ in (*NETWORKS_V4, *NETWORKS_V6)])


@given(NETWORKS.flatmap(lambda network: st.ip_addresses(network=network)))
def test_every_address_of_a_listed_network_is_refused(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert reason(str(address)) is not None


@given(st.ip_addresses())
def test_no_address_passes_that_python_takes_for_special(address: ipaddress.IPv4Address) -> None:
    """Python's own registry is older than ours in places, and never stricter."""
    assume(not address.is_global or address.is_multicast or address.is_reserved)
    assert reason(str(address)) is not None


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "::{}", "::ffff:0:{}", "64:ff9b::{}", "2a00::5efe:{}"]))
def test_no_ipv4_address_is_reached_within_an_ipv6_one(address: ipaddress.IPv4Address, form: str) -> None:
    assert reason(form.format(address)) is not None


@given(st.ip_addresses(v=6, network="2a00::/12"))
def test_an_address_that_is_given_out_passes(address: ipaddress.IPv6Address) -> None:
    assume((int(address) >> 32) & 0xFDFFFFFF != 0x5EFE)
    assert reason(str(address)) is None


# ---- the judgement on a host and its addresses -----------------------------------------------------------------------


def found(*listed: str) -> list[Found]:
    return [
        Found(socket.AF_INET6, each, (each, 80, 0, 0)) if ":" in each else Found(socket.AF_INET, each, (each, 80))
        for each in listed
    ]


def code(policy: EgressPolicy, host: str, port: int, *listed: str) -> str | None:
    try:
        judge(policy, host, port, found(*listed))
    except Refused as refused:
        return refused.refusal.code
    return None


LISTS = EgressPolicy(allowed_hosts=("good.example",), denied_hosts=("bad.good.example",))


@pytest.mark.parametrize(
    ("policy", "host", "port", "listed", "verdict"),
    [
        (EgressPolicy(), "example.com", 443, ["1.1.1.1"], None),
        (EgressPolicy(), "example.com", 443, ["1.1.1.1", "10.0.0.1"], "blocked_address"),
        (EgressPolicy(), "example.com", 443, ["10.0.0.1", "1.1.1.1"], "blocked_address"),
        (EgressPolicy(), "example.com", 22, ["1.1.1.1"], "blocked_port"),
        (EgressPolicy(), "example.com", 22, ["10.0.0.1"], "blocked_address"),
        (EgressPolicy(ports=frozenset({22})), "example.com", 22, ["1.1.1.1"], None),
        (EgressPolicy(ports=frozenset({22})), "example.com", 80, ["1.1.1.1"], "blocked_port"),
        (EgressPolicy(allow=frozenset({("lab", 8080)})), "lab", 8080, ["10.0.0.1"], None),
        (EgressPolicy(allow=frozenset({("lab", 8080)})), "LAB.", 8080, ["10.0.0.1"], None),
        (EgressPolicy(allow=frozenset({("lab", 8080)})), "lab", 80, ["10.0.0.1"], "blocked_address"),
        (EgressPolicy(allow=frozenset({("lab", 8080)})), "not-lab", 8080, ["10.0.0.1"], "blocked_address"),
        (EgressPolicy(allow=frozenset({("10.0.0.1", 80)})), "lab", 80, ["10.0.0.1"], "blocked_address"),
        (LISTS, "good.example", 443, ["1.1.1.1"], None),
        (LISTS, "cdn.Good.example.", 443, ["1.1.1.1"], None),
        (LISTS, "notgood.example", 443, ["1.1.1.1"], "blocked_host"),
        (LISTS, "good.example.evil.com", 443, ["1.1.1.1"], "blocked_host"),
        (LISTS, "bad.good.example", 443, ["1.1.1.1"], "blocked_host"),
        (LISTS, "very.bad.good.example", 443, ["1.1.1.1"], "blocked_host"),
        (LISTS, "1.1.1.1", 443, ["1.1.1.1"], "blocked_host"),
    ],
)  # fmt: skip
def test_addresses_are_judged_before_hosts_and_these_before_ports(
    policy: EgressPolicy, host: str, port: int, listed: list[str], verdict: str | None
) -> None:
    assert code(policy, host, port, *listed) == verdict


def test_a_refusal_tells_the_name_and_no_address() -> None:
    with pytest.raises(Refused, match=r"inside\.example") as refused:
        judge(EgressPolicy(), "inside.example", 80, found("10.1.2.3"))
    assert "10.1.2.3" not in refused.value.refusal.message
    with pytest.raises(Refused) as refused:
        judge(EgressPolicy(), "10.1.2.3", 80, found("10.1.2.3"))
    assert "10.1.2.3" not in refused.value.refusal.message


@pytest.mark.parametrize(
    "spelled", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.0.0.1", "localhost", "::1",
                "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "0", "::ffff:127.0.0.1"]
)  # fmt: skip
def test_every_spelling_of_loopback_that_the_resolver_knows_is_refused(spelled: str) -> None:
    listed = addresses(spelled, 80)
    assert listed
    with pytest.raises(Refused, match="has an address"):
        judge(EgressPolicy(), spelled, 80, listed)


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("example.com", True), ("a_b.example", True), ("xn--bcher-kva.example", True), ("localhost", False),
        ("printer.local", False), ("metadata.google.internal", False), ("1.2.3.4", False), ("1.2.3.08", False),
        ("foo.0x7f", False), ("127.1", False), ("[::1]", False), ("intranet", False), ("%31.example", False),
        ("4.3.2.1.in-addr.arpa", False),
    ],
)  # fmt: skip
def test_only_a_public_name_is_left_to_another_resolver(host: str, plain: bool) -> None:
    assert is_plain_name(host) is plain
