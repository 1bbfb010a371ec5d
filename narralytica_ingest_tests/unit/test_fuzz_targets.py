"""Every fuzz target holds for all that Hypothesis thinks of, and that once broke it; `make fuzz` goes deeper."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narralytica_ingest_tests.fuzz.findings import FINDINGS
from narralytica_ingest_tests.fuzz.material import WORDS, Material
from narralytica_ingest_tests.fuzz.targets import TARGETS

# A text of a target, in the alphabet of `Material.text`: mostly words that parts look for, and its end.
_words = st.integers(0x80, 0x80 + len(WORDS) - 1).map(lambda byte: bytes([byte]))
_pieces = _words | st.binary(min_size=1, max_size=6) | st.sampled_from([b"\xff", b"a", b"1", b"/", b".", b":"])
_inputs = st.lists(_pieces, max_size=40).map(b"".join)


@pytest.mark.parametrize("name", TARGETS)
def test_what_must_always_hold_holds(name: str) -> None:
    @given(_inputs)
    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    def holds(data: bytes) -> None:
        TARGETS[name](data)

    holds()


@pytest.mark.parametrize(("name", "data"), [(name, each) for name in FINDINGS for each in FINDINGS[name]])
def test_what_once_broke_it_does_not_any_more(name: str, data: bytes) -> None:
    TARGETS[name](data)


def test_findings_are_those_of_targets() -> None:
    assert FINDINGS.keys() <= TARGETS.keys()


def test_plain_ascii_means_itself_and_all_bytes_mean_something() -> None:
    assert Material(b"https://host/?a=b\xffrest").text() == "https://host/?a=b"
    assert Material(bytes([0x80 + WORDS.index("youtu.be/")]) + b"x").text() == "youtu.be/x"
    assert Material(bytes(range(256))).rest() == bytes(range(256))
    assert isinstance(Material(b"\x07\x03" + bytes(range(200))).json(("a", "b")), dict)
