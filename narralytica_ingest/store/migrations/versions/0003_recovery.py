"""What is being stored, what may be left over in the bucket, and pauses of the claim.

The SQL stands in `0003_recovery.sql`, where a person can read it as SQL.
"""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds to what stands; nothing is rewritten."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())
