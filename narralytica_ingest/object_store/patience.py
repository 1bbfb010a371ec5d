"""Riding out a short absence of the object store, instead of giving up what a run has done so far."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from narralytica_ingest.failures import IngestError

# A server that is restarted, or fails over, is back within seconds; a run that gives up may have to fetch its video
# anew. What lasts longer than this is for the pause of the claims, and the run makes room.
PATIENCE_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0

_MAY_PASS = {"object_store_away", "published_size_differs", "published_bytes_differ"}

T = TypeVar("T")
_log = logging.getLogger(__name__)


def patiently(work: Callable[[], T], say: Callable[[str], object] = _log.warning) -> T:
    """Does the work, again and again while it fails for what may pass by itself: for PATIENCE_SECONDS from the first
    such failure on. `say` is told of each. An interrupt ends the waiting at once. Raises what the last try raised.
    """
    pause, deadline = _FIRST_PAUSE, float("inf")
    while True:
        try:
            return work()
        except IngestError as error:
            now = time.monotonic()
            deadline = min(deadline, now + PATIENCE_SECONDS)
            if error.code not in _MAY_PASS or now + pause > deadline:
                raise
            say(f"{error} It is tried again in {pause:.1f} s, for at most {deadline - now:.0f} s more.")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
