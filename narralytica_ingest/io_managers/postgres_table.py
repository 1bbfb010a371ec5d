"""Metadata rows in Postgres: a pandas DataFrame goes in, one upsert stores it."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from narralytica_ingest.engine.run_session import RunSession
from narralytica_ingest.store.database import Row
from narralytica_ingest.store.metadata_rows import commit_metadata

if TYPE_CHECKING:
    import pandas as pd


class PostgresTableIOManager(dg.IOManager):
    """Stores and loads `video_metadata`, one row per video."""

    def __init__(self, session: RunSession) -> None:
        self._session = session

    def handle_output(self, context: dg.OutputContext, obj: "pd.DataFrame") -> None:
        """Upserts all rows in one statement, fenced by the run's lease on each video."""
        rows = _rows(obj)
        with self._session.stage("store"):
            leases = {row["video_id"]: self._session.lease(row["video_id"]) for row in rows}
            self._session.commit(lambda connection: commit_metadata(connection, leases, rows))
        context.add_output_metadata({"rows": len(rows)})

    def load_input(self, context: dg.InputContext) -> "pd.DataFrame":
        """The served rows of the upstream partitions."""
        import pandas as pd

        rows = self._session.database.all(
            "SELECT m.* FROM video_metadata m JOIN videos v USING (video_id, generation) WHERE m.video_id = ANY(%s)",
            (list(context.asset_partition_keys),),
        )
        return pd.DataFrame(rows)


def _rows(frame: "pd.DataFrame") -> list[Row]:
    """Plain values for JSON: every kind of missing value becomes None."""
    plain = frame.astype(object)
    rows: list[Row] = [
        {str(name): value for name, value in row.items()}
        for row in plain.where(plain.notna(), None).to_dict(orient="records")
    ]
    return rows


@dg.io_manager(required_resource_keys={"run_session"}, description="The table video_metadata in Postgres.")
def postgres_table(context: dg.InitResourceContext) -> PostgresTableIOManager:
    """Made once per run."""
    resources: Any = context.resources
    return PostgresTableIOManager(resources.run_session)
