"""The end of each example: everybody who was at work is dead, the sensors and one good worker do the rest."""

import psycopg

from narralytica_ingest.store.leases import Dispatch
from narralytica_ingest.store.objects import REMOVAL_SECONDS
from narralytica_ingest_tests.integration.invariants import keepers
from narralytica_ingest_tests.integration.invariants.history import describe
from narralytica_ingest_tests.integration.invariants.invariants import Invariant, Violated
from narralytica_ingest_tests.integration.invariants.keepers import identify
from narralytica_ingest_tests.integration.invariants.runs import Run
from narralytica_ingest_tests.integration.invariants.world import World

# Everything waits at most an hour for its next try. A playlist takes two rounds, its inner lists fail in the second; of
# several jobs of one video each may take its own.
ROUNDS = 30
ROUND_SECONDS = 4000.0


def quiesce(world: World) -> None:
    """Raises Violated: LIVENESS, CLEAN-IN-THE-END."""
    for _ in range(ROUNDS):
        world.time_passes(ROUND_SECONDS)
        for key in sorted(world.stored.lost & set(world.history.seen.referenced)):
            world.do(keepers.mend(world, key))
        tick(world)
        seen = world.history.seen
        if not describe(seen) and not world.stored.lost & set(seen.referenced):
            break
    else:
        raise Violated(Invariant.LIVENESS, describe(world.history.seen))
    clean(world)


def tick(world: World) -> None:
    """What the sensors do, one after the other, and then the worker."""
    world.do(keepers.requeue_silent())
    world.do(keepers.requeue_dead_dispatches(world))
    world.do(keepers.end_abandoned())
    for job in keepers.unidentified(world):
        try:
            world.do(identify(job))
        except psycopg.errors.ForeignKeyViolation:
            continue
    world.do(keepers.cancel_requested())
    world.do(keepers.answer_ready())
    world.do(keepers.emit_again(world))
    world.do(keepers.claim(world))
    while world.requests:
        request = world.requests.pop(0)
        run = Run(world, f"good-{world.number()}", request.video_id, Dispatch(request.job_id, request.attempt))
        while not run.over:
            run.work()
            if run.waits:  # for a removal that a dead sweeper asked for
                world.time_passes(REMOVAL_SECONDS)


def clean(world: World) -> None:
    """What the sweeper does; then the tables know every object, and every object is one that they refer to."""
    world.do(keepers.end_abandoned())
    world.do(keepers.walk_bucket(world))
    while world.history.seen.left_over:
        world.do(keepers.begin_removal(world))
        if world.removing:
            world.do(keepers.remove(world))
    seen = world.history.seen
    wrong = {
        "leases": {video_id for video_id, video in seen.videos.items() if video["lease_run_id"]},
        "publications": seen.published,
        "leftovers": seen.left_over,
        "objects": world.bucket ^ set(seen.referenced),
        "lost": world.stored.lost & set(seen.referenced),
        "videos at work": {video_id for video_id, video in seen.videos.items() if video["status"] == "ingesting"},
    }
    if any(wrong.values()):
        raise Violated(Invariant.CLEAN_IN_THE_END, {name: what for name, what in wrong.items() if what})
