"""Requests for upstreams that have the Responses API themselves.

The body is forwarded as it was sent, with another input: what the prompt has, as items. The items
are the stored ones, byte for byte, so that the upstream gets back everything that it sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from memory_service.core.models import Prompt, Turn
from memory_service.gateway.input_turns import (
    AnswerableRequest,
    StoredRequest,
    UnstoredConversationRequest,
)
from memory_service.gateway.upstream_prompts import UpstreamPrompt
from memory_service.items.conversation_items import SYSTEM_ROLES
from memory_service.items.strict_json import dumps, encoded
from memory_service.prompts.recalled_block import recalled_block
from memory_service.prompts.request import RECENT_MEDIA_BYTES
from memory_service.prompts.summary_block import summary_block_text
from memory_service.responses.foreign import items_of
from memory_service.responses.objects import Item
from memory_service.responses.request import ResponseRequest
from memory_service.turn_log.log import TurnLog

_OURS = ("conversation", "previous_response_id")
_STORED_FIELDS = frozenset({"created_at", "metadata", "name", "object", "seq"})
_CALLS = ("function_call", "custom_tool_call")
_PLAIN = frozenset({"message", *_CALLS, *(f"{kind}_output" for kind in _CALLS)})
"""Kinds of items that are sent without their ids, and that stay in the prompt in later exchanges.

Others, such as reasoning, are sent only in the exchange that they belong to.
"""


def native_body(request: ResponseRequest, items: Sequence[Item] | None) -> bytes:
    """Return the body for the upstream, with other `items` as its input if they are given."""
    if request.headers.mode == "off":
        return request.text.encode("utf-8", "surrogatepass")
    body = {name: value for name, value in request.body.items() if name not in _OURS}
    metadata = body.get("metadata")
    if isinstance(metadata, Mapping) and "conversation_id" in metadata:
        body["metadata"] = {k: v for k, v in metadata.items() if k != "conversation_id"}
    if items is not None:
        body["input"] = list(items)
    elif request.has_memory and request.items:
        body["input"] = [_sent(item) for item in request.items]
    return encoded(request.text if body == request.body else dumps(body))


def native_input(
    log: TurnLog, stored: AnswerableRequest, request: ResponseRequest, built: UpstreamPrompt
) -> list[Item]:
    """Return the items of a prompt."""
    items = _without_broken_calls(_current(prompt_items(log, stored, built)))
    filled = _with_recalled(_with_summaries(items, built.prompt), built.prompt)
    system = items_of((*request.stored_system, *request.system_items))
    return [_sent(item) for item in (*system, *filled)]


def prompt_items(log: TurnLog, stored: AnswerableRequest, built: UpstreamPrompt) -> list[Item]:
    """Return the items of the recent window and the input of a prompt, as they are stored."""
    window = _window(log, stored, built.prompt)
    turns = [turn for turn in (*window, *stored.input_turns) if turn.role not in SYSTEM_ROLES]
    return items_of(json.loads(turn.raw) for turn in turns)


def _window(log: TurnLog, stored: AnswerableRequest, prompt: Prompt) -> Sequence[Turn]:
    """Return the turns of the recent window, without those of parallel requests."""
    if prompt.recent_first_seq is None:
        return ()
    if isinstance(stored, UnstoredConversationRequest):
        return stored.earlier_turns
    first = stored.input_turns[0]
    with log.read() as snapshot:
        turns = snapshot.turns.before(first, max(0, first.seq - prompt.recent_first_seq))
        window = [turn for turn in turns if turn.seq >= prompt.recent_first_seq]
        complete = snapshot.media.with_media(window, max_bytes=RECENT_MEDIA_BYTES)
    hidden = stored.hidden if isinstance(stored, StoredRequest) else frozenset()
    return [turn for turn in complete if turn.key not in hidden]


def _current(items: Sequence[Item]) -> list[Item]:
    """Return the items without those that only the exchange needs that they belong to."""
    users = [n for n, item in enumerate(items) if item.get("role") == "user"]
    begin = users[-1] if users else 0
    return [
        item
        for number, item in enumerate(items)
        if _kind(item) in _PLAIN or (number >= begin and _is_usable(item))
    ]


def _is_usable(item: Item) -> bool:
    """Return whether an upstream can use an item that is no message and no call."""
    return _kind(item) != "reasoning" or bool(item.get("encrypted_content") or item.get("content"))


def _without_broken_calls(items: Iterable[Item]) -> list[Item]:
    """Return the items without calls that have no result, and without results of no call."""
    items = list(items)
    links = [(item.get("call_id"), _kind(item).endswith("_output")) for item in items]
    calls = {link for link, is_output in links if not is_output}
    results = {link for link, is_output in links if is_output}
    whole = calls & results
    return [
        item
        for item in items
        if item.get("call_id") in whole or "call_id" not in item or _kind(item) not in _PLAIN
    ]


def _with_summaries(items: Sequence[Item], prompt: Prompt) -> list[Item]:
    if not prompt.summaries:
        return list(items)
    text = summary_block_text(prompt.summaries)
    if items and items[0].get("role") == "user":
        return [_with_part(items[0], text), *items[1:]]
    return [{"role": "user", "content": text}, *items]


def _with_recalled(items: Sequence[Item], prompt: Prompt) -> list[Item]:
    users = [n for n, item in enumerate(items) if item.get("role") == "user"]
    if not prompt.recalled or not users:
        return list(items)
    filled = _with_part(items[users[-1]], recalled_block(prompt.recalled))
    return [*items[: users[-1]], filled, *items[users[-1] + 1 :]]


def _with_part(item: Item, text: str) -> Item:
    """Return a message with a text before its other parts."""
    content = item.get("content")
    parts = content if isinstance(content, list) else [{"type": "input_text", "text": content}]
    return {**item, "content": [{"type": "input_text", "text": text}, *parts]}


def _sent(item: Item) -> Item:
    """Return an item without the fields of this service; ids are not those of the upstream."""
    fields = dict(item)
    if _kind(item) == "message":
        fields = {name: value for name, value in item.items() if name not in _STORED_FIELDS}
    if _kind(item) in _PLAIN:
        fields.pop("id", None)
    return fields


def _kind(item: Item) -> str:
    return str(item.get("type", "message"))
