"""What a request continues: an earlier response, a conversation, or what its items' ids name.

The result is a `ResponseRequest` that the gateway can locate. These cases are told apart:

* `previous_response_id`: the input is appended below the last turn of that response.
* `conversation`: the input is appended to the conversation.
* Otherwise the input is a history that may be sent again. Ids of its items that are stored name
  its conversation. A request that names nothing gets a conversation of its own if it is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields as dataclass_fields
from typing import Any, NamedTuple

from memory_service.core.errors import InvalidRequest
from memory_service.core.models import Conversation, Turn
from memory_service.gateway.request import AppendPoint, ChatRequest
from memory_service.items.fields import ID_PATTERN, new_id
from memory_service.items.item_hash import content_hash
from memory_service.items.strict_json import dumps
from memory_service.responses.objects import Item
from memory_service.responses.request import ResponseRequest, input_items, raw_input
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import ReadTransaction

_MAX_SYSTEM_TURNS = 64
_ID = re.compile(ID_PATTERN)


class _Input(NamedTuple):
    """The items of an input with the JSON of each, and the stored turns that their ids name."""

    items: Sequence[Item]
    raws: Sequence[str]
    stored: Mapping[str, Turn]


class _Place(NamedTuple):
    """The conversation of a request, and where its input is appended; None is not known yet.

    `system` are the system items of the conversation that are not turns of it. An `is_unnamed`
    conversation exists only for its responses.
    """

    conversation_id: str | None
    point: AppendPoint | None = None
    system: Sequence[Item] = ()
    is_unnamed: bool = False


class Continuations:
    """Finds what requests continue."""

    def __init__(self, log: TurnLog) -> None:
        self._log = log

    def resolve(self, project_key: int, chat: ChatRequest, *, stores: bool) -> ResponseRequest:
        """Return a request with its place; `stores` whether its response will be stored.

        Raises InvalidRequest for an unknown response, and for an unusable input.
        """
        items = input_items(chat.body)
        sent = _Input(items, raw_input(chat.text, chat.body, items), {})
        if chat.headers.mode == "off":
            return _request(chat, sent, _Place(None), ())
        with self._log.read() as snapshot:
            named = snapshot.turns.by_ids(project_key, _ids(items))
            stored = {turn.id: turn for turn in snapshot.media.with_media(list(named.values()))}
            place = _place(snapshot, project_key, chat, stored, stores=stores)
            conversation = _conversation(snapshot, project_key, place)
            system = _system_items(snapshot, conversation, place)
        resolved = _resolved(sent._replace(stored=stored), conversation)
        return _request(chat, resolved, place, system)


def _place(
    snapshot: ReadTransaction,
    project_key: int,
    chat: ChatRequest,
    stored: Mapping[str, Turn],
    *,
    stores: bool,
) -> _Place:
    previous = chat.body.get("previous_response_id")
    if previous is not None:
        return _after_response(snapshot, project_key, chat, previous)
    if chat.conversation_id is not None:
        is_appended = chat.body.get("conversation") is not None
        return _Place(chat.conversation_id, AppendPoint(None) if is_appended else None)
    if not stores:
        return _Place(None)
    named = _named_by_items(snapshot, project_key, chat, stored)
    if named is not None:
        return _Place(named)
    if chat.user is not None:
        return _Place(None)
    return _Place(new_id("conv"), AppendPoint(None), is_unnamed=True)


def _after_response(
    snapshot: ReadTransaction, project_key: int, chat: ChatRequest, response_id: Any
) -> _Place:
    """Return the place below the last turn of a response, or below the head if it was deleted."""
    response = snapshot.responses.get(project_key, str(response_id))
    if response is None or not _is_reachable(snapshot, chat, response.conversation_key):
        raise InvalidRequest(
            f"Previous response with id {response_id!r} not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    if chat.conversation_id not in (None, response.conversation_id):
        raise InvalidRequest(
            f"The response {response_id!r} belongs to the conversation "
            f"{response.conversation_id!r}, not to {chat.conversation_id!r}.",
            param="previous_response_id",
        )
    tip = snapshot.turns.by_keys(project_key, [response.tip_key])
    point = AppendPoint(response.tip_key if tip else None)
    detail = response.detail
    return _Place(response.conversation_id, point, detail["system"], detail["is_unnamed"])


def _is_reachable(snapshot: ReadTransaction, chat: ChatRequest, conversation_key: int) -> bool:
    """Return whether a conversation is not hidden from a key that is bound to a user."""
    if not chat.identity.is_bound:
        return True
    conversation = snapshot.conversations.by_key(conversation_key)
    return conversation is not None and conversation.user == chat.user


def _named_by_items(
    snapshot: ReadTransaction, project_key: int, chat: ChatRequest, stored: Mapping[str, Turn]
) -> str | None:
    """Return the conversation of the newest stored item of an input, unless it is a user's."""
    if not stored:
        return None
    newest = max(stored.values(), key=lambda turn: turn.key)
    key = newest.conversation_key
    conversation = snapshot.conversations.by_keys(project_key, [key]).get(key)
    if conversation is None or not chat.identity.may_continue(conversation.user):
        return None
    return conversation.id


