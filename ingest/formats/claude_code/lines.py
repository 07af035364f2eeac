"""The lines of Claude Code's sessions: which belong to the conversation, and their fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ingest.records.parsing import JsonRecord
from ingest.transcripts import Warn

_SYNTHETIC = "<synthetic>"
"""The model of answers that the program writes itself, such as "API Error"."""
TITLES = {"custom-title": "customTitle", "ai-title": "aiTitle", "summary": "summary"}
"""The field with the title, by type of line; the first type has precedence."""
FIELDS = {
    "session": "sessionId",
    "agent": "agentId",
    "cwd": "cwd",
    "git_branch": "gitBranch",
    "version": "version",
}
"""Metadata of the conversation, and the fields of lines it is taken from."""
_READ = frozenset(
    {
        *("type", "subtype", "uuid", "parentUuid", "logicalParentUuid", "leafUuid", "timestamp"),
        *("message", "attachment", "isSidechain", "isMeta", "isCompactSummary"),
        *("isApiErrorMessage", *TITLES.values(), *FIELDS.values()),
    }
)
_MESSAGES = frozenset({"user", "assistant"})
_COMPACTION = frozenset({"compact_boundary", "microcompact_boundary"})


def is_object(line: JsonRecord, warn: Warn) -> bool:
    """Return whether a line is an object with a type; warn if not."""
    if isinstance(line.value, Mapping) and isinstance(line.value.get("type"), str):
        return True
    warn(line.location, "is not a line of a session: an object with a type")
    return False


def without_unread_fields(line: JsonRecord) -> JsonRecord:
    """Return a line with the fields that are read: a long session is mostly other fields.

    All lines of a session are in memory at once.
    """
    kept = {key: value for key, value in line.value.items() if key in _READ}
    return JsonRecord(line.location, kept, "")


def reason_to_skip(line: JsonRecord) -> str | None:
    """Return why a line is not part of the conversation; None if it is."""
    value = line.value
    if value.get("isCompactSummary") is True or string_field(line, "subtype") in _COMPACTION:
        return "compaction"
    if value["type"] not in _MESSAGES and not _is_queued_prompt(value):
        return "meta"
    if value.get("isMeta") is True or value.get("isApiErrorMessage") is True:
        return "meta"
    return "meta" if message_of(line).get("model") == _SYNTHETIC else None


def message_of(line: JsonRecord) -> Mapping[str, Any]:
    """Return a line's message; {} if it has none."""
    if _is_queued_prompt(line.value):
        return {"role": "user", "content": line.value["attachment"].get("prompt")}
    message = line.value.get("message")
    return message if isinstance(message, Mapping) else {}


def parent_uuid(line: JsonRecord) -> str | None:
    """Return the uuid of a line's parent; a compaction names it in a field of its own."""
    return string_field(line, "parentUuid") or string_field(line, "logicalParentUuid")


def string_field(line: JsonRecord, key: str) -> str | None:
    """Return a field if it is a string that is not empty, else None."""
    value = line.value.get(key)
    return value if isinstance(value, str) and value else None


def first_field(lines: Iterable[JsonRecord], key: str) -> str | None:
    """Return the field of the first line in which it is a string that is not empty."""
    return next(filter(None, (string_field(line, key) for line in lines)), None)


def _is_queued_prompt(value: Mapping[str, Any]) -> bool:
    """Return whether a line is a prompt that the user typed while the model was still working."""
    attachment = value.get("attachment")
    return (
        isinstance(attachment, Mapping)
        and attachment.get("type") == "queued_command"
        and attachment.get("commandMode", "prompt") == "prompt"
    )
