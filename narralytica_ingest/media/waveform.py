"""The outline of a sound as a few numbers, to be drawn.

What belongs here: gathering peaks while the sound goes by, in memory that does not grow with its length.
"""

from itertools import pairwise
from typing import Any

BUCKETS = 100
"""Peaks of a waveform, at most: one for every few pixels of what is drawn of them."""

_FINEST = 160  # samples: 10 ms at 16 kHz
_KEPT = 32 * BUCKETS


class Waveform:
    """The peaks of a sound that is handed over piece by piece (numpy arrays of magnitudes, of any length)."""

    def __init__(self) -> None:
        self._width = _FINEST
        self._peaks: list[float] = []
        self._rest: Any = None

    def add(self, magnitudes: Any) -> None:
        """The next samples."""
        import numpy as np

        samples = magnitudes if self._rest is None else np.concatenate([self._rest, magnitudes])
        whole = len(samples) // self._width * self._width
        self._peaks += samples[:whole].reshape(-1, self._width).max(axis=1).tolist()
        self._rest = samples[whole:].copy()
        while len(self._peaks) > _KEPT:
            self._halve()

    def peaks(self, buckets: int = BUCKETS) -> list[float]:
        """The greatest magnitude of each of so many equal parts; fewer where the sound is very short."""
        peaks = [*self._peaks, *([self._rest.max().item()] if self._rest is not None and len(self._rest) else [])]
        parts = min(buckets, len(peaks))
        edges = [part * len(peaks) // parts for part in range(parts)] + [len(peaks)] if parts else []
        return [max(peaks[begin:end]) for begin, end in pairwise(edges)]

    def _halve(self) -> None:
        """Neighbours become one; a last one without a neighbour goes on in what is still gathered."""
        import numpy as np

        if len(self._peaks) % 2:
            last = np.full(self._width, self._peaks.pop(), dtype=self._rest.dtype)
            self._rest = np.concatenate([last, self._rest])
        self._peaks = [max(pair) for pair in zip(self._peaks[::2], self._peaks[1::2], strict=True)]
        self._width *= 2
