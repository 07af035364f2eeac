"""Codex CLI's sessions ("rollouts"): JSON lines that hold items of the Responses API.

Newer files wrap each item (`{"timestamp", "type": "response_item", "payload": …}`) between lines
about events; older ones are the bare items, below one line about the session. The items are kept
unchanged: calls and their outputs are tool groups by their `call_id`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest.items.fields import metadata_of, utc_time
from ingest.records.beginnings import cut_line, first_objects
from ingest.records.lines import json_lines
from ingest.records.parsing import JsonRecord
from ingest.sources.source import ExportSource
from ingest.transcripts import FormatOptions, Location, Transcript, Warn, derived_id
from ingest.trees.builder import TranscriptBuilder
from memory_service.items.strict_json import dumps

NAME = "codex"
EXPECTS = 'sessions of Codex CLI: JSON lines with "timestamp", "type" and "payload"'

_WRAPPERS = frozenset({"session_meta", "response_item", "event_msg", "turn_context", "compacted"})
_CUT = re.compile(r'"type"\s*:\s*"session_meta"\s*,\s*"payload"\s*:')
"""Matches a first line that is longer than a head."""
_KEPT = frozenset(
    {
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "local_shell_call",
        "web_search_call",
    }
)
_ROLES = frozenset({"user", "assistant"})
"""Messages of the system and the developer are the program's own prompts."""
_PREAMBLES = (
    "<environment_context>",
    "<user_instructions>",
    "<permissions instructions>",
    "<turn_aborted>",
    "<skill>",
    "# AGENTS.md instructions",
)
"""Beginnings of messages that the program writes in the user's name."""


@dataclass(slots=True)
class _Session:
    """A session while it is read, line by line."""

    builder: TranscriptBuilder
    meta: Mapping[str, Any]
    started: str | None
    model: str | None = None
    cwd: str | None = None
    end: str | None = None
    parents_of_questions: list[str | None] = field(default_factory=list)
    """The parent of each of the user's messages, so that they can be rolled back."""


def sniff(source: ExportSource) -> bool:
    """Return whether a file has lines as Codex CLI writes them, or begins like its older ones."""
    return any(map(_is_session, source.heads("*.jsonl")))


