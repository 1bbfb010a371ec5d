"""What is measured of a sound while it is extracted: loudness, silence, clipping, its outline.

What belongs here: the measures and what they say about a track. The sound arrives in pieces, and none is kept.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from narralytica_ingest.media.findings import Finding
from narralytica_ingest.media.waveform import Waveform

Samples = npt.NDArray[np.int16]
Levels = npt.NDArray[np.float32]

FULL_SCALE = 32_768
SILENCE_DBFS = -60.0
"""What never reaches this is silence: ffmpeg's own default, below the noise of a quiet room."""
CLIPPED_SHARE = 0.001
"""Above this share of clipped samples a recording counts as overdriven; loud masters of music stay below it."""

_SILENCE = FULL_SCALE * 10 ** (SILENCE_DBFS / 20)
_BLOCK = 1600  # samples: 100 ms at 16 kHz
_PIECE, _WORTH = 1 << 19, 1 << 14  # bytes looked at in one go, and at least
_CLIPPED_RUN = 3  # samples in a row; one or two at full scale happen in any loud sound
# ITU-R BS.1770-5, annex 2: the interpolation filter for four times as many samples, a row for each of the four phases.
_PHASES = np.array(
    [
        [0.0017089843750, 0.0109863281250, -0.0196533203125, 0.0332031250000, -0.0594482421875, 0.1373291015625,
         0.9721679687500, -0.1022949218750, 0.0476074218750, -0.0266113281250, 0.0148925781250, -0.0083007812500],
        [-0.0291748046875, 0.0292968750000, -0.0517578125000, 0.0891113281250, -0.1665039062500, 0.4650878906250,
         0.7797851562500, -0.2003173828125, 0.1015625000000, -0.0582275390625, 0.0330810546875, -0.0189208984375],
        [-0.0189208984375, 0.0330810546875, -0.0582275390625, 0.1015625000000, -0.2003173828125, 0.7797851562500,
         0.4650878906250, -0.1665039062500, 0.0891113281250, -0.0517578125000, 0.0292968750000, -0.0291748046875],
        [-0.0083007812500, 0.0148925781250, -0.0266113281250, 0.0476074218750, -0.1022949218750, 0.9721679687500,
         0.1373291015625, -0.0594482421875, 0.0332031250000, -0.0196533203125, 0.0109863281250, 0.0017089843750],
    ],
    dtype=np.float32,
)  # fmt: skip
_TAPS = _PHASES.shape[1]
_GAIN = float(np.abs(_PHASES).sum(axis=1).max())  # no interpolated sample exceeds its neighbours by more


class TrackMeter:
    """Measures a track as it is stored: 16 kHz, mono, 16 bit."""

    def __init__(self) -> None:
        self._pieces = _Pieces(2 * _BLOCK)
        self._peak = _TruePeak()
        self._waveform = Waveform()
        self._samples = self._silent = 0

    def add(self, data: bytes) -> None:
        """The next bytes of the sound (little-endian samples)."""
        for piece in self._pieces.cut(data):
            self._measure(piece)

    def result(self, sample_rate: int) -> dict[str, Any]:
        """`duration_seconds`, `silence_share` (0 to 1), `true_peak_dbtp` (None of digital silence) and `waveform`
        (peaks from 0 to 1). Once, at the end."""
        for piece in self._pieces.rest():
            self._measure(piece)
        peak = self._peak.value
        return {
            "duration_seconds": self._samples / sample_rate,
            "silence_share": round(self._silent / self._samples, 4) if self._samples else None,
            "true_peak_dbtp": round(20 * math.log10(peak / FULL_SCALE), 1) if peak > 0 else None,
            "waveform": [round(each / FULL_SCALE, 2) for each in self._waveform.peaks()],
        }

    def _measure(self, samples: Samples) -> None:
        levels = samples.astype(np.float32)
        magnitudes = np.abs(levels)
        self._peak.add(levels, magnitudes)
        self._waveform.add(magnitudes)
        self._samples += len(samples)
        blocks = np.maximum.reduceat(magnitudes, np.arange(0, len(samples), _BLOCK))
        lengths = np.diff([*range(0, len(samples), _BLOCK), len(samples)])
        self._silent += int(lengths[blocks < _SILENCE].sum())


