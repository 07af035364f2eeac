"""OpenAI's conversation items: what is checked, what is indexed, how they are shown again.

An item is kept as it was sent; its role, text and tool links are derived here. The shapes are those
of the Responses API ("input items") and, because transcripts are full of them, of chat-completions
messages (`tool_calls`, `tool_call_id`, `function_call`).
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory_service.core.clock import parse_time
from memory_service.core.errors import InvalidRequest
from memory_service.core.models import NewTurn, Turn
from memory_service.items.strict_json import canonical, check_text
from memory_service.items.strict_json import loads as load_json

ID_PATTERN = r"^[A-Za-z0-9_-]{1,128}$"
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
"""The roles of what stands at the beginning of every prompt, and is not said in between."""
MAX_NAME_CHARS = 128
MAX_CALL_ID_CHARS = 256
MAX_METADATA_PAIRS = 16
MAX_METADATA_KEY_CHARS = 64
MAX_METADATA_VALUE_CHARS = 512
MAX_USER_ID_CHARS = 128

_ID = re.compile(ID_PATTERN)
# What no header, log line or line of a file can hold as one piece.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_KIND = re.compile(r"^[a-z0-9_.-]{1,64}$")
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
}
# Where the words of an item that is no message are; a path ending in a list takes its strings.
_TEXT_PATHS: dict[str, tuple[str, ...]] = {
    "function_call": ("name", "arguments"),
    "function_call_output": ("output",),
    "custom_tool_call": ("name", "input"),
    "custom_tool_call_output": ("output",),
    "mcp_call": ("name", "arguments", "output"),
    "web_search_call": ("action.query", "action.queries"),
    "file_search_call": ("queries",),
    "code_interpreter_call": ("code", "outputs.logs"),
    "local_shell_call": ("action.command",),
    "local_shell_call_output": ("output",),
    "shell_call": ("action.commands",),
    "shell_call_output": ("output.stdout", "output.stderr"),
    "image_generation_call": ("revised_prompt",),
    "program": ("code",),
    "program_output": ("result",),
    "reasoning": ("summary.text",),
}
_DEFAULT_PATHS = ("text", "content", "output")
_PART_TEXT = ("text", "refusal", "transcript", "filename")
_FUNCTION_TEXT = ("name", "arguments", "input")
# What OpenAI's client expects in a part and senders may leave out.
_PART_DEFAULTS: dict[str, dict[str, Any]] = {
    "output_text": {"annotations": []},
    "input_image": {"detail": "auto"},
}
# Items that a prompt holds only with the other half, which their call id finds.
_LINKED = frozenset(
    {"function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"}
)
# Fields that say which item this is, not what it says.
_IDENTITY = frozenset({"id", "created_at", "metadata", "status", "object"})
_COMPLETED = frozenset(
    {
        "message",
        "function_call",
        "function_call_output",
        "custom_tool_call_output",
        "computer_call_output",
        "local_shell_call_output",
        "shell_call",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
    }
)


@dataclass(frozen=True, slots=True)
class ItemLimits:
    """Bounds on one item; each has a setting of its own."""

    max_text_chars: int
    max_nesting: int


def new_id(prefix: str) -> str:
    """Return a fresh id such as `msg_3f…`: 128 random bits."""
    return f"{prefix}_{uuid.uuid4().hex}"


def check_id(value: Any, param: str) -> str:
    """Return an id that a client chose; raises InvalidRequest if it is not one."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise InvalidRequest(
            f"'{param}' must be 1 to 128 letters, digits, '_' or '-'.",
            param=param,
            code="invalid_id",
        )
    return value


def check_user_id(value: Any, param: str) -> str:
    """Return the id of a user; raises InvalidRequest if it is not one.

    It is what applications call their users: an e-mail address, a hash, a UUID, a name. It is
    compared as it is, to the letter. "." and ".." are what URLs take out of their paths.
    """
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= MAX_USER_ID_CHARS
        or value != value.strip()
        or value in (".", "..")
        or _CONTROLS.search(value)
    ):
        raise InvalidRequest(
            f"'{param}' must be a user's id: 1 to {MAX_USER_ID_CHARS} characters, without control "
            "characters and without white space around it, and not '.' or '..'.",
            param=param,
            code="invalid_id",
        )
    return value


