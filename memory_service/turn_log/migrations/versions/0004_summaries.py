"""Summaries of turns that left the recent window, their queue, and a switch per conversation.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _cascade(column: str) -> sa.ForeignKey:
    return sa.ForeignKey(column, ondelete="CASCADE")


def upgrade() -> None:
    """Create the tables, and the columns for the model and the summaries of a prompt."""
    op.add_column("conversations", sa.Column("summaries", sa.Boolean))
    op.add_column("prompt_states", sa.Column("model", sa.Text))
    op.add_column(
        "prompt_states", sa.Column("summaries", sa.Text, nullable=False, server_default="[]")
    )
    op.create_table(
        "summaries",
        sa.Column("id", Key, primary_key=True),
        sa.Column("conversation_id", Key, _cascade("conversations.id"), nullable=False),
        sa.Column("external_id", sa.String(64), nullable=False, unique=True),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("first_seq", sa.Integer, nullable=False),
        sa.Column("last_seq", sa.Integer, nullable=False),
        sa.Column("tip_id", Key, _cascade("turns.id"), nullable=False),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("vector", sa.LargeBinary),
        sa.UniqueConstraint("conversation_id", "level", "first_seq", "tip_id"),
    )
    op.create_index("summaries_by_tip", "summaries", ["tip_id"])
    op.create_table(
        "summary_queue",
        sa.Column("conversation_id", Key, _cascade("conversations.id"), primary_key=True),
        sa.Column("requests", sa.Integer, nullable=False),
    )
    key_blocks = sa.table("key_blocks", sa.column("name"), sa.column("next_key"))
    op.bulk_insert(key_blocks, [{"name": "summaries", "next_key": 1}])
