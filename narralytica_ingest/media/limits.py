"""How much a media tool may use: memory, processor time, open files, and the size of what it writes.

What belongs here: the limits that the kernel keeps (Linux). How long a tool may run by the clock, and how much of its
output is kept, is `run.py`'s.
"""

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass

_MEMORY = 4 << 30
"""Bytes of address space. Measured with ffmpeg 6.0: sound in three profiles 0.5 GiB, a preview of an 8K frame 0.6 GiB;
with 32 threads, of which each reserves much that it never touches, 1.2 and 2.4 GiB, and a 4K frame in five sizes
3.9 GiB (our own calls have at most 4 threads)."""
_OPEN_FILES = 64
_LEAST_CPU = 10.0  # seconds; so that a short call on a busy machine is not taken for a bomb


@dataclass(frozen=True)
class Limits:
    """What one tool may use: processor time in seconds, and bytes of each file that it writes (None: any)."""

    cpu_seconds: int
    file_bytes: int | None = None

    @classmethod
    def of(cls, timeout: float, file_bytes: int | None) -> "Limits":
        """Half of the wall clock's time: the longest video takes a fraction of that, and a file that keeps the decoder
        spinning is told from a machine that is slow."""
        return cls(round(max(_LEAST_CPU, timeout / 2)), file_bytes)

    def preparation(self) -> Callable[[], None]:
        """What sets the limits, for the process itself: to be called last before exec, since it needs memory, too."""
        if sys.platform != "linux":
            return _nothing
        wanted = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, self.cpu_seconds)]
        wanted += [(resource.RLIMIT_NOFILE, _OPEN_FILES)]
        wanted += [(resource.RLIMIT_FSIZE, self.file_bytes)] if self.file_bytes is not None else []
        wanted += [(resource.RLIMIT_AS, _MEMORY)]
        lowered = [(limit, (_at_most(limit, value),) * 2) for limit, value in wanted]

        def set_limits() -> None:
            for limit, values in lowered:
                resource.setrlimit(limit, values)

        return set_limits


def _at_most(limit: int, value: int) -> int:
    hard = resource.getrlimit(limit)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _nothing() -> None:
    """For systems without these limits."""
