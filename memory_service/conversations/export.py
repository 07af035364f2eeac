"""Export conversations in the service's own format, with all data that an import needs.

The format is JSON lines, one conversation per line. A line contains `format`, the properties of the
conversation, `head` (the id of the last item of the active branch) and `items` by ascending `seq`.
An item has:

* `id`, and `parent` (an id or null);
* `created_at` (RFC 3339), `name` and `metadata`;
* `gap_before`: whether turns before it were deleted;
* `raw`: the JSON of the item as it was sent, as a string, because parsing would change its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memory_service.core.clock import to_datetime
from memory_service.core.errors import NotFound
from memory_service.core.models import Conversation, Turn
from memory_service.items.strict_json import dumps
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import ReadTransaction

FORMAT = "memory_service.conversation/1"


def export_lines(log: TurnLog, project: str, user: str | None = None) -> Iterator[str]:
    """Yield the conversations of a project, or of one of its users, oldest first.

    Raises NotFound for an unknown project or user.
    """
    with log.read() as snapshot:
        project_key = _project_key(snapshot, project)
        user_key = None if user is None else snapshot.users.key_of(project_key, user)
        if user is not None and user_key is None:
            raise NotFound(f"No user {user!r} in project {project!r}.")
        for conversation in snapshot.conversations.all(project_key, user_key):
            turns = snapshot.media.with_media(list(snapshot.turns.all(conversation.key)))
            yield _line(conversation, turns)


def _project_key(snapshot: ReadTransaction, project: str) -> int:
    key = snapshot.projects.key_of(project)
    if key is None:
        names = ", ".join(sorted(snapshot.projects.names().values())) or "none"
        raise NotFound(f"No project {project!r} in this data folder. Its projects: {names}.")
    return key


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
            "head": _id_of(conversation.head_key, ids),
            "items": [_item(turn, ids) for turn in turns],
        }
    )


def _item(turn: Turn, ids: Mapping[int, str]) -> dict[str, Any]:
    return {
        "id": turn.id,
        "parent": _id_of(turn.parent_key, ids),
        "created_at": to_datetime(turn.created_at, turn.utc_offset_minutes).isoformat(),
        "name": turn.name,
        "metadata": None if turn.metadata is None else dict(turn.metadata),
        "gap_before": turn.gap_before,
        "raw": turn.raw,
    }


def _id_of(key: int | None, ids: Mapping[int, str]) -> str | None:
    return None if key is None else ids.get(key)
