"""What is measured of a sound, on sounds whose measures are known."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narralytica_ingest.media.measure import (
    _PHASES,
    FULL_SCALE,
    ClippingMeter,
    TrackMeter,
    loudness,
    sound_findings,
)
from narralytica_ingest.media.waveform import Waveform

Samples = npt.NDArray[np.int16]


def pcm(values: object) -> bytes:
    return np.asarray(values, dtype="<i2").tobytes()


def measured(sound: Samples, step: int = 1 << 20) -> dict[str, object]:
    meter = TrackMeter()
    body = pcm(sound)
    for begin in range(0, len(body), step):
        meter.add(body[begin : begin + step])
    return meter.result(16_000)


def noise(samples: int, level: float = 0.1, seed: int = 1) -> Samples:
    sound = np.random.default_rng(seed).normal(0, level * FULL_SCALE, samples)
    return sound.clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def test_no_sound_has_no_measures() -> None:
    assert measured(noise(0)) == {
        "duration_seconds": 0,
        "silence_share": None,
        "true_peak_dbtp": None,
        "waveform": [],
    }
    assert ClippingMeter(2).result() is None


@pytest.mark.parametrize("step", [1, 7, 3201, 1 << 16])
def test_it_does_not_matter_in_which_pieces_the_sound_arrives(step: int) -> None:
    sound = noise(5_000 if step == 1 else 700_000)
    assert measured(sound, step) == measured(sound)


@pytest.mark.parametrize("level", [0.001, 0.1, 0.5, 3.0], ids=["quiet", "usual", "loud", "clipped"])
def test_the_true_peak_is_that_of_the_whole_interpolated_sound(level: float) -> None:
    sound = noise(100_000, level)
    padded = np.concatenate([np.zeros(11), sound.astype(np.float64)])
    every = [np.abs(np.convolve(padded, phase[::-1], "valid")).max() for phase in _PHASES.astype(np.float64)]
    wanted = 20 * np.log10(max(*every, np.abs(sound.astype(np.float64)).max()) / FULL_SCALE)
    assert measured(sound)["true_peak_dbtp"] == pytest.approx(wanted, abs=0.06)


def test_a_single_click_is_found_at_every_place_of_a_piece() -> None:
    for place in (0, 1, 11, 16_383, 16_384, 262_143, 262_144, 299_999):
        sound = np.zeros(300_000, dtype=np.int16)
        sound[place] = FULL_SCALE // 2
        assert measured(sound)["true_peak_dbtp"] == pytest.approx(-6.0, abs=0.05), place


def test_silence_is_told_in_tenths_of_a_second() -> None:
    sound = np.zeros(16_000, dtype=np.int16)
    sound[5_000] = 40  # just above -60 dBFS
    assert measured(sound)["silence_share"] == 0.9
    sound[5_000] = 30
    assert measured(sound)["silence_share"] == 1


@pytest.mark.parametrize(
    ("channels", "frames", "share"),
    [
        (1, [[0]] * 7 + [[32767]] * 3, 0.3),
        (1, [[0]] * 7 + [[-32768]] * 3, 0.3),
        (1, [[0], [32767], [32767]] * 5, 0),  # two in a row are no clipping
        (1, [[32767], [-32768]] * 5, 0),  # nor are crests
        (2, [[0, 32767]] * 10, 0.5),
        (2, [[32767, 0], [0, 32767]] * 5, 0),  # of each channel by itself
        (3, [[1, 2, 3]] * 4, 0),
    ],
)
def test_clipping_is_three_samples_of_a_channel_in_a_row_at_full_scale(
    channels: int, frames: list[list[int]], share: float
) -> None:
    meter = ClippingMeter(channels)
    meter.add(pcm(frames))
    assert meter.result() == pytest.approx(share)


def test_clipping_of_a_long_sound_is_counted_in_all_its_pieces() -> None:
    meter = ClippingMeter(2)
    body = pcm([[32767, 0]] * 3 + [[0, 0]] * 7) * 100_000
    for begin in range(0, len(body), 65_521):
        meter.add(body[begin : begin + 65_521])
    assert meter.result() == pytest.approx(0.15, abs=0.0001)


SUMMARY = """Stream mapping:
[Parsed_ebur128_0 @ 0x1] Summary:

  Integrated loudness:
    I:         {} LUFS
    Threshold: -30.1 LUFS

  Loudness range:
    LRA:         {} LU
    Threshold: -40.1 LUFS
    LRA low:   -21.0 LUFS
    LRA high:  -19.0 LUFS
"""


def test_loudness_is_read_from_what_ffmpeg_says() -> None:
    assert loudness(SUMMARY.format("-20.0", "1.5")) == {"integrated_lufs": -20.0, "range_lu": 1.5}
    nothing = {"integrated_lufs": None, "range_lu": None}
    assert loudness(SUMMARY.format("-70.0", "0.0")) == nothing, "nothing was loud enough to count"
    assert loudness(SUMMARY.format("-inf", "0.0")) == nothing
    assert loudness("Killed") == nothing


def test_findings_follow_from_the_measures() -> None:
    def codes(silence: float | None, clipping: float | None) -> list[str]:
        return [each.code for each in sound_findings({"silence_share": silence, "clipping_share": clipping})]

    assert codes(0.2, 0.0) == codes(None, None) == codes(0.9999, 0.0005) == []
    assert codes(1.0, 0.0) == ["silent_track"]
    assert codes(0.0, 0.0011) == ["clipped"]


# ---- the waveform --------------------------------------------------------------------------------------------------


def outline(sound: npt.NDArray[np.float32], step: int) -> list[float]:
    waveform = Waveform()
    for begin in range(0, len(sound), step):
        waveform.add(sound[begin : begin + step])
    return waveform.peaks()


def test_a_short_sound_has_fewer_peaks_and_none_is_lost() -> None:
    assert outline(np.full(10, 3, dtype=np.float32), 3) == [3]
    assert outline(np.array([1] * 160 + [2] * 160 + [3], dtype=np.float32), 50) == [1, 2, 3]
    assert Waveform().peaks() == []


@settings(deadline=None, max_examples=30)
@given(st.integers(20_000, 3_000_000), st.integers(5_000, 300_000), st.integers(0, 999))
def test_a_peak_stands_where_it_is_in_the_sound(length: int, step: int, place: int) -> None:
    sound = np.zeros(length, dtype=np.float32)
    sound[length * place // 1000] = 1
    peaks = outline(sound, step)
    assert len(peaks) == 100
    assert sum(peaks) == 1
    assert peaks.index(1) == pytest.approx(place / 10, abs=2)


def test_the_outline_of_a_day_takes_no_more_memory_than_that_of_an_hour() -> None:
    waveform = Waveform()
    piece = np.zeros(1 << 20, dtype=np.float32)
    for _ in range(1300):
        waveform.add(piece)
    assert len(waveform._peaks) <= 3200
