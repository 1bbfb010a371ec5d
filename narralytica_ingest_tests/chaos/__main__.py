"""`python -m narralytica_ingest_tests.chaos --seed N --videos 60 --faults 200`."""

import argparse
import random
import sys
import tempfile
from functools import partial
from pathlib import Path

from narralytica_ingest.local.stack import interruptible
from narralytica_ingest_tests.chaos.run import run_chaos


def main() -> int:
    """0 if nothing was lost, nothing came twice, and every recovery was soon enough."""
    parser = argparse.ArgumentParser(description="Runs the real stack under a seeded schedule of faults.")
    parser.add_argument("--seed", type=int, default=None, help="the same seed makes the same schedule (default: any)")
    parser.add_argument("--videos", type=int, default=60, help="at least so many videos")
    parser.add_argument("--faults", type=int, default=200, help="so many faults, each at an active stage")
    parser.add_argument("--workers", type=int, default=3, help="videos at once, beside the spare slot")
    parser.add_argument("--home", type=Path, default=None, help="a new folder (default: a temporary one)")
    parser.add_argument("--only", default="", help="only kinds of faults with this in their name")
    asked = parser.parse_args()
    seed = random.randrange(1_000_000) if asked.seed is None else asked.seed
    home = asked.home or Path(tempfile.mkdtemp(prefix="chaos-")) / "home"
    with interruptible():
        report = run_chaos(
            home.absolute(),
            seed=seed,
            videos=asked.videos,
            faults=asked.faults,
            workers=asked.workers,
            only=asked.only,
            say=partial(print, flush=True),
        )
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
