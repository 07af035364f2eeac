"""Codex CLI's sessions ("rollouts"): JSON lines that hold items of the Responses API.

Newer files wrap each item (`{"timestamp", "type": "response_item", "payload": …}`) between lines
that say what went on; older ones are the bare items, below one line about the session. The items
are kept as they are: calls and their outputs are units by their `call_id`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest.chains import Chain, time_of
from ingest.heads import cut_line, objects
from ingest.openai_items import metadata
from ingest.records import Record, json_lines
from ingest.sources import Source
from ingest.transcripts import Options, Place, Transcript, Warn, derived_id
from memory_service.items.strict_json import dumps

NAME = "codex"
EXPECTS = 'sessions of Codex CLI: JSON lines with "timestamp", "type" and "payload"'

_WRAPPERS = frozenset({"session_meta", "response_item", "event_msg", "turn_context", "compacted"})
_CUT = re.compile(r'"type"\s*:\s*"session_meta"\s*,\s*"payload"\s*:')
"""What a first line has that is longer than a head."""
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
"""How messages begin that the program writes in the user's name."""


@dataclass(slots=True)
class _Session:
    """What is known of a session so far, and its conversation."""

    chain: Chain
    meta: Mapping[str, Any]
    started: str | None
    model: str | None = None
    cwd: str | None = None
    end: str | None = None
    asked_below: list[str | None] = field(default_factory=list)
    """What each message of the user hangs below, so that it can be taken back."""


def sniff(source: Source) -> bool:
    """Return whether a file has lines as Codex CLI writes them, or begins like its older ones."""
    return any(map(_is_session, source.heads("*.jsonl")))


def parse(source: Source, options: Options, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversation of each session."""
    for member in source.reading("*.jsonl"):
        if not _is_session(member.head):
            warn(Place(member.name, 0), "is no session of Codex CLI; it is left out")
            continue
        lines = (line for line in json_lines(member, warn) if _is_object(line, warn))
        first = next(lines, None)
        if first is None:
            continue
        session = _begin(first)
        is_sidechain = _is_sidechain(session.meta) and not options.sidechains
        for line in (first, *lines):
            if is_sidechain:
                session.chain.skipped["sidechain"] += 1
            else:
                _read(line, session, options)
        yield _transcript(first, session, options)


def _is_session(head: str) -> bool:
    if _CUT.search(cut_line(head)):
        return True
    for number, value in enumerate(objects(head)):
        if _string(value, "type") in _WRAPPERS and isinstance(value.get("payload"), Mapping):
            return True
        if number == 0 and {"id", "timestamp", "instructions"} <= set(value):
            return True
    return False


def _is_object(line: Record, warn: Warn) -> bool:
    if isinstance(line.value, Mapping):
        return True
    warn(line.place, "is no line of a session: a JSON object")
    return False


def _begin(first: Record) -> _Session:
    """Return the session that a first line tells of; its id, else the line itself, names it."""
    payload = _payload(first)
    named = payload.get("id") if isinstance(payload.get("id"), str) else first.text
    time = time_of(payload.get("timestamp")) or time_of(first.value.get("timestamp"))
    return _Session(Chain(derived_id("conv", NAME, str(named))), payload, time)


def _is_sidechain(meta: Mapping[str, Any]) -> bool:
    source = meta.get("source")
    return isinstance(source, Mapping) and "subagent" in source


def _kind(value: Mapping[str, Any]) -> str | None:
    return _string(value, "type") or ("message" if "role" in value else None)


def _payload(line: Record) -> Mapping[str, Any]:
    payload = line.value.get("payload")
    return payload if isinstance(payload, Mapping) else line.value


def _read(line: Record, session: _Session, options: Options) -> None:
    payload = _payload(line)
    kind = line.value.get("type")
    if kind == "turn_context":
        session.model = session.model or _string(payload, "model")
        session.cwd = session.cwd or _string(payload, "cwd")
    if kind == "event_msg" and payload.get("type") == "thread_rolled_back":
        _take_back(session, payload.get("num_turns"))
    reason = _reason_to_skip(line, payload, options)
    if reason is not None:
        session.chain.skipped[reason] += 1
        return
    if payload.get("role") == "user":
        session.asked_below.append(session.end)
    session.end = session.chain.add(
        _item(payload),
        parent=session.end,
        created_at=time_of(line.value.get("timestamp")),
    )


def _take_back(session: _Session, turns: Any) -> None:
    """Go on below the place where the last turns of the user began: they become a branch."""
    if isinstance(turns, int) and 0 < turns <= len(session.asked_below):
        session.end = session.asked_below[-turns]
        del session.asked_below[-turns:]


def _reason_to_skip(line: Record, payload: Mapping[str, Any], options: Options) -> str | None:
    if line.value.get("type") == "compacted" or payload.get("type") == "compaction":
        return "compaction"
    is_item = payload is line.value or line.value.get("type") == "response_item"
    kind = _kind(payload)
    if not is_item or kind not in _KEPT:
        return "meta"
    if kind == "reasoning":
        return None if options.reasoning and payload.get("summary") else "reasoning"
    is_said = _string(payload, "role") in _ROLES and not _is_preamble(payload)
    return None if kind != "message" or is_said else "meta"


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
    """Return a part of a message; an image in the file itself leaves a marker."""
    url = part.get("image_url") if isinstance(part, Mapping) else None
    is_inline = isinstance(url, str) and url.startswith("data:")
    return {"type": "input_text", "text": "[image]"} if is_inline else part


def _transcript(first: Record, session: _Session, options: Options) -> Transcript:
    git = session.meta.get("git")
    return Transcript(
        place=first.place,
        id=session.chain.conversation_id,
        items=session.chain.kept(session.end, options, begun=session.started),
        head=session.end,
        metadata=metadata(
            {
                "source": NAME,
                "session": session.meta.get("id"),
                "cwd": session.meta.get("cwd") or session.cwd,
                "git_branch": git.get("branch") if isinstance(git, Mapping) else None,
                "version": session.meta.get("cli_version"),
                "model": session.model,
            }
        ),
        created_at=session.started,
        skipped=session.chain.skipped,
    )


def _string(payload: Mapping[str, Any], key: str) -> str | None:
    value = payload.get(key)
    return value if isinstance(value, str) else None
