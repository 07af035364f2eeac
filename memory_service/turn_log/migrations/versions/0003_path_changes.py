"""How often a conversation's live path changed other than by growing.

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
    """Count the changes of branch, so that what is known of a path can be told from what was."""
    op.add_column(
        "conversations", sa.Column("path_changes", sa.Integer, nullable=False, server_default="0")
    )
