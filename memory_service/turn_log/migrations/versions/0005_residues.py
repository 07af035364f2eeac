"""Residues: places where bytes of deleted data may remain in files.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the table, and request one erasure of files: older versions left residues."""
    residues = op.create_table(
        "residues",
        sa.Column("id", Key, primary_key=True),
        sa.Column("place", sa.String(12), nullable=False),
        sa.Column("collection_id", Key),
        sa.Column("conversation_id", Key),
        sa.Column("erased", sa.Boolean, nullable=False),
    )
    op.create_index("residues_by_conversation", "residues", ["conversation_id"])
    receipts, collections = (
        sa.table(name, sa.column("id")) for name in ("receipts", "collections")
    )
    if op.get_bind().scalar(sa.select(sa.func.count()).select_from(receipts)):
        op.bulk_insert(residues, [{"place": "log", "erased": True}])
        of_all = sa.select(sa.literal("collection"), collections.c.id, sa.true())
        op.execute(sa.insert(residues).from_select(["place", "collection_id", "erased"], of_all))