def parse(source: ExportSource, options: FormatOptions, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversation of each session."""
    for member in source.reading("*.jsonl"):
        if not _is_session(member.head):
            warn(Location(member.name, 0), "is not a session of Codex CLI; it is skipped")
            continue
        lines = (line for line in json_lines(member, warn) if _is_object(line, warn))
        first = next(lines, None)
        if first is None:
            continue
        session = _begin(first)
        is_sidechain = _is_sidechain(session.meta) and not options.sidechains
        for line in (first, *lines):
            if is_sidechain:
                session.builder.skipped["sidechain"] += 1
            else:
                _read(line, session, options)
        yield _transcript(first.location, session, options)


def _is_session(head: str) -> bool:
    if _CUT.search(cut_line(head)):
        return True
    for number, value in enumerate(first_objects(head)):
        if _string(value, "type") in _WRAPPERS and isinstance(value.get("payload"), Mapping):
            return True
        if number == 0 and {"id", "timestamp", "instructions"} <= set(value):
            return True
    return False


def _is_object(line: JsonRecord, warn: Warn) -> bool:
    if isinstance(line.value, Mapping):
        return True
    warn(line.location, "is not a line of a session: a JSON object")
    return False


def _begin(first: JsonRecord) -> _Session:
    """Return the session that a first line describes, named by its id or else by the line."""
    payload = _payload(first)
    source_id = payload.get("id") if isinstance(payload.get("id"), str) else first.text
    time = utc_time(payload.get("timestamp")) or utc_time(first.value.get("timestamp"))
    return _Session(TranscriptBuilder(derived_id("conv", NAME, str(source_id))), payload, time)


def _is_sidechain(meta: Mapping[str, Any]) -> bool:
    source = meta.get("source")
    return isinstance(source, Mapping) and "subagent" in source


def _kind(value: Mapping[str, Any]) -> str | None:
    return _string(value, "type") or ("message" if "role" in value else None)


def _payload(line: JsonRecord) -> Mapping[str, Any]:
    payload = line.value.get("payload")
    return payload if isinstance(payload, Mapping) else line.value


def _read(line: JsonRecord, session: _Session, options: FormatOptions) -> None:
    payload = _payload(line)
    kind = line.value.get("type")
    if kind == "turn_context":
        session.model = session.model or _string(payload, "model")
        session.cwd = session.cwd or _string(payload, "cwd")
    if kind == "event_msg" and payload.get("type") == "thread_rolled_back":
        _roll_back(session, payload.get("num_turns"))
    reason = _reason_to_skip(line, payload, options)
    if reason is not None:
        session.builder.skipped[reason] += 1
        return
    if payload.get("role") == "user":
        session.parents_of_questions.append(session.end)
    session.end = session.builder.add(
        _item(payload),
        parent=session.end,
        created_at=utc_time(line.value.get("timestamp")),
        location=line.location,
    )


def _roll_back(session: _Session, turns: Any) -> None:
    """Continue above the last `turns` turns of the user: what was below becomes a branch."""
    questions = session.parents_of_questions
    if isinstance(turns, int) and 0 < turns <= len(questions):
        session.end = questions[-turns]
        del questions[-turns:]


def _reason_to_skip(
    line: JsonRecord, payload: Mapping[str, Any], options: FormatOptions
) -> str | None:
    if line.value.get("type") == "compacted" or payload.get("type") == "compaction":
        return "compaction"
    is_item = payload is line.value or line.value.get("type") == "response_item"
    kind = _kind(payload)
    if not is_item or kind not in _KEPT:
        return "meta"
    if kind == "reasoning":
        return None if options.reasoning and payload.get("summary") else "reasoning"
    is_conversation = _string(payload, "role") in _ROLES and not _is_preamble(payload)
    return None if kind != "message" or is_conversation else "meta"


def _is_preamble(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    part = content[0] if isinstance(content, list) and content else content
    text = part.get("text") if isinstance(part, Mapping) else part
    return isinstance(text, str) and text.lstrip().startswith(_PREAMBLES)


def _item(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an item as the service links it: a shell call by the `call_id` of its output."""
    if payload.get("type") == "local_shell_call" and payload.get("call_id"):
        arguments = dumps(payload.get("action") or {})
        call = {"type": "function_call", "name": "local_shell", "arguments": arguments}
        return {**call, "call_id": payload["call_id"]}
    if payload.get("type") == "reasoning":
        return {"type": "reasoning", "summary": payload["summary"]}
    if isinstance(payload.get("content"), list):
        return {**payload, "content": [_part(part) for part in payload["content"]]}
    output = payload.get("output")
    if isinstance(output, Mapping) and isinstance(output.get("content"), str):
        return {**payload, "output": output["content"]}
    return payload


def _part(part: Any) -> Any:
    """Return a part of a message; an image in the file itself is replaced by a marker."""
    url = part.get("image_url") if isinstance(part, Mapping) else None
    is_inline = isinstance(url, str) and url.startswith("data:")
    return {"type": "input_text", "text": "[image]"} if is_inline else part


def _transcript(location: Location, session: _Session, options: FormatOptions) -> Transcript:
    git = session.meta.get("git")
    metadata = {
        "source": NAME,
        "session": session.meta.get("id"),
        "cwd": session.meta.get("cwd") or session.cwd,
        "git_branch": git.get("branch") if isinstance(git, Mapping) else None,
        "version": session.meta.get("cli_version"),
        "model": session.model,
    }
    return session.builder.build(
        location,
        session.end,
        options,
        metadata=metadata_of(metadata),
        created_at=session.started,
        begun=session.started,
    )


def _string(payload: Mapping[str, Any], key: str) -> str | None:
    value = payload.get(key)
    return value if isinstance(value, str) else None
