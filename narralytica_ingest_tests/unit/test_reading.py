"""What the times of packets tell: holes, clocks that are set anew, and where a stream ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narralytica_ingest.media.reading import HOLE_SECONDS, StreamReading

FRAME = 0.02
holes = st.lists(st.integers(0, 99), max_size=60)  # hundredths of a second before each packet


def read(pauses: list[float], *, in_frames: bool = False, may_jump: bool = False, start: float = 0.0) -> StreamReading:
    """A stream of packets with these pauses before them; in frames, each lasts until the next one."""
    stream, now = StreamReading(in_frames=in_frames, may_jump=may_jump), start
    stream.add(now, FRAME, "K__")
    for place, pause in enumerate(pauses):
        now += FRAME + pause
        following = pauses[place + 1] if place + 1 < len(pauses) else 0.0
        stream.add(now, FRAME + (following if in_frames else 0.0), "K__")
    return stream


@given(holes, st.booleans(), st.floats(-50, 100_000))
def test_pauses_of_more_than_half_a_second_are_holes_and_shorter_ones_are_not(
    hundredths: list[int], in_frames: bool, start: float
) -> None:
    pauses = [each / 100 for each in hundredths if each != HOLE_SECONDS * 100]
    if in_frames:
        pauses = [0.0, *pauses]  # the first frame tells how long they are
    expected = [each for each in pauses if each > HOLE_SECONDS]
    stream = read(pauses, in_frames=in_frames, start=start)
    assert stream.holes == len(expected)
    assert stream.missing_seconds == pytest.approx(sum(expected), abs=1e-4)
    assert stream.longest_hole[0] == pytest.approx(max(expected, default=0.0), abs=1e-4)
    assert stream.end - start == pytest.approx(sum(pauses) + FRAME * (len(pauses) + 1), abs=1e-4)


@given(st.lists(st.floats(11, 95_000), min_size=1, max_size=5))
def test_a_broadcast_whose_clock_jumps_is_as_long_as_its_packets(jumps: list[float]) -> None:
    for direction in (1, -1):
        stream = read([direction * each for each in jumps], may_jump=True)
        assert (stream.holes, stream.jumps) == (0, len(jumps))
        assert stream.end == pytest.approx(FRAME * (len(jumps) + 1))


def test_elsewhere_a_jump_ahead_is_a_hole_and_one_back_is_not() -> None:
    assert (read([60.0]).holes, read([-60.0]).holes) == (1, 0)


def test_what_an_edit_list_cuts_away_has_no_place() -> None:
    stream = read([0.0, 0.0])
    stream.add(90.0, FRAME, "KD_")
    assert (stream.packets, stream.holes) == (4, 0)
    assert stream.end == pytest.approx(3 * FRAME)


def test_packets_out_of_order_as_of_pictures_leave_no_hole() -> None:
    stream = StreamReading()
    for time in (0.0, 0.12, 0.04, 0.08, 0.24, 0.16, 0.2):
        stream.add(time, 0.04, "___")
    assert stream.holes == 0
    assert stream.end == pytest.approx(0.28)


def test_only_the_last_packet_may_be_incomplete() -> None:
    stream = read([0.0])
    stream.add(0.04, FRAME, "K_C")
    assert (stream.corrupt, stream.ends_corrupt) == (1, True)
    stream.add(0.06, FRAME, "K__")
    assert (stream.corrupt, stream.ends_corrupt) == (1, False)
