"""Playlists, hosts that cool down, and where captions come from.

The SQL stands in `0002_sources.sql`, where a person can read it as SQL.
"""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds to what stands; nothing is rewritten."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())
