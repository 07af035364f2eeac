"""Check the turns of an append against the stored tree: ids, parents, order.

An id identifies one item of a project. An append may contain items that are stored already: they
are recognised by their ids and not stored again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memory_service.conversations.lookup import find_item
from memory_service.conversations.requests import Below
from memory_service.core.errors import Conflict, InvalidRequest
from memory_service.core.models import Conversation, NewTurn, Turn
from memory_service.turn_log.transactions import ReadTransaction


def check_unique_ids(turns: Sequence[NewTurn]) -> None:
    """Raise InvalidRequest if two turns have the same id."""
    seen: set[str] = set()
    for position, turn in enumerate(turns):
        if turn.id in seen:
            raise InvalidRequest(
                f"The id {turn.id!r} occurs twice in this request.", param=f"items.{position}.id"
            )
        seen.add(turn.id)


def check_new_ids(snapshot: ReadTransaction, project_key: int, turns: Sequence[NewTurn]) -> None:
    """Raise Conflict if an item of a conversation that is to be created is stored already."""
    stored = _stored_by_id(snapshot, project_key, turns)
    for position, turn in enumerate(turns):
        if turn.id in stored:
            raise _id_exists(turn, position, "in another conversation")


def stored_items(
    snapshot: ReadTransaction,
    project_key: int,
    conversation: Conversation,
    turns: Sequence[NewTurn],
) -> Mapping[str, Turn]:
    """Return the turns that are stored already, by id.

    Raises Conflict for an id that another conversation uses, or that has other content.
    """
    stored = _stored_by_id(snapshot, project_key, turns)
    for position, turn in enumerate(turns):
        existing = stored.get(turn.id)
        if existing is None:
            continue
        if existing.conversation_key != conversation.key:
            raise _id_exists(turn, position, "in another conversation")
        if existing.content_hash != turn.content_hash:
            raise _id_exists(turn, position, "with other content")
    return stored


def parent_turn(
    snapshot: ReadTransaction, project_key: int, conversation: Conversation, below: str | Below
) -> Turn | None:
    """Return the turn to append below, None for a new root; raises NotFound for an unknown item."""
    if isinstance(below, str):
        return find_item(snapshot, project_key, conversation.key, below, param="parent")
    key = conversation.head_key if below is Below.HEAD else None
    return None if key is None else snapshot.turns.by_keys(project_key, [key])[key]


def is_child_of(turn: Turn, below: str | Below, parent: Turn | None) -> bool:
    """Return whether a stored turn is below the parent that an append names.

    With HEAD it always is: the head has advanced since the turn was stored.
    """
    return below is Below.HEAD or turn.parent_key == (parent.key if parent else None)


def last_stored_item(turns: Sequence[NewTurn], stored: Mapping[str, Turn]) -> Turn:
    """Return the stored turn that the new turns follow.

    Raises Conflict unless all stored items come before all new ones.
    """
    count = len(stored)
    if any(turn.id not in stored for turn in turns[:count]):
        raise Conflict(
            "Below a named parent, items that are stored already must come before the new ones.",
            param="items",
        )
    return stored[turns[count - 1].id]


def _stored_by_id(
    snapshot: ReadTransaction, project_key: int, turns: Sequence[NewTurn]
) -> Mapping[str, Turn]:
    """Return the stored turns of the items with an id from the client; other ids are new."""
    return snapshot.turns.by_ids(project_key, [turn.id for turn in turns if turn.id_given])


def _id_exists(turn: NewTurn, position: int, where: str) -> Conflict:
    return Conflict(
        f"An item {turn.id!r} exists already {where}.",
        param=f"items.{position}.id",
        code="id_exists",
    )
