"""The last sweep of a run, with no grace: what the sweeper would remove in its time goes now."""

import time
from datetime import timedelta

import pytest

from narralytica_ingest.engine import machine_sweep
from narralytica_ingest.recovery import sweep
from narralytica_ingest.recovery.sweep import Walk
from narralytica_ingest_tests.chaos.world import World

_TIMES, _PAUSE_SECONDS = 5, 5.0


def sweep_all(world: World) -> list[str]:
    """Sentences about what was removed: from the bucket, and from the worker's disk."""
    database, client, bucket = world.running.database, world.running.s3, world.running.settings.s3_bucket
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "STALE_UPLOAD", timedelta(0))
        patch.setattr(machine_sweep, "SCRATCH_AGE_SECONDS", 0.0)
        for _ in range(_TIMES):
            sweep.end_publications(database, said.append)
            sweep.find_unknown(database, client, bucket, Walk(), said.append)
            sweep.remove_leftovers(database, client, bucket, 0.0, said.append)
            sweep.abort_stale_uploads(database, client, bucket, said.append)
            said += machine_sweep.sweep_files(world.running.settings, database)
            if not world.sql("SELECT FROM leftover_objects LIMIT 1"):
                break
            time.sleep(_PAUSE_SECONDS)  # the stack's own sweeper may have been at the same object
    return said
