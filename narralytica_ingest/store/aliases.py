"""What extraction reveals about a video's name, while other runs do the same: in the end it is one video."""

from narralytica_ingest.failures import failure
from narralytica_ingest.store.database import Connection
from narralytica_ingest.store.dispatch import join_known_video, learn_alias
from narralytica_ingest.store.leases import Lease

_LOCK = "SELECT video_id FROM videos WHERE video_id IN (%s, %s) ORDER BY video_id FOR UPDATE"
_TRIES = 3


def learn(connection: Connection, lease: Lease, alias: str) -> str:
    """Records another name for the lease's video; a video that has the name already takes its jobs over, and it goes.

    Returns the video that has the name now: the lease's own, or the known one. The known one may vanish (it joins a
    third, or turns out to be a playlist) between the question and the lock; then the question is asked again. Raises
    LeaseLost, and IngestError `database_conflict` (local) if that goes on.
    """
    for _ in range(_TRIES):
        owner = learn_alias(connection, alias, lease.video_id)
        if owner == lease.video_id:
            return owner
        locked = {row["video_id"] for row in connection.execute(_LOCK, (lease.video_id, owner)).fetchall()}
        if owner in locked and learn_alias(connection, alias, lease.video_id) == owner:
            join_known_video(connection, lease, owner)
            return owner
    raise failure("database_conflict", "Two transactions collided in Postgres; it is tried again.")
