"""Files that strangers make to harm whoever opens them, each with what may become of it.

What belongs here: small generators; no file is kept. `HOSTILE` lists them all, `journey.py` sends one the way that a
run sends it, and `fuzz.py` makes as many more as are wanted by breaking ordinary ones.
"""

from narralytica_ingest_tests.hostile.lists import HOSTILE_LISTS
from narralytica_ingest_tests.hostile.matroska import HOSTILE_MATROSKA
from narralytica_ingest_tests.hostile.model import Hostile
from narralytica_ingest_tests.hostile.movies import HOSTILE_MOVIES
from narralytica_ingest_tests.hostile.sounds import HOSTILE_SOUNDS
from narralytica_ingest_tests.hostile.streams import HOSTILE_STREAMS

HOSTILE: tuple[Hostile, ...] = (*HOSTILE_MOVIES, *HOSTILE_MATROSKA, *HOSTILE_SOUNDS, *HOSTILE_STREAMS, *HOSTILE_LISTS)