def _conversation(
    snapshot: ReadTransaction, project_key: int, place: _Place
) -> Conversation | None:
    if place.conversation_id is None:
        return None
    return snapshot.conversations.get(project_key, place.conversation_id)


def _system_items(
    snapshot: ReadTransaction, conversation: Conversation | None, place: _Place
) -> Sequence[Item]:
    """Return the system items of a conversation that the input is appended to."""
    if conversation is None or place.point is None:
        return place.system
    turns = snapshot.turns.system_turns(conversation.key, _MAX_SYSTEM_TURNS)
    return [*place.system, *(json.loads(turn.raw) for turn in turns)]


def _resolved(sent: _Input, conversation: Conversation | None) -> _Input:
    """Return an input with its references replaced, and without ids that are taken already."""
    resolved = [
        _item(item, raw, sent.stored, conversation)
        for item, raw in zip(sent.items, sent.raws, strict=True)
    ]
    return _Input([item for item, _ in resolved], [raw for _, raw in resolved], sent.stored)


def _item(
    item: Item, raw: str, stored: Mapping[str, Turn], conversation: Conversation | None
) -> tuple[Item, str]:
    item_id = item.get("id")
    if item_id is None:
        return item, raw
    turn = stored.get(item_id) if isinstance(item_id, str) else None
    is_here = (
        turn is not None and conversation is not None and turn.conversation_key == conversation.key
    )
    if turn is not None and _is_reference(item):
        shown = {**json.loads(turn.raw), "id": turn.id}
        return _kept(shown, dumps(shown), has_id=is_here)
    if turn is None:
        is_usable = isinstance(item_id, str) and bool(_ID.fullmatch(item_id))
        return _kept(item, raw, has_id=is_usable or _is_reference(item))
    is_same = turn.content_hash == content_hash(item, str(item.get("type", "message")))
    return _kept(item, raw, has_id=is_here and is_same)


def _kept(item: Item, raw: str, *, has_id: bool) -> tuple[Item, str]:
    """Return an item with its JSON, without its id if it cannot be stored under it."""
    if has_id:
        return item, raw
    renewed = {name: value for name, value in item.items() if name != "id"}
    return renewed, dumps(renewed)


def _is_reference(item: Item) -> bool:
    return item.get("type") == "item_reference" or set(item) == {"id"}


def _ids(items: Sequence[Item]) -> list[str]:
    ids = (item.get("id") for item in items)
    return [item_id for item_id in ids if isinstance(item_id, str) and _ID.fullmatch(item_id)]


def _request(
    chat: ChatRequest, sent: _Input, place: _Place, system: Sequence[Item]
) -> ResponseRequest:
    fields = {field.name: getattr(chat, field.name) for field in dataclass_fields(ChatRequest)}
    return ResponseRequest(
        **fields,
        items=sent.items,
        raw_items=sent.raws,
        stored_system=system,
        unstored_system=place.system,
        named_conversation=place.conversation_id,
        point=place.point,
        is_unnamed=place.is_unnamed,
    )
