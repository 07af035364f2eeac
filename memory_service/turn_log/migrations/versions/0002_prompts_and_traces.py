"""Prompt states (each conversation's recent window and recalled block), and traces.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _cascade(column: str) -> sa.ForeignKey:
    return sa.ForeignKey(column, ondelete="CASCADE")


def upgrade() -> None:
    """Create the tables, and count a conversation's deletions."""
    op.add_column(
        "conversations", sa.Column("erasures", sa.Integer, nullable=False, server_default="0")
    )
    op.create_table(
        "prompt_states",
        sa.Column("conversation_id", Key, _cascade("conversations.id"), primary_key=True),
        sa.Column("window_seq", sa.Integer),
        sa.Column("input_parent_id", Key),
        sa.Column("input_hash", sa.LargeBinary(32)),
        sa.Column("recalled", sa.Text, nullable=False),
        sa.Column("left_out", sa.Text, nullable=False),
    )
    op.create_table(
        "traces",
        sa.Column("id", Key, primary_key=True),
        sa.Column("project_id", Key, _cascade("projects.id"), nullable=False),
        sa.Column("external_id", sa.String(64), nullable=False, unique=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("traces_by_age", "traces", ["project_id", "created_at"])
