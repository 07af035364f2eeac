"""The turn log's first schema.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _cascade(column: str) -> sa.ForeignKey:
    return sa.ForeignKey(column, ondelete="CASCADE")


def upgrade() -> None:
    """Create every table."""
    _create_tenants()
    _create_conversations()
    _create_recall()
    _create_bookkeeping()
    key_blocks = sa.table("key_blocks", sa.column("name"), sa.column("next_key"))
    names = ("conversations", "turns", "passages", "collections")
    op.bulk_insert(key_blocks, [{"name": name, "next_key": 1} for name in names])


def _create_tenants() -> None:
    op.create_table(
        "properties",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "key_blocks",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("next_key", Key, nullable=False),
    )
    op.create_table(
        "projects",
        sa.Column("id", Key, primary_key=True),
        sa.Column("name", sa.String(128), nullable=False, unique=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", Key, primary_key=True),
        sa.Column("project_id", Key, _cascade("projects.id"), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.Column("hint", sa.String(8), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_table(
        "users",
        sa.Column("id", Key, primary_key=True),
        sa.Column("project_id", Key, _cascade("projects.id"), nullable=False),
        sa.Column("external_id", sa.String(128), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("project_id", "external_id"),
    )


def _create_conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", Key, primary_key=True),
        sa.Column("project_id", Key, _cascade("projects.id"), nullable=False),
        sa.Column("external_id", sa.String(128), nullable=False),
        sa.Column("user_id", Key, _cascade("users.id")),
        sa.Column("title", sa.Text),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("stored_at", sa.BigInteger, nullable=False),
        sa.Column("head_id", Key),
        sa.Column("next_seq", sa.Integer, nullable=False),
        sa.Column("language", sa.String(8)),
        sa.Column("passages", sa.Integer, nullable=False, server_default="0"),
        sa.Column("terms", sa.BigInteger, nullable=False, server_default="0"),
        sa.UniqueConstraint("project_id", "external_id"),
    )
    op.create_index("conversations_by_user", "conversations", ["user_id", "id"])
    op.create_table(
        "turns",
        sa.Column("id", Key, primary_key=True),
        sa.Column("project_id", Key, _cascade("projects.id"), nullable=False),
        sa.Column("conversation_id", Key, _cascade("conversations.id"), nullable=False),
        sa.Column("external_id", sa.String(128), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("parent_id", Key),
        sa.Column("unit_id", Key),
        sa.Column("live", sa.Boolean, nullable=False),
        sa.Column("gap_before", sa.Boolean, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("name", sa.String(128)),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("raw", sa.Text, nullable=False),
        sa.Column("metadata", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("utc_offset_minutes", sa.SmallInteger),
        sa.Column("stored_at", sa.BigInteger, nullable=False),
        sa.Column("content_hash", sa.LargeBinary(32), nullable=False),
        sa.UniqueConstraint("project_id", "external_id"),
    )
    op.create_index("turns_by_path", "turns", ["conversation_id", "live", "seq"])
    op.create_table(
        "tool_calls",
        sa.Column("conversation_id", Key, _cascade("conversations.id"), primary_key=True),
        sa.Column("call_id", sa.String(256), primary_key=True),
        sa.Column("turn_id", Key, _cascade("turns.id"), primary_key=True),
    )
    op.create_index("tool_calls_by_turn", "tool_calls", ["turn_id"])


def _create_recall() -> None:
    op.create_table(
        "passages",
        sa.Column("id", Key, primary_key=True),
        sa.Column("conversation_id", Key, _cascade("conversations.id"), nullable=False),
        sa.Column("turn_id", Key, _cascade("turns.id"), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("end", sa.Integer, nullable=False),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("vector", sa.LargeBinary),
    )
    op.create_index("passages_by_turn", "passages", ["turn_id"])
    op.create_index("passages_by_conversation", "passages", ["conversation_id"])
    op.create_table(
        "postings",
        sa.Column("conversation_id", Key, _cascade("conversations.id"), primary_key=True),
        sa.Column("term", sa.String(64), primary_key=True),
        sa.Column("passage_id", Key, primary_key=True),
        sa.Column("tf", sa.Integer, nullable=False),
        sa.Column("length", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "collections",
        sa.Column("id", Key, primary_key=True),
        sa.Column("project_id", Key, _cascade("projects.id"), nullable=False),
        sa.Column("conversation_id", Key),
        sa.Column("vectors", sa.Integer, nullable=False),
    )
    op.create_table(
        "placements",
        sa.Column("conversation_id", Key, _cascade("conversations.id"), primary_key=True),
        sa.Column("collection_id", Key, _cascade("collections.id"), nullable=False),
    )
    op.create_index("placements_by_collection", "placements", ["collection_id"])
    op.create_table(
        "index_queue",
        sa.Column("id", Key, primary_key=True),
        sa.Column("action", sa.String(8), nullable=False),
        sa.Column("passage_id", Key),
        sa.Column("conversation_id", Key),
        sa.Column("collection_id", Key),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("parked_at", sa.BigInteger),
    )
    op.create_index("index_queue_by_conversation", "index_queue", ["conversation_id"])
    op.create_index("index_queue_by_passage", "index_queue", ["passage_id"])


def _create_bookkeeping() -> None:
    op.create_table(
        "idempotency",
        sa.Column("project_id", Key, _cascade("projects.id"), primary_key=True),
        sa.Column("key", sa.String(256), primary_key=True),
        sa.Column("request_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("conversation_id", Key),
        sa.Column("first_seq", sa.Integer),
        sa.Column("last_seq", sa.Integer),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("idempotency_by_conversation", "idempotency", ["conversation_id"])
    op.create_table(
        "receipts",
        sa.Column("id", Key, primary_key=True),
        sa.Column("project_id", Key, _cascade("projects.id"), nullable=False),
        sa.Column("external_id", sa.String(64), nullable=False, unique=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
