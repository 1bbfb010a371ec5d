"""Dagster's view of the videos follows the tables: a partition whose video has no row goes.

The dispatch sensor adds a partition when a job is claimed, after the video's row; so whoever removes one looks at the
row once more, and puts back what is wanted again. Dagster is imported where it is needed: commands shall start quickly.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.store import deletion
from narralytica_ingest.store.database import Database

if TYPE_CHECKING:
    from dagster import DagsterInstance

# The name of the partition set in `narralytica_ingest/partitions.py`, which loads Dagster.
PARTITIONS = "videos"

# A sensor's tick has a minute; the next one goes on.
AT_ONCE = 200


def drop_orphans(instance: "DagsterInstance", database: Database) -> list[str]:
    """Removes the partitions whose video has no row, AT_ONCE of them at most, and returns them.

    One look at each side, whatever their number.
    """
    keys = list(instance.get_dynamic_partitions(PARTITIONS))
    with database.transaction() as connection:
        orphans = deletion.without_row(connection, keys) if keys else []
    return [video_id for video_id in orphans[:AT_ONCE] if drop(instance, database, video_id)]


def drop(instance: "DagsterInstance", database: Database, video_id: str) -> bool:
    """Removes the partition of a video that has no row; False if it has one again, which then keeps its partition."""
    instance.delete_dynamic_partition(PARTITIONS, video_id)
    with database.transaction() as connection:
        is_orphan = deletion.without_row(connection, [video_id]) == [video_id]
    if not is_orphan:
        instance.add_dynamic_partitions(PARTITIONS, [video_id])
    return is_orphan


def drop_partition(endpoints: Endpoints, video_id: str) -> bool:
    """The same for a command, which has no instance at hand; False also if there is no such partition."""
    database = Database(endpoints.postgres_url)
    with database.transaction() as connection:
        if not deletion.has_partition(connection, PARTITIONS, video_id):
            return False
    with _instance(endpoints) as instance:
        return drop(instance, database, video_id)


@contextmanager
def _instance(endpoints: Endpoints) -> Iterator["DagsterInstance"]:
    """An instance that has Dagster's tables and nothing else: no launcher, no daemon, no home."""
    from dagster import DagsterInstance
    from dagster._core.instance.ref import InstanceRef

    storage = {"postgres": {"postgres_url": endpoints.dagster_postgres_url}}
    with (
        tempfile.TemporaryDirectory() as folder,
        DagsterInstance.from_ref(InstanceRef.from_dir(folder, overrides={"storage": storage})) as instance,
    ):
        yield instance
