"""Audio tracks of several profiles and languages, and what was measured of them.

The SQL stands in `0004_audio.sql`, where a person can read it as SQL.
"""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds to what stands; audio tracks that are there are of the default profile."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())
