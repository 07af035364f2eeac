"""Responses: what the Responses API returned, by reference to the turns of its conversation.

Revision ID: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _cascade(column: str) -> sa.ForeignKey:
    return sa.ForeignKey(column, ondelete="CASCADE")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "responses",
        sa.Column("key", Key, primary_key=True),
        sa.Column("project_key", Key, _cascade("projects.key"), nullable=False),
        sa.Column("conversation_key", Key, _cascade("conversations.key"), nullable=False),
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("tip_key", Key, nullable=False),
        sa.Column("input_keys", sa.Text, nullable=False),
        sa.Column("output_keys", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("project_key", "id"),
    )
    op.create_index("responses_by_conversation", "responses", ["conversation_key"])
