"""The columns that the UI shows of an asset are those of its table, in its words."""

import dagster as dg
import pytest

from narralytica_ingest.definitions import defs
from narralytica_ingest.store.database import Database

_COLUMNS = """
SELECT attname AS name, format_type(atttypid, atttypmod) AS type, col_description(attrelid, attnum) AS description
  FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


@pytest.mark.parametrize(
    ("asset", "table"), [("ingest_jobs", "ingest_jobs"), ("raw_video", "media_files"), ("audio_track", "media_files")]
)
def test_an_asset_shows_the_columns_of_its_table(database: Database, asset: str, table: str) -> None:
    node = defs.resolve_asset_graph().get(dg.AssetKey(asset))
    schema = node.metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema)
    shown = [{"name": each.name, "type": each.type, "description": each.description} for each in schema.columns]
    assert shown == database.all(_COLUMNS, (table,))


def test_every_asset_says_what_it_is_whose_it_is_and_what_it_holds() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description
        assert node.owners
        assert node.kinds
        assert "dagster/column_schema" in node.metadata
    assert all(check.description for key in graph.asset_check_keys for check in [graph.get_check_spec(key)])
