"""Records as the JSON that clients read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from memory_service.core.clock import to_unix
from memory_service.core.models import (
    Conversation,
    Hit,
    Prompt,
    Receipt,
    Summary,
    SummaryHit,
    SummaryStatus,
    Turn,
    User,
)
from memory_service.items.conversation_items import show_item
from memory_service.items.strict_json import dumps

_MAX_STORED_NESTING = 1_000
"""What is in the log was checked when it came; a smaller limit later must not hide it."""


def respond(value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response; the values are plain, so no model walks over them again."""
    return Response(dumps(value).encode(), media_type="application/json", headers=headers)


def listing(data: Sequence[Mapping[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Return a page in OpenAI's shape."""
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def conversation(record: Conversation) -> dict[str, Any]:
    """Return OpenAI's Conversation, with whose it is, its title and its switch."""
    return {
        "id": record.id,
        "object": "conversation",
        "created_at": int(to_unix(record.created_at)),
        "metadata": dict(record.metadata),
        "user": record.user,
        "title": record.title,
        "summaries": record.summaries,
    }


def item(turn: Turn) -> dict[str, Any]:
    """Return OpenAI's item, with its place, time, speaker and metadata."""
    shown = show_item(turn, _MAX_STORED_NESTING)
    shown["seq"] = turn.seq
    shown["created_at"] = to_unix(turn.created_at)
    if turn.name is not None and turn.kind == "message":
        shown["name"] = turn.name
    if turn.metadata is not None:
        shown["metadata"] = dict(turn.metadata)
    return shown


def hit(found: Hit) -> dict[str, Any]:
    """Return a recalled turn with its scores."""
    return {
        "item_id": found.turn.id,
        "conversation_id": found.conversation_id,
        "user_id": found.user_id,
        "seq": found.turn.seq,
        "role": found.turn.role,
        "name": found.turn.name,
        "created_at": to_unix(found.turn.created_at),
        "text": found.turn.text,
        "score": found.score,
        "channels": dict(found.features),
        "rank": found.rank,
    }


def place_of_summary(record: Summary) -> dict[str, Any]:
    """Return which turns a summary covers."""
    return {
        "id": record.id,
        "level": record.level,
        "first_seq": record.first_seq,
        "last_seq": record.last_seq,
    }


def summary(record: Summary) -> dict[str, Any]:
    """Return a summary with the turns, the times and the model it is of."""
    return {
        "object": "conversation.summary",
        **place_of_summary(record),
        "began_at": to_unix(record.began_at),
        "ended_at": to_unix(record.ended_at),
        "text": record.text,
        "model": record.model,
        "created_at": to_unix(record.created_at),
    }


def summary_status(status: SummaryStatus) -> dict[str, Any]:
    """Return how far the summaries are behind, and why if something failed."""
    shown: dict[str, Any] = {"waiting": status.waiting, "set_aside": status.set_aside}
    return shown if status.error is None else {**shown, "reason": status.error}


def summary_hit(found: SummaryHit) -> dict[str, Any]:
    """Return a summary that was found, with its scores."""
    return {
        **summary(found.summary),
        "conversation_id": found.conversation_id,
        "user_id": found.user_id,
        "score": found.score,
        "channels": dict(found.features),
        "rank": found.rank,
    }


def prompt(built: Prompt) -> dict[str, Any]:
    """Return a prompt with its tokens by part and where each recalled turn came from."""
    tokens = built.tokens
    rendered: dict[str, Any] = {
        "messages": list(built.messages),
        "tokens": {name: getattr(tokens, name) for name in tokens.__dataclass_fields__},
        "recalled": [{**hit(found), "why": why(found)} for found in built.recalled],
        "summaries": [place_of_summary(one) for one in built.summaries],
        "recent": {"first_seq": built.recent_first_seq, "last_seq": built.recent_last_seq},
        "dropped": [{"item_id": drop.item_id, "reason": drop.reason} for drop in built.dropped],
        "trace_id": built.trace_id,
    }
    if built.degraded is not None:
        rendered["degraded"] = built.degraded
    return rendered


def why(found: Hit) -> str:
    """Return the features that spoke for a turn, strongest first."""
    spoke = sorted(
        (pair for pair in found.features.items() if pair[1] > 0), key=lambda pair: -pair[1]
    )
    return ", ".join(f"{name} {score:+.2f}" for name, score in spoke) or "nothing spoke against it"


def user(record: User) -> dict[str, Any]:
    """Return a user with counts and times."""
    return {
        "id": record.id,
        "object": "user",
        "created_at": to_unix(record.created_at),
        "last_seen_at": to_unix(record.last_seen_at),
        "conversations": record.conversations,
        "turns": record.turns,
    }


def receipt(record: Receipt) -> dict[str, Any]:
    """Return the proof of a deletion."""
    return {
        "id": record.id,
        "object": "receipt",
        "kind": record.kind,
        "counts": dict(record.counts),
        "created_at": to_unix(record.created_at),
    }
