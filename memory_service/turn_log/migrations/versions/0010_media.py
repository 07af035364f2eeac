"""Media of turns, each stored once in a project.

Turns that are stored already keep the media in their JSON.

Revision ID: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _cascade(column: str) -> sa.ForeignKey:
    return sa.ForeignKey(column, ondelete="CASCADE")


def upgrade() -> None:
    """Create the tables of the contents, and of their places in turns."""
    op.create_table(
        "media",
        sa.Column("key", Key, primary_key=True),
        sa.Column("project_key", Key, _cascade("projects.key"), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("project_key", "hash"),
    )
    op.create_table(
        "turn_media",
        sa.Column("turn_key", Key, _cascade("turns.key"), primary_key=True),
        sa.Column("ordinal", sa.Integer, primary_key=True),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("style", sa.SmallInteger, nullable=False),
        sa.Column("media_key", Key, sa.ForeignKey("media.key"), nullable=False),
    )
    op.create_index("turn_media_by_media", "turn_media", ["media_key"])
