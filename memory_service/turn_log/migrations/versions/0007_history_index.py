"""The history index: finds the turns that a client sends again by the hashes of their messages.

Revision ID: 0007
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
import structlog
from alembic import op

from memory_service.items.message_hash import message_hash

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

logger = structlog.get_logger(__name__)

Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")

BATCH = 1_000
REPORTED_TURNS = 100_000

# A client sends an assistant's message together with the messages around it, and they are stored
# at one time. The answer of a model is stored alone.
_TURNS = """
SELECT turns.key, coalesce(conversations.user_key, -conversations.key), turns.conversation_key,
  turns.raw,
  turns.role = 'assistant' AND EXISTS (
    SELECT 1 FROM turns AS other WHERE other.conversation_key = turns.conversation_key
    AND other.active IN (false, true) AND other.seq IN (turns.seq - 1, turns.seq + 1)
    AND other.stored_at = turns.stored_at
  )
FROM turns JOIN conversations ON conversations.key = turns.conversation_key
WHERE turns.key > :after ORDER BY turns.key LIMIT :limit
"""


def upgrade() -> None:
    """Create the table, and add a row for each turn."""
    index = op.create_table(
        "history_index",
        sa.Column(
            "turn_key", Key, sa.ForeignKey("turns.key", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("owner_key", Key, nullable=False),
        sa.Column("conversation_key", Key, nullable=False),
        sa.Column("message_hash", sa.LargeBinary(16), nullable=False),
        sa.Column("from_request", sa.Boolean, nullable=False),
        sa.Column("follows_key", Key),
    )
    done = 0
    for rows in _batches():
        op.bulk_insert(index, [_index_row(row) for row in rows])
        done += len(rows)
        if done % REPORTED_TURNS == 0:
            logger.info("turns are added to the history index", turns=done)
    op.create_index(
        "history_index_by_hash",
        "history_index",
        ["owner_key", "message_hash", "conversation_key", "turn_key"],
    )


def _batches() -> Iterator[Sequence[sa.Row[Any]]]:
    after = 0
    while rows := op.get_bind().execute(sa.text(_TURNS), {"after": after, "limit": BATCH}).all():
        yield rows
        after = rows[-1][0]


def _index_row(row: Sequence[Any]) -> dict[str, Any]:
    key, owner_key, conversation_key, raw, from_request = row
    return {
        "turn_key": key,
        "owner_key": owner_key,
        "conversation_key": conversation_key,
        "message_hash": message_hash(_item(raw)),
        "from_request": bool(from_request),
    }


def _item(raw: str) -> dict[str, Any]:
    """Return an item; nothing for JSON that is damaged, which `verify` reports."""
    try:
        item = json.loads(raw)
    except ValueError:
        return {}
    return item if isinstance(item, dict) else {}
