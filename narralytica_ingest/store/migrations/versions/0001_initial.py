"""The job table, videos, media files and metadata, with the triggers that keep and announce their state.

The SQL stands in `0001_initial.sql`, where a person can read it as SQL.
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Creates everything."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())
