"""Which hosts the fetch of a video contacted, and which it was kept from: written by a run, looked at by people."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from narralytica_ingest.store.database import Connection, Row, storable_text
from narralytica_ingest.store.leases import Lease, fence

# A page that makes us ask hundreds of hosts is not told at length.
MOST_ROWS = 200
KEEP_DAYS = 90

_LONGEST_HOST = 255  # characters; DNS allows 253
_LONGEST_CODE = 100
_MOST_CONNECTIONS = 2**31 - 1


class Contact(Protocol):
    """One host and port as a fetch met it. `refused` is the failure code with which it was refused, else None."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def connections(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def refused(self) -> str | None: ...


_RECORD = """
INSERT INTO hosts_contacted (video_id, run_id, job_id, host, port, connections, bytes_received, refused)
SELECT %(video_id)s, %(run_id)s, (SELECT job_id FROM ingest_jobs WHERE job_id = %(job_id)s), contact.*
  FROM unnest(%(hosts)s::text[], %(ports)s::int[], %(connections)s::int[], %(bytes)s::bigint[], %(refused)s::text[])
       AS contact
ON CONFLICT (video_id, run_id, host, port) DO UPDATE
   SET connections = excluded.connections, bytes_received = excluded.bytes_received, refused = excluded.refused,
       last_at = now()
"""


def record(connection: Connection, lease: Lease, run_id: str, job_id: UUID | None, contacts: Sequence[Contact]) -> None:
    """Notes whom the run contacted for the lease's video: refused hosts first, then those that sent most, at most
    MOST_ROWS. Repeated, it changes nothing but the time. Raises LeaseLost."""
    fence(connection, [lease])
    merged = _merged(contacts)
    values: Row = {
        "video_id": lease.video_id,
        "run_id": run_id,
        "job_id": job_id,
        "hosts": [host for host, _ in merged],
        "ports": [port for _, port in merged],
        "connections": [each[0] for each in merged.values()],
        "bytes": [each[1] for each in merged.values()],
        "refused": [each[2] for each in merged.values()],
    }
    connection.execute(_RECORD, values)


def _merged(contacts: Sequence[Contact]) -> dict[tuple[str, int], tuple[int, int, str | None]]:
    """Connections, bytes and refusal by host and port: a host that redirects to itself may come several times."""
    merged: dict[tuple[str, int], tuple[int, int, str | None]] = {}
    for each in contacts:
        name = (storable_text(each.host)[:_LONGEST_HOST], min(max(each.port, 0), 65535))
        count, received, refused = merged.get(name, (0, 0, None))
        refused = refused or (each.refused and storable_text(each.refused)[:_LONGEST_CODE]) or None
        merged[name] = (min(count + each.connections, _MOST_CONNECTIONS), received + each.bytes_received, refused)
    most_telling = sorted(merged.items(), key=lambda item: (item[1][2] is None, -item[1][1], item[0]))
    return dict(most_telling[:MOST_ROWS])


_OF_VIDEO = """
SELECT run_id, job_id, host, port, connections, bytes_received, refused, first_at, last_at FROM hosts_contacted
 WHERE video_id = %s ORDER BY last_at DESC, run_id, refused IS NOT NULL, bytes_received DESC, host, port
"""


def of_video(connection: Connection, video_id: str) -> list[Row]:
    """All that is known of whom the video's runs contacted, the latest run first, what sent most before the rest."""
    return connection.execute(_OF_VIDEO, (video_id,)).fetchall()


_OLD = "DELETE FROM hosts_contacted WHERE last_at < now() - make_interval(days => %s)"


def forget_old(connection: Connection, days: int = KEEP_DAYS) -> int:
    """Removes what is older than so many days. Returns how many rows."""
    return connection.execute(_OLD, (days,)).rowcount
