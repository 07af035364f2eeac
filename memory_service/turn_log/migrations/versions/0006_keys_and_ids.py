"""Name internal integers `key` and the ids that callers see `id`, as the code does.

Revision ID: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The old names of each table's columns and the new ones, in the order of renaming: `id` is free
# for the id of callers only when the internal integer is called `key`.
RENAMES = {
    "projects": {"id": "key"},
    "api_keys": {"id": "key", "project_id": "project_key"},
    "users": {"id": "key", "external_id": "id", "project_id": "project_key"},
    "conversations": {
        "id": "key",
        "external_id": "id",
        "project_id": "project_key",
        "user_id": "user_key",
        "head_id": "head_key",
    },
    "turns": {
        "id": "key",
        "external_id": "id",
        "project_id": "project_key",
        "conversation_id": "conversation_key",
        "parent_id": "parent_key",
        "unit_id": "tool_group_key",
        "live": "active",
    },
    "tool_calls": {"conversation_id": "conversation_key", "turn_id": "turn_key"},
    "passages": {"id": "key", "conversation_id": "conversation_key", "turn_id": "turn_key"},
    "postings": {"conversation_id": "conversation_key", "passage_id": "passage_key"},
    "collections": {
        "id": "key",
        "project_id": "project_key",
        "conversation_id": "conversation_key",
    },
    "placements": {"conversation_id": "conversation_key", "collection_id": "collection_key"},
    "index_queue": {
        "id": "key",
        "passage_id": "passage_key",
        "conversation_id": "conversation_key",
        "collection_id": "collection_key",
    },
    "residues": {
        "id": "key",
        "collection_id": "collection_key",
        "conversation_id": "conversation_key",
    },
    "idempotency": {
        "key": "idempotency_key",
        "project_id": "project_key",
        "conversation_id": "conversation_key",
    },
    "receipts": {"id": "key", "external_id": "id", "project_id": "project_key"},
    "summaries": {
        "id": "key",
        "external_id": "id",
        "conversation_id": "conversation_key",
        "tip_id": "tip_key",
    },
    "summary_queue": {"conversation_id": "conversation_key"},
    "prompt_states": {
        "conversation_id": "conversation_key",
        "input_parent_id": "input_parent_key",
    },
    "traces": {"id": "key", "external_id": "id", "project_id": "project_key"},
}


def upgrade() -> None:
    """Rename the columns; SQLite changes indices and foreign keys with them, and no row."""
    for table, columns in RENAMES.items():
        for old, new in columns.items():
            op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
