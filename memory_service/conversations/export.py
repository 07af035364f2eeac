"""The project's own format: JSON lines, a conversation a line, with everything to store it again.

A line holds `format`, the conversation's fields, `head` (the id of the live branch's last item) and
`items` by rising `seq`. Of each item: `id`, `parent` (an id or null), `created_at` (RFC 3339),
`name`, `metadata`, `gap_before` (turns before it were deleted) and `raw`: the item's JSON as it was
sent, as a string, because a JSON value would lose its spelling.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from memory_service.core.clock import to_datetime
from memory_service.core.errors import NotFound
from memory_service.core.models import Conversation, Turn
from memory_service.items.strict_json import dumps
from memory_service.turn_log.log import TurnLog

FORMAT = "memory_service.conversation/1"


def export_lines(log: TurnLog, project: str, user: str | None = None) -> Iterator[str]:
    """Yield the project's conversations, oldest first; raises NotFound for an unknown one."""
    with log.read() as snapshot:
        project_key = snapshot.projects.key_of(project)
        if project_key is None:
            known = ", ".join(sorted(snapshot.projects.names().values())) or "none"
            raise NotFound(f"No project {project!r} in this data folder; there are: {known}.")
        user_key = None if user is None else snapshot.users.key_of(project_key, user)
        if user is not None and user_key is None:
            raise NotFound(f"No user {user!r} in project {project!r}.")
        for conversation in snapshot.conversations.all(project_key, user_key):
            yield _line(conversation, list(snapshot.turns.all(conversation.key)))


def _line(conversation: Conversation, turns: Sequence[Turn]) -> str:
    ids = {turn.key: turn.id for turn in turns}
    return dumps(
        {
            "format": FORMAT,
            "id": conversation.id,
            "user": conversation.user,
            "title": conversation.title,
            "metadata": dict(conversation.metadata),
            "created_at": to_datetime(conversation.created_at).isoformat(),
            "head": ids.get(conversation.head_key or 0),
            "items": [_item(turn, ids) for turn in turns],
        }
    )


def _item(turn: Turn, ids: dict[int, str]) -> dict[str, Any]:
    return {
        "id": turn.id,
        "parent": ids.get(turn.parent_key or 0),
        "created_at": to_datetime(turn.created_at, turn.utc_offset_minutes).isoformat(),
        "name": turn.name,
        "metadata": None if turn.metadata is None else dict(turn.metadata),
        "gap_before": turn.gap_before,
        "raw": turn.raw,
    }
