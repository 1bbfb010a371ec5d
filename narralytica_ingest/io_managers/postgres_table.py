"""Metadata rows in Postgres: a pandas DataFrame goes in, one upsert stores it."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from narralytica_ingest.engine.run_session import RunSession
from narralytica_ingest.store.database import Row
from narralytica_ingest.store.metadata_rows import commit_metadata, served

if TYPE_CHECKING:
    import pandas as pd


class PostgresTableIOManager(dg.IOManager):
    """Stores and loads `video_metadata`, one row per video."""

    def __init__(self, session: RunSession) -> None:
        self._session = session

    def handle_output(self, context: dg.OutputContext, obj: "pd.DataFrame") -> None:
        """Stores the rows."""
        self.store(obj)
        context.add_output_metadata({"rows": len(obj)})

    def store(self, frame: "pd.DataFrame") -> None:
        """Upserts all rows in one statement, fenced by the run's lease on each video."""
        rows = _rows(frame)
        with self._session.stage("store"):
            leases = {row["video_id"]: self._session.lease(row["video_id"]) for row in rows}
            self._session.commit(lambda connection: commit_metadata(connection, leases, rows))

    def load_input(self, context: dg.InputContext) -> "pd.DataFrame":
        """The served rows of the upstream partitions, corrections included."""
        import pandas as pd

        keys = list(context.asset_partition_keys)
        return pd.DataFrame(self._session.commit(lambda connection: served(connection, keys)))


def _rows(frame: "pd.DataFrame") -> list[Row]:
    """Plain values for JSON: every kind of missing value becomes None, a time its text."""
    plain = frame.astype(object)
    records = plain.where(plain.notna(), None).to_dict(orient="records")
    return [{str(name): _plain(value) for name, value in record.items()} for record in records]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


@dg.io_manager(required_resource_keys={"run_session"}, description="The table video_metadata in Postgres.")
def postgres_table(context: dg.InitResourceContext) -> PostgresTableIOManager:
    """Made once per run."""
    resources: Any = context.resources
    return PostgresTableIOManager(resources.run_session)
