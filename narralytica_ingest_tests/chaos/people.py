"""Faults of sources, and what people do at the wrong moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from narralytica_ingest.failures import IngestError
from narralytica_ingest.store import jobs
from narralytica_ingest_tests.chaos.faults import CHANGED, EVERY, Kind, Steps, Strike, wait, wait_for
from narralytica_ingest_tests.chaos.videos import Video
from narralytica_ingest_tests.chaos.world import Active, World

_CUT = frozenset({"incomplete_read", "connection_lost", "download_incomplete"})
_SWAPPED = _CUT | CHANGED
_SLOW = frozenset({"too_slow", "timed_out"})
_ENDED = ("succeeded", "failed", "canceled")


# ---- sources --------------------------------------------------------------------------------------------------------


def _has_a_file(world: World, active: Active) -> bool:
    return active.video.resource is not None


def _can_be_swapped(world: World, active: Active) -> bool:
    return active.video.swappable


def cut(strike: Strike, target: Active) -> Steps:
    """The connection ends in the middle of the file."""
    _break_off(target.video)
    strike.hits(target)
    yield


def swap(strike: Strike, target: Active) -> Steps:
    """The connection ends, and whoever asks for the rest is asked of another file of the same size."""
    strike.world.library.swap(target.video)
    _break_off(target.video)
    strike.hits(target)
    yield


def throttle(strike: Strike, target: Active) -> Steps:
    """The source becomes very slow, for a while."""
    resource = target.video.resource
    assert resource is not None
    before, resource.rate = resource.rate, 8_000.0
    strike.hits(target)
    try:
        yield from wait(strike.random.uniform(3, 8))
    finally:
        resource.rate = before


def refuse(status: int) -> Callable[[Strike, Active], Steps]:
    """The connection ends, and the next request is refused with this status."""

    def act(strike: Strike, target: Active) -> Steps:
        video = target.video
        assert video.server is not None
        assert video.resource is not None
        asked = video.server.requests[video.path]
        video.resource.statuses = [*[200] * asked, status, 200]
        _break_off(video)
        strike.hits(target)
        yield

    return act


def _break_off(video: Video) -> None:
    assert video.resource is not None
    video.resource.broken_off += 1


# ---- people ---------------------------------------------------------------------------------------------------------


def insert_ten(strike: Strike, target: Active) -> Steps:
    """The same job ten times at once, in as many spellings as there are, while the video is at work."""
    together = threading.Barrier(10)

    def insert(spelling: int) -> None:
        together.wait()
        strike.world.submit(target.video, spelling)

    threads = [threading.Thread(target=insert, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    strike.hits(target)
    yield


def cancel_and_retry(strike: Strike, target: Active) -> Steps:
    """A cancel in the middle of the work, and a retry as soon as the job says that it is canceled."""
    strike.world.sql("UPDATE ingest_jobs SET cancel_requested = true WHERE job_id = %s RETURNING 1", (target.job_id,))
    strike.hits(target)
    yield from wait_for(lambda: status_of(strike.world, target.job_id) in _ENDED, 60)
    if status_of(strike.world, target.job_id) == "canceled":
        retry(strike.world, target.job_id)
        strike.hits(target)


def force_and_kill(strike: Strike, target: Active) -> Steps:
    """While the target is at work, another video that is ready is ingested anew, and that run is killed. The source has
    other bytes by now, or there would be nothing to store."""
    world = strike.world
    found = world.sql(
        "SELECT j.job_id, j.video_id, j.source_url FROM ingest_jobs j JOIN videos v USING (video_id)"
        " WHERE j.outcome = 'ingested' AND j.source_url IS NOT NULL AND v.status = 'ready' AND v.lease_run_id IS NULL"
        " AND NOT EXISTS (SELECT FROM ingest_jobs o WHERE o.video_id = j.video_id AND o.finished_at IS NULL)"
        " ORDER BY v.generation, j.created_at"
    )
    known = ((job, world.library.of_url(job["source_url"])) for job in found)
    job, video = next(((job, video) for job, video in known if video and video.swappable), (None, None))
    if job is None or video is None:
        return
    world.library.swap(video)
    video.ingested_anew += 1
    strike.watch.stays_ready(job["video_id"])
    retry(world, job["job_id"], force=True)
    mine: list[Active] = []

    def in_its_stage() -> bool:
        mine[:] = [each for each in world.active(strike.stage) if each.job_id == job["job_id"]]
        return bool(mine)

    yield from wait_for(in_its_stage, 120)
    if mine:
        strike.watch.ends([mine[0].process])
        mine[0].process.kill()
        strike.hits(mine[0])
        yield from wait_for(lambda: status_of(world, job["job_id"]) in _ENDED, 120)
    strike.watch.stays_ready(job["video_id"], stays=False)


def delete_and_submit(strike: Strike, target: Active) -> Steps:
    """The video is deleted while it is at work (by somebody who repeats what was interrupted), and asked for again."""
    world, video = strike.world, target.video
    strike.watch.stays_ready(target.video_id, stays=False)
    video.deleted += 1
    video.ingested_anew += 1
    with ThreadPoolExecutor(1) as pool:
        deletion = pool.submit(_delete, world, target.video_id)
        strike.hits(target)
        while not deletion.done():
            yield
        deletion.result()
    world.submit(video, strike.random.randrange(10))


def _delete(world: World, video_id: str) -> None:
    from narralytica_ingest.recovery.delete import delete_video

    running = world.running
    while True:
        try:
            delete_video(running.settings, running.endpoints, running.s3, video_id)
            return
        except IngestError as error:
            if error.code not in ("database_away", "database_conflict", "delete_unfinished"):
                raise


def status_of(world: World, job_id: UUID) -> str:
    """The job's state now."""
    return str(world.sql("SELECT status FROM ingest_jobs WHERE job_id = %s", (job_id,))[0]["status"])


def retry(world: World, job_id: UUID, *, force: bool = False) -> None:
    """What `narralytica-ingest retry` does; tried again while the database is away."""
    while True:
        try:
            with world.running.database.transaction() as connection:
                jobs.retry(connection, job_id, force=force)
            return
        except IngestError as error:
            if error.code not in ("database_away", "database_conflict"):
                raise


KINDS = (
    Kind("source cuts the transfer", ("fetch",), 12, cut, _CUT, _has_a_file),
    Kind("source swaps the content", ("fetch",), 12, swap, _SWAPPED, _can_be_swapped),
    Kind("source slows down", ("fetch",), 8, throttle, _SLOW, _has_a_file),
    Kind("source answers 503", ("fetch",), 7, refuse(503), _CUT | {"rate_limited"}, _has_a_file, measured=False),
    Kind("source answers 403", ("fetch",), 7, refuse(403), _CUT | {"forbidden"}, _has_a_file),
    Kind("same job ten times at once", EVERY, 10, insert_ten),
    Kind("cancel and retry", EVERY, 12, cancel_and_retry),
    Kind("retry --force, then kill -9", EVERY, 10, force_and_kill),
    Kind("delete, then the job again", EVERY, 8, delete_and_submit),
)
