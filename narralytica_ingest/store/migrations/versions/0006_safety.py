"""Hosts that runs contacted, limits of what a new job may say, and functions that obey no one's search path.

The SQL stands in `0006_safety.sql`, where a person can read it as SQL.
"""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Adds to what stands; jobs that are there already are not judged anew."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())
