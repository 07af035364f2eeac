"""The JSON of responses, rendered from the service's records."""

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
from memory_service.items.item_view import show_item
from memory_service.items.strict_json import dumps, encoded
from memory_service.upstreams.windows import UsedWindow

_MAX_STORED_NESTING = 1_000
"""Stored items were checked when they arrived; a limit lowered since then must not hide them."""


def respond(value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response; the values are plain JSON, so no model validates them again."""
    content = encoded(dumps(value))
    return Response(content, media_type="application/json", headers=headers)


def listing(data: Sequence[Mapping[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Return a page of a list in OpenAI's form."""
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def conversation(record: Conversation) -> dict[str, Any]:
    """Return OpenAI's Conversation, with its user, its title and whether it is summarised."""
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
    """Return OpenAI's item, with its `seq`, time, speaker and metadata."""
    fields = show_item(turn, _MAX_STORED_NESTING)
    fields["seq"] = turn.seq
    fields["created_at"] = to_unix(turn.created_at)
    if turn.name is not None and turn.kind == "message":
        fields["name"] = turn.name
    if turn.metadata is not None:
        fields["metadata"] = dict(turn.metadata)
    return fields


def hit(record: Hit) -> dict[str, Any]:
    """Return a recalled turn with its score and features."""
    turn = record.turn
    return {
        "item_id": turn.id,
        "conversation_id": record.conversation_id,
        "user_id": record.user_id,
        "seq": turn.seq,
        "role": turn.role,
        "name": turn.name,
        "created_at": to_unix(turn.created_at),
        "text": turn.text,
        "score": record.score,
        "channels": dict(record.features),
        "rank": record.rank,
    }


def summary_range(record: Summary) -> dict[str, Any]:
    """Return the range of turns that a summary covers."""
    return {
        "id": record.id,
        "level": record.level,
        "first_seq": record.first_seq,
        "last_seq": record.last_seq,
    }


def summary(record: Summary) -> dict[str, Any]:
    """Return a summary with its turns, their times, and the model that wrote it."""
    return {
        "object": "conversation.summary",
        **summary_range(record),
        "began_at": to_unix(record.began_at),
        "ended_at": to_unix(record.ended_at),
        "text": record.text,
        "model": record.model,
        "created_at": to_unix(record.created_at),
    }


def summary_status(status: SummaryStatus) -> dict[str, Any]:
    """Return how many conversations wait for a summary, and the last error if there is one."""
    fields: dict[str, Any] = {"waiting": status.waiting, "set_aside": status.set_aside}
    return fields if status.error is None else {**fields, "reason": status.error}


def used_windows(windows: Sequence[UsedWindow]) -> list[dict[str, Any]]:
    """Return the learned context windows of the models in use."""
    return [
        {"model": model, "tokens": window.tokens, "source": window.source}
        for model, window in windows
    ]


def summary_hit(record: SummaryHit) -> dict[str, Any]:
    """Return a recalled summary with its score and features."""
    return {
        **summary(record.summary),
        "conversation_id": record.conversation_id,
        "user_id": record.user_id,
        "score": record.score,
        "channels": dict(record.features),
        "rank": record.rank,
    }


def prompt(record: Prompt) -> dict[str, Any]:
    """Return a prompt with the tokens of its parts, and why each turn was recalled."""
    tokens = record.tokens
    fields: dict[str, Any] = {
        "messages": list(record.messages),
        "tokens": {name: getattr(tokens, name) for name in tokens.__dataclass_fields__},
        "recalled": [{**hit(recalled), "why": why(recalled)} for recalled in record.recalled],
        "summaries": [summary_range(shown) for shown in record.summaries],
        "recent": {"first_seq": record.recent_first_seq, "last_seq": record.recent_last_seq},
        "dropped": [{"item_id": drop.item_id, "reason": drop.reason} for drop in record.dropped],
        "trace_id": record.trace_id,
    }
    if record.degraded is not None:
        fields["degraded"] = record.degraded
    return fields


def why(record: Hit) -> str:
    """Return the features that raised the score of a hit, the largest first."""
    positive = [(name, value) for name, value in record.features.items() if value > 0]
    positive.sort(key=lambda feature: -feature[1])
    return ", ".join(f"{name} {value:+.2f}" for name, value in positive) or "no feature is positive"


def user(record: User) -> dict[str, Any]:
    """Return a user with its counts and times."""
    return {
        "id": record.id,
        "object": "user",
        "created_at": to_unix(record.created_at),
        "last_seen_at": to_unix(record.last_seen_at),
        "conversations": record.conversations,
        "turns": record.turns,
    }


def receipt(record: Receipt) -> dict[str, Any]:
    """Return the receipt of a deletion."""
    return {
        "id": record.id,
        "object": "receipt",
        "kind": record.kind,
        "counts": dict(record.counts),
        "created_at": to_unix(record.created_at),
    }
