"""How fast bytes come, and whether that is too slow to go on."""

import time
from collections import deque
from collections.abc import Callable

from narralytica_ingest.failures import failure

_STEP_SECONDS = 0.2  # between two samples


class Meter:
    """The rate of a transfer over the last `stall_seconds`."""

    def __init__(self, min_rate: float, stall_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._min_rate, self._window, self._clock = min_rate, stall_seconds, clock
        self._bytes = 0
        self._samples = deque([(clock(), 0)])

    def add(self, count: int) -> None:
        """Counts bytes that have arrived now.

        Raises IngestError `too_slow` (transient) if fewer than `min_rate` bytes per second came in `stall_seconds`. A
        silent source is not its concern: that is what the socket's timeout is for.
        """
        self._bytes += count
        now = self._clock()
        if now - self._samples[-1][0] >= _STEP_SECONDS:
            self._samples.append((now, self._bytes))
        while len(self._samples) > 1 and now - self._samples[1][0] >= self._window:
            self._samples.popleft()
        since, before = self._samples[0]
        if now - since >= self._window and (self._bytes - before) / (now - since) < self._min_rate:
            raise failure("too_slow", "The source sends hardly any bytes: the download is given up and goes on later.")

    @property
    def rate(self) -> float | None:
        """Bytes per second, smoothed over the window; None while too little time has passed."""
        since, before = self._samples[0]
        elapsed = self._clock() - since
        return (self._bytes - before) / elapsed if elapsed >= _STEP_SECONDS else None
