"""OpenAI's conversation items: the check of what clients send, which makes a turn of each item.

An item is kept as it was sent; its role, text and tool links are derived here. The shapes are those
of the Responses API ("input items") and, because many transcripts contain them, of chat-completions
messages (`tool_calls`, `tool_call_id`, `function_call`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory_service.core.clock import parse_time
from memory_service.core.errors import InvalidRequest
from memory_service.core.models import NewTurn
from memory_service.items.fields import bounded, check_id, check_metadata, check_name, new_id
from memory_service.items.item_hash import content_hash
from memory_service.items.item_text import item_text
from memory_service.items.kinds import item_kind, role_of
from memory_service.items.message_hash import message_hash
from memory_service.items.strict_json import storable_text

ROLES = frozenset(
    {
        "user",
        "assistant",
        "system",
        "developer",
        "tool",
        "function",
        "unknown",
        "critic",
        "discriminator",
    }
)
SYSTEM_ROLES = frozenset({"system", "developer"})
"""Roles of messages that stand at the beginning of every prompt and nowhere else in it."""
MAX_CALL_ID_CHARS = 256
MAX_FUNCTION_NAME_CHARS = 10_000

_KIND = re.compile(r"^[a-z0-9_.-]{1,64}$")
_OTHER_ROLE = re.compile(r"^[A-Za-z0-9_.-]{1,16}$")


@dataclass(frozen=True, slots=True)
class ItemLimits:
    """Bounds on one item; each has a setting of its own.

    `lenient` limits are those of messages that the gateway forwards anyway: of a longer text the
    beginning is indexed, and a message may have any role, no content, and calls with long ids.
    """

    max_text_chars: int
    max_nesting: int
    lenient: bool = False


def parse_item(
    item: Any, raw: str, stored_as: Mapping[str, Any], limits: ItemLimits, param: str
) -> NewTurn:
    """Return the turn of an item; raises InvalidRequest with the path of the invalid field.

    `stored_as` overrides the item's own `id`, `created_at`, `name` and `metadata`, so that an
    importer can keep the item's JSON unchanged and still store it under another id or time.
    """
    if not isinstance(item, Mapping):
        raise InvalidRequest(f"'{param}' must be an object.", param=param, code="invalid_type")
    kind = _kind(item, param)
    role = _role(item, kind, limits, param)
    calls, answers = _tool_links(item, kind, limits, param)
    _check_shape(item, kind, limits, param)
    text = _bounded_text(item, kind, limits, param)
    own = _own_fields(item, kind)
    given = {**own, **stored_as}
    created_at, offset = _time(given["created_at"], param)
    return NewTurn(
        id=_id(given["id"], kind, param),
        id_given=given["id"] is not None,
        kind=kind,
        role=role,
        name=check_name(given["name"], f"{param}.name"),
        text=text,
        raw=raw,
        metadata=_metadata(given["metadata"], param),
        created_at=created_at,
        utc_offset_minutes=offset,
        content_hash=content_hash(item, kind),
        message_hash=message_hash(item),
        calls=calls,
        answers=answers,
    )


def _own_fields(item: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the fields of an item that `stored_as` may override.

    The `id` of a reference is another item's, and the `name` of a function is not a speaker.
    """
    own = {} if kind == "item_reference" else item
    fields = {key: own.get(key) for key in ("id", "created_at", "metadata")}
    return {**fields, "name": item.get("name") if kind == "message" else None}


def _bounded_text(item: Mapping[str, Any], kind: str, limits: ItemLimits, param: str) -> str:
    text = storable_text(item_text(item, kind))
    if limits.lenient:
        return text[: limits.max_text_chars]
    if len(text) > limits.max_text_chars:
        raise InvalidRequest(
            f"The text of '{param}' has {len(text):,} characters; "
            f"{limits.max_text_chars:,} are allowed (MEMORY_MAX_TEXT_CHARS).",
            param=param,
            code="text_too_long",
        )
    return text


def _time(value: Any, param: str) -> tuple[int | None, int | None]:
    """Return (microseconds, offset in minutes) of a time that was sent, or (None, None)."""
    return (None, None) if value is None else parse_time(value, f"{param}.created_at")


def _id(value: Any, kind: str, param: str) -> str:
    return new_id(item_kind(kind).id_prefix) if value is None else check_id(value, f"{param}.id")


