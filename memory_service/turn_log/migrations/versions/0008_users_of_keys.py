"""The user that an API key acts as, and whose data a receipt is about.

Revision ID: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; keys that exist act for their whole project."""
    op.add_column("api_keys", sa.Column("user_id", sa.String(128)))
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.add_column("receipts", sa.Column("user_key", key))