class ClippingMeter:
    """Counts samples at full scale, at least three in a row, in a sound as it was decoded: interleaved 16 bit samples
    of so many channels. What decoders of lossy codecs give beyond full scale is at it."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._pieces = _Pieces(2 * channels)
        self._samples = self._clipped = 0

    def add(self, data: bytes) -> None:
        """The next bytes of the sound (little-endian samples)."""
        for piece in self._pieces.cut(data):
            self._count(piece)

    def result(self) -> float | None:
        """The share of clipped samples, 0 to 1; None if there was no sound. Once, at the end."""
        for piece in self._pieces.rest():
            self._count(piece)
        return round(self._clipped / self._samples, 6) if self._samples else None

    def _count(self, samples: Samples) -> None:
        self._samples += len(samples)
        if samples.max() < FULL_SCALE - 1 and samples.min() > -FULL_SCALE:
            return
        frames = samples.reshape(-1, self._channels)
        for limit in (FULL_SCALE - 1, -FULL_SCALE):
            for channel in (frames == limit).T:
                edges = np.flatnonzero(np.diff(np.concatenate([[0], channel.view(np.int8), [0]])))
                runs = edges[1::2] - edges[::2]
                self._clipped += int(runs[runs >= _CLIPPED_RUN].sum())


class _Pieces:
    """Cuts a stream of bytes into arrays of whole units, large enough to be worth a look."""

    def __init__(self, unit: int) -> None:
        self._unit, self._kept = unit, bytearray()

    def cut(self, data: bytes) -> list[Samples]:
        if not self._kept and len(data) >= _WORTH and len(data) % self._unit == 0:
            return [np.frombuffer(data, dtype="<i2")]  # uncopied: so comes nearly all of a sound with two channels
        self._kept += data
        if len(self._kept) < _PIECE:
            return []
        whole = len(self._kept) // self._unit * self._unit
        piece, self._kept = bytes(self._kept[:whole]), self._kept[whole:]
        return [np.frombuffer(piece, dtype="<i2")]

    def rest(self) -> list[Samples]:
        rest, self._kept = bytes(self._kept), bytearray()
        return [np.frombuffer(rest, dtype="<i2")] if rest else []


class _TruePeak:
    """The greatest magnitude between the samples, too. Only where neighbours are so loud that an interpolated sample
    could exceed what was found so far, is anything computed."""

    _AT_ONCE = 1 << 14  # the sooner a great value is found, the less is left to do

    def __init__(self) -> None:
        self.value = 0.0
        self._before = np.zeros(_TAPS - 1, dtype=np.float32)

    def add(self, levels: Levels, magnitudes: Levels) -> None:
        self.value = max(self.value, float(magnitudes.max()))
        sound = np.concatenate([self._before, levels])
        self._before = sound[1 - _TAPS :]
        windows = np.lib.stride_tricks.sliding_window_view(sound, _TAPS)
        for begin in range(0, len(windows), self._AT_ONCE):
            # Each sample is in as many windows as there are taps.
            loud = np.flatnonzero(np.abs(sound[begin : begin + self._AT_ONCE + _TAPS - 1]) > self.value / _GAIN)
            if not len(loud):
                continue
            touched = np.zeros(self._AT_ONCE + 2 * _TAPS, dtype=bool)
            for offset in range(_TAPS):
                touched[loud - offset + _TAPS] = True
            wanted = np.flatnonzero(touched[_TAPS:]) + begin
            wanted = wanted[wanted < min(len(windows), begin + self._AT_ONCE)]
            if len(wanted):
                self.value = max(self.value, float(np.abs(windows[wanted] @ _PHASES.T).max()))


_INTEGRATED = re.compile(r"\bI:\s+(-?[\d.]+) LUFS")
_RANGE = re.compile(r"\bLRA:\s+(-?[\d.]+) LU\b")
_GATE_LUFS = -70.0  # EBU R128: what stays below is not counted, and ffmpeg says this where nothing was


def loudness(said: str) -> dict[str, float | None]:
    """`integrated_lufs` and `range_lu` (EBU R128) from what ffmpeg's filter ebur128 says at its end; None: unknown, or
    nothing loud enough to be counted."""
    summary = said.rpartition("Summary:")[2]
    integrated, spread = (
        float(found[1]) if (found := each.search(summary)) else None for each in (_INTEGRATED, _RANGE)
    )
    if integrated is None or integrated <= _GATE_LUFS:
        return {"integrated_lufs": None, "range_lu": None}
    return {"integrated_lufs": integrated, "range_lu": spread}


def sound_findings(facts: Mapping[str, Any]) -> list[Finding]:
    """What the measures of a track (as in its facts) say is wrong with it: `silent_track`, `clipped`."""
    found = []
    if facts["silence_share"] == 1.0:
        message = f"No sound of the track reaches {SILENCE_DBFS:.0f} dBFS: there is nothing to hear."
        found.append(Finding("silent_track", message))
    if (share := facts["clipping_share"]) is not None and share > CLIPPED_SHARE:
        found.append(Finding("clipped", f"{share:.2%} of the samples are cut off at full scale: it is overdriven."))
    return found
