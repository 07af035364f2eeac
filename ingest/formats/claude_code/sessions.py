"""Claude Code's sessions: a file of JSON lines each, linked by `uuid` and `parentUuid`.

The lines of one answer share a message id and become one message; the results of its tools follow
it directly, as one tool group, in any order of the file. A session that was resumed by copying its
beginning into a new file has the same first line, and so becomes the same conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ingest.formats.claude_code.lines import is_object, string_field, without_unread_fields
from ingest.formats.claude_code.transcript import conversation_id, transcript_of
from ingest.records.beginnings import cut_line, first_objects
from ingest.records.lines import json_lines
from ingest.records.parsing import JsonRecord
from ingest.sources.source import ExportSource
from ingest.transcripts import FormatOptions, Location, Transcript, Warn

NAME = "claude_code"
EXPECTS = 'sessions of Claude Code: JSON lines with "sessionId", "uuid", "parentUuid", "message"'

_CUT = re.compile(
    r'^\{"parentUuid"\s*:.*"sessionId"\s*:|^\{"type"\s*:\s*"file-history-snapshot"', re.DOTALL
)
"""Matches a first line that is longer than a head."""


def sniff(source: ExportSource) -> bool:
    """Return whether a file has lines with a session id and a parent."""
    return any(map(_is_session, source.heads("*.jsonl")))


def parse(source: ExportSource, options: FormatOptions, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversation of each session, and of its sidechains if they are wanted."""
    for member in source.reading("*.jsonl"):
        if not _is_session(member.head):
            warn(Location(member.name, 0), "is not a session of Claude Code; it is skipped")
            continue
        lines = [
            without_unread_fields(line)
            for line in json_lines(member, warn)
            if is_object(line, warn)
        ]
        main = [line for line in lines if line.value.get("isSidechain") is not True]
        others = [line for line in lines if line.value.get("isSidechain") is True]
        if main:
            yield transcript_of(main, NAME, options, warn)
        for sidechain in _by_agent(others):
            if options.sidechains:
                yield transcript_of(sidechain, NAME, options, warn)
            else:
                yield _skipped(sidechain)


def _is_session(head: str) -> bool:
    return _CUT.search(cut_line(head)) is not None or any(
        (isinstance(value.get("sessionId"), str) and "parentUuid" in value)
        or (value.get("type") == "summary" and "leafUuid" in value)
        for value in first_objects(head)
    )


def _by_agent(lines: Iterable[JsonRecord]) -> list[list[JsonRecord]]:
    """Return the lines of each agent: those with its id, or below the same first line."""
    sidechains: dict[str | None, list[JsonRecord]] = {}
    agents: dict[str | None, str | None] = {}
    for line in lines:
        uuid, parent = string_field(line, "uuid"), string_field(line, "parentUuid")
        agent = string_field(line, "agentId") or agents.get(parent, uuid)
        agents[uuid] = agent
        sidechains.setdefault(agent, []).append(line)
    return list(sidechains.values())


def _skipped(sidechain: Sequence[JsonRecord]) -> Transcript:
    """Return a sidechain as a conversation without items."""
    return Transcript(
        sidechain[0].location,
        conversation_id(sidechain, NAME),
        [],
        head=None,
        skipped={"sidechain": len(sidechain)},
    )
