"""A job whose URL holds several videos becomes the parent of one job for each."""

from collections.abc import Sequence
from dataclasses import dataclass

from narralytica_ingest.store.database import Connection
from narralytica_ingest.store.leases import Lease


@dataclass(frozen=True)
class Child:
    """A video of a playlist. `video_id` is its identity, by which it is one child however often it is listed."""

    source_url: str
    video_id: str
    title: str | None = None


def expand(connection: Connection, lease: Lease, title: str | None, children: Sequence[Child], *, more: bool) -> None:
    """Makes the lease's job the parent of one queued job per video, and ends it as expanded; its video goes."""
    raise NotImplementedError
