"""The whole schema of metadata, when it was read, and what people corrected.

The SQL stands in `0005_metadata.sql` and `0005_comments.sql`, where a person can read it as SQL.
"""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Adds to what stands; times that were a day say so."""
    for name in ("0005_metadata.sql", "0005_comments.sql"):
        op.get_bind().exec_driver_sql(Path(__file__).with_name(name).read_text())
