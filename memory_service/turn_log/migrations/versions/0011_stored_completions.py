"""Chat completions that callers have asked to store.

Revision ID: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _cascade(column: str) -> sa.ForeignKey:
    return sa.ForeignKey(column, ondelete="CASCADE")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "completions",
        sa.Column("key", Key, primary_key=True),
        sa.Column("project_key", Key, _cascade("projects.key"), nullable=False),
        sa.Column("conversation_key", Key, _cascade("conversations.key")),
        sa.Column("id", sa.String(256), nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("completion", sa.Text, nullable=False),
        sa.Column("messages", sa.Text, nullable=False),
        sa.Column("stored_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("project_key", "id"),
    )
    op.create_index("completions_by_conversation", "completions", ["conversation_key"])