def _metadata(value: Any, param: str) -> dict[str, str] | None:
    return None if value is None else check_metadata(value, f"{param}.metadata")


def _kind(item: Mapping[str, Any], param: str) -> str:
    kind = item.get("type")
    if kind is None:
        kind = "message" if "role" in item else "item_reference" if set(item) == {"id"} else None
    if kind is None:
        raise InvalidRequest(f"'{param}' has neither a 'type' nor a 'role'.", param=param)
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise InvalidRequest(f"'{param}.type' is not an item type.", param=f"{param}.type")
    return kind


def _role(item: Mapping[str, Any], kind: str, limits: ItemLimits, param: str) -> str:
    if kind == "message":
        role = item.get("role")
        if not isinstance(role, str) or not _is_role(role, limits):
            raise InvalidRequest(
                f"'{param}.role' must be one of {', '.join(sorted(ROLES))}.",
                param=f"{param}.role",
                code="unknown_role",
            )
        return role
    return role_of({"type": kind})


def _is_role(role: str, limits: ItemLimits) -> bool:
    return role in ROLES or (limits.lenient and _OTHER_ROLE.fullmatch(role) is not None)


def _tool_links(
    item: Mapping[str, Any], kind: str, limits: ItemLimits, param: str
) -> tuple[tuple[str, ...], str | None]:
    """Return (ids of the calls this item makes, id of the call it answers)."""
    if kind != "message":
        call_id = item.get("call_id")
        if call_id is None:
            if item_kind(kind).needs_call_id:
                raise InvalidRequest(f"'{param}.call_id' is missing.", param=f"{param}.call_id")
            return (), None
        link = _link(call_id, limits, f"{param}.call_id")
        return ((), link) if kind.endswith("_output") else ((link,), None)
    calls = item.get("tool_calls") or ()
    if not isinstance(calls, Sequence) or not all(isinstance(call, Mapping) for call in calls):
        raise InvalidRequest(
            f"'{param}.tool_calls' must be a list of objects.", param=f"{param}.tool_calls"
        )
    if item.get("role") == "tool":
        answered = item.get("tool_call_id")
        return (), None if answered is None else _link(answered, limits, f"{param}.tool_call_id")
    return tuple(_link(call.get("id"), limits, f"{param}.tool_calls.id") for call in calls), None


def _link(call_id: Any, limits: ItemLimits, param: str) -> str:
    """Return the id of a tool call as it is stored.

    Some proxies write a model's signature of thousands of characters into it. With lenient limits,
    the link is then the beginning of the id and a hash.
    """
    if not limits.lenient or not isinstance(call_id, str):
        return bounded(call_id, MAX_CALL_ID_CHARS, param, "a call id")
    link = storable_text(call_id)
    if len(link) > MAX_CALL_ID_CHARS:
        digest = hashlib.sha256(link.encode()).hexdigest()
        link = link[: MAX_CALL_ID_CHARS - len(digest)] + digest
    return bounded(link, MAX_CALL_ID_CHARS, param, "a call id")


def _check_shape(item: Mapping[str, Any], kind: str, limits: ItemLimits, param: str) -> None:
    """Check the fields that the text of an item is taken from."""
    if kind == "message":
        if item.get("content") is not None or not limits.lenient:
            _check_content(item.get("content"), item, param)
    elif item_kind(kind).needs_name:
        bounded(item.get("name"), MAX_FUNCTION_NAME_CHARS, f"{param}.name", "a name")


def _check_content(content: Any, item: Mapping[str, Any], param: str) -> None:
    if isinstance(content, str) or (content is None and _needs_no_content(item)):
        return
    if isinstance(content, list) and all(
        isinstance(part, Mapping)
        and isinstance(part.get("type"), str)
        and isinstance(part.get("text") or "", str)
        for part in content
    ):
        return
    raise InvalidRequest(
        f"'{param}.content' must be a string or a list of parts with a type, their text a string.",
        param=f"{param}.content",
        code="invalid_type",
    )


def _needs_no_content(item: Mapping[str, Any]) -> bool:
    other_content = item.get("tool_calls") or item.get("function_call") or item.get("audio")
    return bool(other_content) or "refusal" in item or item.get("role") == "function"
