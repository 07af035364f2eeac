"""The lines of Claude Code's sessions: which say something, and what the others tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingest.records import Record
from ingest.transcripts import Warn

_SYNTHETIC = "<synthetic>"
"""The model of answers that the program writes itself, such as "API Error"."""
TITLES = {"custom-title": "customTitle", "ai-title": "aiTitle", "summary": "summary"}
"""Where the lines that name a session have its title; the first kind counts most."""
FIELDS = {
    "session": "sessionId",
    "agent": "agentId",
    "cwd": "cwd",
    "git_branch": "gitBranch",
    "version": "version",
}
"""What of the lines becomes metadata of the conversation."""
_READ = frozenset(
    {
        *("type", "subtype", "uuid", "parentUuid", "logicalParentUuid", "leafUuid", "timestamp"),
        *("message", "attachment", "isSidechain", "isMeta", "isCompactSummary"),
        *("isApiErrorMessage", *TITLES.values(), *FIELDS.values()),
    }
)
_SAID = frozenset({"user", "assistant"})
_COMPACTION = frozenset({"compact_boundary", "microcompact_boundary"})


def is_object(line: Record, warn: Warn) -> bool:
    """Return whether a line is an object with a type; warn if not."""
    if isinstance(line.value, Mapping) and isinstance(line.value.get("type"), str):
        return True
    warn(line.place, "is no line of a session: an object with a type")
    return False


def thin(line: Record) -> Record:
    """Return a line without what is not read: most of a long session, and in memory all at once."""
    kept = {key: value for key, value in line.value.items() if key in _READ}
    return Record(line.place, kept, "")


def reason_to_skip(line: Record) -> str | None:
    """Return why a line is no part of the conversation; None if somebody says something in it."""
    value = line.value
    if value.get("isCompactSummary") is True or string(line, "subtype") in _COMPACTION:
        return "compaction"
    if value["type"] not in _SAID and not _is_queued_prompt(value):
        return "meta"
    if value.get("isMeta") is True or value.get("isApiErrorMessage") is True:
        return "meta"
    return "meta" if message_of(line).get("model") == _SYNTHETIC else None


def _is_queued_prompt(value: Mapping[str, Any]) -> bool:
    """Return whether a line is what the user typed while the model was still at work."""
    attachment = value.get("attachment")
    return (
        isinstance(attachment, Mapping)
        and attachment.get("type") == "queued_command"
        and attachment.get("commandMode", "prompt") == "prompt"
    )


def message_of(line: Record) -> Mapping[str, Any]:
    """Return a line's message; an empty one if it has none."""
    if _is_queued_prompt(line.value):
        return {"role": "user", "content": line.value["attachment"].get("prompt")}
    message = line.value.get("message")
    return message if isinstance(message, Mapping) else {}


def parent_uuid(line: Record) -> str | None:
    """Return the line that this one hangs below; a compaction names it in a field of its own."""
    return string(line, "parentUuid") or string(line, "logicalParentUuid")


def string(line: Record, key: str) -> str | None:
    """Return a field if it is a string with something in it, else None."""
    value = line.value.get(key)
    return value if isinstance(value, str) and value else None
