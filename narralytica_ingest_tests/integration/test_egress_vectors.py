"""What strangers try in order to reach what they must not, through the real fetch path in a laboratory of networks.

Every entry of the table in `egress_lab/vectors/` is a test of its own. What counts is what went over the wire: nobody
who is forbidden may have been turned to, however the fetch ended.
"""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from narralytica_ingest.failures import FailureClass, failure
from narralytica_ingest_tests.egress_lab import Lab, NamespacesRefused, Report, Vector, places
from narralytica_ingest_tests.egress_lab.vector import ELSEWHERE
from narralytica_ingest_tests.egress_lab.vectors import VECTORS

_ATTACKS = {each.name: each for each in VECTORS}
_CONTROLS = {each.name: each.harmless() for each in VECTORS if each.control is not None}
# Some of each kind: with the guard's judgement switched off, their canaries sing.
_SAMPLE = (
    "address 127.0.0.1",
    "address 169.254.169.254",
    "public address, port 22",
    "spelling: decimal",
    "spelling: mapped in hexadecimal",
    "name: private",
    "name: public at first, private later",
    "redirect: status 302",
    "redirect: the fifth",
    "page: contentUrl",
    "feed: list of two",
    "HLS: segment",
    "HLS: AES-128 key",
    "DASH: SegmentTemplate",
    "beside: thumbnail by redirect",
    "beside: captions by a playlist's segment",
    "way: no proxy by header",
    "as a browser: HLS: AES-128 key",
)

_BOUNDED = "%s; setTimeout(() => Deno.exit(), 500)"
_SCRIPTS = {
    "fetch": 'await fetch("http://10.1.2.3/clip.mp4")',
    "socket": 'await Deno.connect({hostname: "127.0.0.1", port: 8080})',
    "node's socket": 'import net from "node:net"; net.connect(80, "169.254.169.254").on("error", console.error)',
    "websocket": 'new WebSocket("ws://10.1.2.3/").onerror = (event) => console.error(event.message)',
    "name": 'Deno.resolveDns("x.example.com", "A", {nameServer: {ipAddr: "10.1.2.3"}}).catch(console.error)',
}

_HEAD = "#EXTM3U\n#EXT-X-TARGETDURATION:12\n"
_FILES = {
    "HLS playlist": f"{_HEAD}#EXTINF:11.7,\nhttp://10.1.2.3/one.ts\n#EXT-X-ENDLIST\n",
    "HLS playlist of loopback": f"{_HEAD}#EXTINF:11.7,\nhttp://127.0.0.1:8080/one.ts\n#EXT-X-ENDLIST\n",
    "list of files": "ffconcat version 1.0\nfile 'http://169.254.169.254/clip.mp4'\n",
}


@pytest.fixture(scope="module")
def labs() -> Iterator[list[Lab]]:
    if os.environ.get("NARRALYTICA_TESTS_WITHOUT_NAMESPACES") == "1":
        pytest.skip("NARRALYTICA_TESTS_WITHOUT_NAMESPACES=1: NOTHING HERE WAS TRIED against the guard of the network")
    begun: list[Lab] = []
    yield begun
    for each in begun:
        each.close()


@pytest.fixture
def lab(labs: list[Lab]) -> Lab:
    """The laboratory, which is begun anew only where an attack has ended it."""
    if not labs or not labs[-1].is_alive:
        try:
            labs.append(Lab())
        except NamespacesRefused as refused:
            pytest.fail(str(refused))
    return labs[-1]


@pytest.mark.parametrize("name", _ATTACKS)
def test_nobody_who_is_forbidden_is_turned_to(lab: Lab, name: str) -> None:
    vector = _ATTACKS[name]
    report = lab.attack(vector)
    assert report.leaks == ()
    assert not _asked_of_upstream(report, vector)
    assert report.outcome.code in (vector.code, vector.or_code or vector.code), report.outcome.message
    assert report.outcome.side_codes == ((vector.side_code,) if vector.side_code else ())
    if vector.code is not None and vector.code.startswith("blocked_"):
        assert failure(vector.code).failure_class is FailureClass.PERMANENT


@pytest.mark.slow
@pytest.mark.parametrize("name", _CONTROLS)
def test_the_same_succeeds_where_it_is_public(lab: Lab, name: str) -> None:
    report = lab.attack(_CONTROLS[name])
    assert report.outcome.code is None, report.outcome.message
    assert report.outcome.size > 0
    assert (report.outcome.side_codes, report.leaks) == ((), ())


@pytest.mark.parametrize("name", _SAMPLE)
def test_without_the_guards_judgement_the_attack_reaches_what_it_is_after(lab: Lab, name: str) -> None:
    report = lab.attack(_ATTACKS[name], unguarded=True)
    assert report.leaks != ()
    assert (report.outcome.code, report.outcome.side_codes) == (None, ()), report.outcome.message


@pytest.mark.parametrize("name", _SCRIPTS)
def test_a_sites_script_reaches_nobody(lab: Lab, name: str) -> None:
    report = lab.run(_BOUNDED % _SCRIPTS[name])
    assert report.leaks == ()
    assert "NotCapable" in report.outcome.message or "Requires net access" in report.outcome.message
    assert lab.run(_BOUNDED % _SCRIPTS[name], unguarded=True).leaks != (), "it would, if it had leave to"


@pytest.mark.parametrize("name", _FILES)
def test_a_list_that_was_sent_as_media_leads_nobody_anywhere(lab: Lab, name: str) -> None:
    report = lab.measure(_FILES[name])
    assert (report.outcome.code, report.leaks) == ("not_media", ())
    assert lab.measure(_FILES[name], unguarded=True).leaks != (), "it would lead ffprobe there"


def test_an_exception_opens_exactly_one_host_and_port(lab: Lab) -> None:
    target = _ATTACKS["address 10.1.2.3"]
    opened = lab.attack(replace(target, policy={"allow": frozenset({("10.1.2.3", 80)})}))
    assert (opened.outcome.code, {each.partition("/")[0] for each in opened.leaks}) == (None, {"10.1.2.3 80"})
    for other in (("10.1.2.3", 8080), ("10.1.2.4", 80), ("localhost", 80)):
        closed = lab.attack(replace(target, policy={"allow": frozenset({other})}))
        assert (closed.outcome.code, closed.leaks) == ("blocked_address", ())


def test_every_canary_could_have_been_reached_and_would_have_been_seen(lab: Lab) -> None:
    report = lab.reach_all()
    assert report.outcome.unreachable == ()
    canaries = len(places.FORBIDDEN) + len(places.OWN)
    assert len(report.leaks) == canaries * len(places.PORTS), "on each address, on each port, once"


def test_the_table_is_long_enough_and_its_entries_have_names_of_their_own() -> None:
    assert len(_ATTACKS) == len(VECTORS) > 300
    assert len(_CONTROLS) > 150


def _asked_of_upstream(report: Report, vector: Vector) -> list[str]:
    """The targets that the operator's proxy was asked for though they were forbidden from the beginning."""
    names = {name for name, answers in vector.names.items() if all(ELSEWHERE in each for each in answers)}
    return [each for each in report.proxied if {each, each.rpartition(":")[0]} & {vector.target, *names}]
