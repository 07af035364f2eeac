"""How often a conversation's active branch changed other than by an append.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the counter, which shows whether a branch that was read earlier is out of date."""
    op.add_column(
        "conversations", sa.Column("path_changes", sa.Integer, nullable=False, server_default="0")
    )
