"""How a run comes to its leases: for the job that brought it, or for whoever started it by hand."""

from collections.abc import Callable, Sequence

from narralytica_ingest.store import dispatch as dispatching
from narralytica_ingest.store import leases
from narralytica_ingest.store.database import Connection, Database
from narralytica_ingest.store.leases import Dispatch, Lease, NothingToDo

Leases = dict[str, Lease]


def take_by_hand(database: Database, run_id: str, video_ids: Sequence[str], seconds: float) -> Leases:
    """The leases on those of the videos that are free, for so many seconds, which is also how long it waits for a
    Postgres that is away."""

    def take(connection: Connection) -> Leases:
        return leases.take(connection, run_id, video_ids, seconds)

    return _once(database, run_id, video_ids, seconds, take)


def take_for_job(
    database: Database, run_id: str, video_ids: Sequence[str], seconds: float, dispatch: Dispatch
) -> Leases:
    """As `take_by_hand`, and makes the dispatched job the work of this run.

    Raises NothingToDo if the job moved on, was answered since its video is ready, or waits for its video now.
    """

    def answer(connection: Connection) -> bool:
        # Repeated after its commit it finds an answered job; `bind` then finds nothing to do.
        return dispatching.answer_dispatched(connection, dispatch.job_id, dispatch.attempt)

    def take(connection: Connection) -> Leases:
        taken = leases.take(connection, run_id, video_ids, seconds, force=force)
        bound = [leases.bind(connection, dispatch, lease) for lease in taken.values()]
        if taken and not any(bound):
            raise NothingToDo(f"job {dispatch.job_id} is no longer at attempt {dispatch.attempt}: nothing to do")
        if not taken:
            leases.wait_for_video(connection, dispatch)
        return taken

    force = database.patiently(lambda connection: leases.is_forced(connection, dispatch), seconds)
    if not force and database.patiently(answer, seconds):
        raise NothingToDo(f"{video_ids[0]} is ready: job {dispatch.job_id} is answered")
    taken = _once(database, run_id, video_ids, seconds, take)
    if not taken:
        raise NothingToDo(f"{video_ids[0]} is at work in another run: job {dispatch.job_id} waits for it")
    return taken


def _once(
    database: Database, run_id: str, video_ids: Sequence[str], seconds: float, take: Callable[[Connection], Leases]
) -> Leases:
    """`take` does not know its own work again: after an answer that got lost the run would wait for itself."""
    repeated = False

    def work(connection: Connection) -> Leases:
        nonlocal repeated
        mine = leases.held(connection, run_id, video_ids) if repeated else {}
        repeated = True
        return mine or take(connection)

    return database.patiently(work, seconds)