def check_metadata(value: Any, param: str) -> dict[str, str]:
    """Return OpenAI's metadata; raises InvalidRequest naming the pair at fault."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"'{param}' must be an object of strings.", param=param)
    if len(value) > MAX_METADATA_PAIRS:
        raise InvalidRequest(
            f"'{param}' holds {len(value)} pairs; {MAX_METADATA_PAIRS} are allowed.", param=param
        )
    return {
        _bounded(key, MAX_METADATA_KEY_CHARS, param, "a key"): _bounded(
            entry, MAX_METADATA_VALUE_CHARS, f"{param}.{key}", "a value"
        )
        for key, entry in value.items()
    }


def check_name(value: Any, param: str) -> str | None:
    """Return a speaker's name; raises InvalidRequest if it is not a short string."""
    if value is None:
        return None
    name = _bounded(value, MAX_NAME_CHARS, param, "a name").strip()
    return name or None


def parse_item(
    item: Any, raw: str, stored_as: Mapping[str, Any], limits: ItemLimits, param: str
) -> NewTurn:
    """Return the turn an item becomes; raises InvalidRequest with the path of what is wrong.

    `stored_as` overrides the item's own `id`, `created_at`, `name` and `metadata`: an importer can
    so keep the item's JSON as it was and still give it a new place.
    """
    if not isinstance(item, Mapping):
        raise InvalidRequest(f"'{param}' must be an object.", param=param, code="invalid_type")
    kind = _kind(item, param)
    role = _role(item, kind, param)
    calls, answers = _tool_links(item, kind, param)
    text = _text(item, kind, param)
    if len(text) > limits.max_text_chars:
        raise InvalidRequest(
            f"The text of '{param}' has {len(text):,} characters; "
            f"{limits.max_text_chars:,} are allowed (MEMORY_MAX_TEXT_CHARS).",
            param=param,
            code="text_too_long",
        )
    # The `id` of a reference is another item's, and a function's `name` is no speaker.
    own = {} if kind == "item_reference" else item
    given = {**{key: own.get(key) for key in ("id", "created_at", "metadata")}, **stored_as}
    speaker = stored_as.get("name", item.get("name") if kind == "message" else None)
    item_id = given["id"]
    created_at, offset = (
        (None, None)
        if given["created_at"] is None
        else parse_time(given["created_at"], f"{param}.created_at")
    )
    return NewTurn(
        id=new_id(_PREFIXES.get(kind, "item"))
        if item_id is None
        else check_id(item_id, f"{param}.id"),
        id_given=item_id is not None,
        kind=kind,
        role=role,
        name=check_name(speaker, f"{param}.name"),
        text=text,
        raw=raw,
        metadata=None
        if given["metadata"] is None
        else check_metadata(given["metadata"], f"{param}.metadata"),
        created_at=created_at,
        utc_offset_minutes=offset,
        content_hash=content_hash(item, kind),
        calls=calls,
        answers=answers,
    )


def content_hash(item: Mapping[str, Any], kind: str) -> bytes:
    """Return SHA-256 over what an item says: equal for the spellings of one message.

    A string content and one text part are the same; so are the part types `text`, `input_text`
    and `output_text`. Ids, times, metadata and status do not count, except that a reference says
    an id and nothing else.
    """
    said = {key: value for key, value in item.items() if key not in _IDENTITY and value is not None}
    said["type"] = kind
    if kind == "message":
        said["content"] = [_plain_part(part) for part in _parts(item.get("content"))]
    if kind == "item_reference":
        said["id"] = item.get("id")
    return hashlib.sha256(canonical(said).encode()).digest()


def show_item(turn: Turn, max_nesting: int) -> dict[str, Any]:
    """Return an item as OpenAI's clients read it, with this service's fields beside."""
    item: dict[str, Any] = dict(load_json(turn.raw, max_nesting=max_nesting))
    if turn.kind == "item_reference":
        item["item_id"] = item.get("id")
    item["id"] = turn.id
    item["type"] = turn.kind
    if turn.kind == "message":
        item["role"] = turn.role
        item["content"] = [_shown_part(part, turn.role) for part in _parts(item.get("content"))]
    if turn.kind in _COMPLETED and not item.get("status"):
        item["status"] = "completed"
    return item


def text_of_parts(content: Any) -> str:
    """Return the words of a message's content, its parts on lines of their own."""
    return "\n".join(filter(None, (_part_text(part) for part in _parts(content))))


def _kind(item: Mapping[str, Any], param: str) -> str:
    kind = item.get("type")
    if kind is None:
        kind = "message" if "role" in item else "item_reference" if set(item) == {"id"} else None
    if kind is None:
        raise InvalidRequest(f"'{param}' has neither a 'type' nor a 'role'.", param=param)
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise InvalidRequest(f"'{param}.type' is not an item type.", param=f"{param}.type")
    return kind


