"""The turns of a session: lines grouped by message, with the results of the turn's tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest.formats.claude_code.lines import (
    TITLES,
    message_of,
    parent_uuid,
    reason_to_skip,
    string_field,
)
from ingest.items.anthropic_blocks import blocks_of
from ingest.records.parsing import JsonRecord
from ingest.transcripts import Warn

ContentBlock = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SessionTurn:
    """One message with all lines that it came in, and the results of its tools.

    `line` is the first of its lines.
    """

    role: str
    line: JsonRecord
    blocks: list[ContentBlock]
    results: list[tuple[JsonRecord, ContentBlock]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SessionTurns:
    """The turns of a session in the order of the file.

    `turn_numbers` has the turn of each line, by uuid; `passed` has the parent of each line that is
    no part of a turn.
    """

    turns: Sequence[SessionTurn]
    turn_numbers: Mapping[str, int]
    passed: Mapping[str, str | None]
    titles: Mapping[str, str]
    skipped: Mapping[str, int]


def read_turns(lines: Sequence[JsonRecord], warn: Warn) -> SessionTurns:
    """Return the turns of a session or of one agent in it."""
    reader = _TurnReader(warn)
    for line in lines:
        reader.read(line)
    return SessionTurns(
        reader.turns, reader.turn_numbers, reader.passed, reader.titles, reader.skipped
    )


class _TurnReader:
    """Groups lines into turns, one line after another."""

    def __init__(self, warn: Warn) -> None:
        self._warn = warn
        self._by_message: dict[str, int] = {}
        self._by_call: dict[str, int] = {}
        self.turns: list[SessionTurn] = []
        self.turn_numbers: dict[str, int] = {}
        self.passed: dict[str, str | None] = {}
        self.titles: dict[str, str] = {}
        self.skipped: Counter[str] = Counter()

    def read(self, line: JsonRecord) -> None:
        """Add a line to the turn that it belongs to, or count why it is skipped."""
        if line.value["type"] in TITLES:
            self._read_title(line)
            return
        uuid = string_field(line, "uuid")
        if uuid is not None and uuid in self.turn_numbers:
            self.skipped["duplicate"] += 1
            return
        reason = reason_to_skip(line)
        blocks = blocks_of(message_of(line).get("content")) if reason is None else None
        if blocks is not None:
            number = self._add(line, blocks)
            if uuid is not None:
                self.turn_numbers[uuid] = number
            return
        if reason is None:
            self._warn(line.location, "has no message with content")
            reason = "invalid"
        self.skipped[reason] += 1
        if uuid is not None:
            self.passed[uuid] = parent_uuid(line) or self._last_uuid(reason)

    def _read_title(self, line: JsonRecord) -> None:
        kind = line.value["type"]
        title = string_field(line, TITLES[kind])
        # A summary may be of another session, whose last line it names.
        is_foreign = kind == "summary" and string_field(line, "leafUuid") not in self.turn_numbers
        if title is not None and not is_foreign:
            self.titles[kind] = title

    def _last_uuid(self, reason: str) -> str | None:
        """Return the parent of a line without one: a compaction does not begin a new branch."""
        return next(reversed(self.turn_numbers), None) if reason == "compaction" else None

    def _add(self, line: JsonRecord, blocks: list[ContentBlock]) -> int:
        if line.value["type"] == "assistant":
            return self._add_to_answer(line, blocks)
        return self._add_user_line(line, blocks)

    def _add_to_answer(self, line: JsonRecord, blocks: list[ContentBlock]) -> int:
        message_id = message_of(line).get("id")
        number = self._by_message.get(message_id) if isinstance(message_id, str) else None
        if number is None:
            number = self._begin(SessionTurn("assistant", line, []))
        if isinstance(message_id, str):
            self._by_message[message_id] = number
        self.turns[number].blocks.extend(blocks)
        for block in blocks:
            if block.get("type") == "tool_use" and isinstance(block.get("id"), str):
                self._by_call[block["id"]] = number
        return number

    def _add_user_line(self, line: JsonRecord, blocks: list[ContentBlock]) -> int:
        """Add tool results to the turns of their calls; begin a turn with everything else."""
        number: int | None = None
        orphans: list[tuple[JsonRecord, ContentBlock]] = []
        for block in blocks:
            if block.get("type") == "tool_result":
                call = block.get("tool_use_id")
                caller = self._by_call.get(call) if isinstance(call, str) else None
                (orphans if caller is None else self.turns[caller].results).append((line, block))
                number = number if caller is None else caller
        others = [block for block in blocks if block.get("type") != "tool_result"]
        if others or orphans or number is None:
            number = self._begin(SessionTurn("user", line, others, orphans))
        return number

    def _begin(self, turn: SessionTurn) -> int:
        self.turns.append(turn)
        return len(self.turns) - 1