def _role(item: Mapping[str, Any], kind: str, param: str) -> str:
    if kind == "message":
        role = item.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise InvalidRequest(
                f"'{param}.role' must be one of {', '.join(sorted(ROLES))}.",
                param=f"{param}.role",
                code="unknown_role",
            )
        return role
    if kind.endswith("_output"):
        return "tool"
    return "user" if kind == "mcp_approval_response" else "assistant"


def _tool_links(
    item: Mapping[str, Any], kind: str, param: str
) -> tuple[tuple[str, ...], str | None]:
    """Return (ids of the calls this item makes, id of the call it answers)."""
    if kind != "message":
        call_id = item.get("call_id")
        if call_id is None:
            if kind in _LINKED:
                raise InvalidRequest(f"'{param}.call_id' is missing.", param=f"{param}.call_id")
            return (), None
        link = _bounded(call_id, MAX_CALL_ID_CHARS, f"{param}.call_id", "a call id")
        return ((), link) if kind.endswith("_output") else ((link,), None)
    calls = item.get("tool_calls") or ()
    if not isinstance(calls, Sequence) or not all(isinstance(call, Mapping) for call in calls):
        raise InvalidRequest(
            f"'{param}.tool_calls' must be a list of objects.", param=f"{param}.tool_calls"
        )
    if item.get("role") == "tool":
        answered = item.get("tool_call_id")
        return (), None if answered is None else _bounded(
            answered, MAX_CALL_ID_CHARS, f"{param}.tool_call_id", "a call id"
        )
    return tuple(
        _bounded(call.get("id"), MAX_CALL_ID_CHARS, f"{param}.tool_calls.id", "a call id")
        for call in calls
    ), None


def _text(item: Mapping[str, Any], kind: str, param: str) -> str:
    if kind == "message":
        _check_content(item.get("content"), item, param)
        calls = item.get("tool_calls") or ()
        words = [text_of_parts(item.get("content"))]
        words += [_part_text(item.get(key)) for key in ("refusal", "audio")]
        words += [_function_text(call.get("function") or call.get("custom")) for call in calls]
        words.append(_function_text(item.get("function_call")))
        return "\n".join(filter(None, words))
    if kind in ("function_call", "custom_tool_call", "mcp_call"):
        _bounded(item.get("name"), 10_000, f"{param}.name", "a name")
    paths = _TEXT_PATHS.get(kind, _DEFAULT_PATHS)
    return "\n".join(text for path in paths for text in _strings_at(item, path.split(".")))


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
    said_elsewhere = item.get("tool_calls") or item.get("function_call") or item.get("audio")
    return bool(said_elsewhere) or "refusal" in item or item.get("role") == "function"


def _strings_at(value: Any, path: Sequence[str]) -> Iterable[str]:
    if isinstance(value, list):
        for element in value:
            yield from _strings_at(element, path)
    elif isinstance(value, str):
        if not path and value:
            yield value
    elif isinstance(value, Mapping):
        if path:
            yield from _strings_at(value.get(path[0]), path[1:])
        else:
            yield from filter(None, [_part_text(value)])


def _function_text(function: Any) -> str:
    if not isinstance(function, Mapping):
        return ""
    return "\n".join(str(function[key]) for key in _FUNCTION_TEXT if function.get(key))


def _parts(content: Any) -> list[Any]:
    if content is None:
        return []
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return ""
    audio = part.get("input_audio")
    holders = [part, audio] if isinstance(audio, Mapping) else [part]
    found = (holder.get(key) for holder in holders for key in _PART_TEXT)
    return "\n".join(text for text in found if isinstance(text, str) and text)


def _plain_part(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    kept = {key: value for key, value in part.items() if value not in (None, [])}
    return {**kept, "type": "text"} if part.get("type") in ("input_text", "output_text") else kept


def _shown_part(part: Any, role: str) -> Any:
    if not isinstance(part, Mapping):
        return part
    kind = part.get("type")
    if kind == "text":
        kind = "output_text" if role == "assistant" else "input_text"
    return {**_PART_DEFAULTS.get(str(kind), {}), **part, "type": kind}


def _bounded(value: Any, limit: int, param: str, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(
            f"'{param}': {what} must be a string.", param=param, code="invalid_type"
        )
    if not 0 < len(value) <= limit and not (what == "a value" and not value):
        raise InvalidRequest(f"'{param}': {what} has 1 to {limit} characters.", param=param)
    return check_text(value, param)
