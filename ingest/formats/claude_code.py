"""Claude Code's sessions: a file of JSON lines each, linked by `uuid` and `parentUuid`.

The lines of one answer share a message id and become one message; the results of its tools follow
it directly, as one unit, however the file interleaves them. A session that was resumed by copying
its beginning into a new file has the same first line, and so becomes the same conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest.anthropic_blocks import (
    assistant_message,
    blocks_of,
    is_thought,
    reasoning,
    tool_message,
    user_message,
)
from ingest.chains import Chain, time_of, title
from ingest.formats.claude_code_lines import (
    FIELDS,
    TITLES,
    is_object,
    message_of,
    parent_uuid,
    reason_to_skip,
    string,
    thin,
)
from ingest.heads import cut_line, objects
from ingest.openai_items import metadata
from ingest.records import Record, json_lines
from ingest.sources import Source
from ingest.transcripts import Options, Place, Transcript, Warn, derived_id
from memory_service.items.strict_json import canonical

NAME = "claude_code"
EXPECTS = 'sessions of Claude Code: JSON lines with "sessionId", "uuid", "parentUuid", "message"'

_CUT = re.compile(
    r'^\{"parentUuid"\s*:.*"sessionId"\s*:|^\{"type"\s*:\s*"file-history-snapshot"', re.DOTALL
)
"""How a first line begins that is longer than a head."""

MessageGroup = Mapping[str, Any]


@dataclass(slots=True)
class _Turn:
    """One message, of all lines that it came in, with the results of its tools."""

    role: str
    line: Record
    blocks: list[MessageGroup]
    results: list[tuple[Record, MessageGroup]] = field(default_factory=list)
    is_added: bool = False
    end: str | None = None
    """The id of its last item, once it is added: what comes next hangs below that."""


def sniff(source: Source) -> bool:
    """Return whether a file has lines with a session id and a place in its tree."""
    return any(map(_is_session, source.heads("*.jsonl")))


def parse(source: Source, options: Options, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversation of each session, and of its side chains if they are wanted."""
    for member in source.reading("*.jsonl"):
        if not _is_session(member.head):
            warn(Place(member.name, 0), "is no session of Claude Code; it is left out")
            continue
        lines = [thin(line) for line in json_lines(member, warn) if is_object(line, warn)]
        main = [line for line in lines if line.value.get("isSidechain") is not True]
        aside = [line for line in lines if line.value.get("isSidechain") is True]
        if main:
            yield _Session(main, options, warn).transcript()
        for chain in _by_agent(aside):
            if options.sidechains:
                yield _Session(chain, options, warn).transcript()
            else:
                yield _left_out(chain)


def _is_session(head: str) -> bool:
    return _CUT.search(cut_line(head)) is not None or any(
        (isinstance(value.get("sessionId"), str) and "parentUuid" in value)
        or (value.get("type") == "summary" and "leafUuid" in value)
        for value in objects(head)
    )


def _by_agent(lines: Iterable[Record]) -> list[list[Record]]:
    """Return the lines of each agent: those with its id, or that hang below the same first line."""
    chains: dict[str | None, list[Record]] = {}
    first: dict[str | None, str | None] = {}
    for line in lines:
        uuid, parent = string(line, "uuid"), string(line, "parentUuid")
        chain = string(line, "agentId") or first.get(parent, uuid)
        first[uuid] = chain
        chains.setdefault(chain, []).append(line)
    return list(chains.values())


def _left_out(chain: Sequence[Record]) -> Transcript:
    """Return a side chain as a conversation of which nothing is wanted."""
    skipped = {"sidechain": len(chain)}
    return Transcript(chain[0].place, _conversation_id(chain), [], head=None, skipped=skipped)


class _Session:
    """The lines of one session, or of one agent in it, on their way to a conversation."""

    def __init__(self, lines: Sequence[Record], options: Options, warn: Warn) -> None:
        self._lines = lines
        self._options = options
        self._warn = warn
        self._chain = Chain(_conversation_id(lines))
        self._turns: list[_Turn] = []
        self._by_uuid: dict[str, _Turn] = {}
        self._by_message: dict[str, _Turn] = {}
        self._by_call: dict[str, _Turn] = {}
        # Lines that become nothing, with the line each hangs below.
        self._passed: dict[str, str | None] = {}
        self._titles: dict[str, str] = {}

    def transcript(self) -> Transcript:
        """Return the conversation."""
        for line in self._lines:
            self._read(line)
        uuids = {*self._by_uuid, *self._passed}
        has_links = any(string(line, "parentUuid") in uuids for line in self._lines)
        for turn in self._turns:
            self._add(turn, self._parent(turn.line, has_links=has_links))
        return Transcript(
            place=self._lines[0].place,
            id=self._chain.conversation_id,
            items=self._chain.kept(self._chain.last, self._options),
            head=self._chain.last,
            title=title(next(filter(None, map(self._titles.get, TITLES)), None)),
            metadata=self._metadata(),
            created_at=next((item.created_at for item in self._chain.items), None),
            skipped=self._chain.skipped,
        )

    def _read(self, line: Record) -> None:
        if line.value["type"] in TITLES:
            self._read_title(line)
            return
        uuid = string(line, "uuid")
        if uuid is not None and uuid in self._by_uuid:
            self._chain.skipped["duplicate"] += 1
            return
        reason = reason_to_skip(line)
        if reason is None:
            message = message_of(line)
            blocks = blocks_of(message.get("content"))
            if blocks is not None:
                self._take(line, message, blocks)
                return
            self._warn(line.place, "has no message with content")
            reason = "invalid"
        self._chain.skipped[reason] += 1
        if uuid is not None:
            self._passed[uuid] = parent_uuid(line) or self._last_uuid(reason)

    def _read_title(self, line: Record) -> None:
        kind = line.value["type"]
        title = string(line, TITLES[kind])
        # A summary may be of another session, whose last line it names.
        foreign = kind == "summary" and string(line, "leafUuid") not in self._by_uuid
        if title is not None and not foreign:
            self._titles[kind] = title

    def _last_uuid(self, reason: str) -> str | None:
        """Return where a line without a parent hangs: a compaction does not begin anew."""
        return next(reversed(self._by_uuid), None) if reason == "compaction" else None

    def _take(self, line: Record, message: Mapping[str, Any], blocks: list[MessageGroup]) -> None:
        if line.value["type"] == "assistant":
            turn = self._answer(line, message, blocks)
        else:
            turn = self._said_by_user(line, blocks)
        uuid = string(line, "uuid")
        if uuid is not None:
            self._by_uuid[uuid] = turn

    def _answer(
        self, line: Record, message: Mapping[str, Any], blocks: list[MessageGroup]
    ) -> _Turn:
        message_id = message.get("id")
        turn = self._by_message.get(message_id) if isinstance(message_id, str) else None
        if turn is None:
            turn = _Turn("assistant", line, [])
            self._turns.append(turn)
        if isinstance(message_id, str):
            self._by_message[message_id] = turn
        turn.blocks += blocks
        for block in blocks:
            if block.get("type") == "tool_use" and isinstance(block.get("id"), str):
                self._by_call[block["id"]] = turn
        return turn

    def _said_by_user(self, line: Record, blocks: list[MessageGroup]) -> _Turn:
        turn: _Turn | None = None
        orphans: list[tuple[Record, MessageGroup]] = []
        for block in blocks:
            if block.get("type") == "tool_result":
                call = block.get("tool_use_id")
                unit = self._by_call.get(call) if isinstance(call, str) else None
                (orphans if unit is None else unit.results).append((line, block))
                turn = unit or turn
        said = [block for block in blocks if block.get("type") != "tool_result"]
        if said or orphans or turn is None:
            turn = _Turn("user", line, said, orphans)
            self._turns.append(turn)
        return turn

    def _parent(self, line: Record, *, has_links: bool) -> str | None:
        """Return the id of the item that a line hangs below; None for the root."""
        above, passed = parent_uuid(line), set[str]()
        while above in self._passed and above not in passed:
            passed.add(above)
            above = self._passed[above]
        turn = self._by_uuid.get(above or "")
        if turn is not None and turn.is_added:
            return turn.end
        if above is None and has_links:
            return None
        return self._chain.last

    def _add(self, turn: _Turn, parent: str | None) -> None:
        before = len(self._chain.items)
        turn.is_added, turn.end = True, parent
        if turn.role == "user":
            self._add_results(turn)
            self._put(turn, turn.line, user_message(turn.blocks))
        else:
            self._add_thoughts(turn)
            model = metadata({"model": message_of(turn.line).get("model")})
            self._put(turn, turn.line, assistant_message(turn.blocks), model)
            self._add_results(turn)
        if len(self._chain.items) == before:
            self._chain.skipped["empty"] += 1

    def _add_thoughts(self, turn: _Turn) -> None:
        if self._options.reasoning:
            self._put(turn, turn.line, reasoning(turn.blocks))
        elif any(is_thought(block) for block in turn.blocks):
            self._chain.skipped["reasoning"] += 1

    def _add_results(self, turn: _Turn) -> None:
        for line, block in turn.results:
            failed = {"is_error": "true"} if block.get("is_error") is True else None
            self._put(turn, line, tool_message(block), failed)

    def _put(
        self,
        turn: _Turn,
        line: Record,
        message: Mapping[str, Any] | None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        if message is not None:
            turn.end = self._chain.add(
                message,
                parent=turn.end,
                key=string(line, "uuid") or "",
                created_at=time_of(line.value.get("timestamp")),
                metadata=details,
            )

    def _metadata(self) -> dict[str, str]:
        found = {key: _first(self._lines, field) for key, field in FIELDS.items()}
        models = (message_of(turn.line).get("model") for turn in self._turns)
        model = next((one for one in models if one), None)
        return metadata({"source": NAME, **found, "model": model})


def _conversation_id(lines: Sequence[Record]) -> str:
    """Return an id from the first line that has one, with its time: the same in every copy."""
    first = next((line for line in lines if string(line, "uuid")), lines[0])
    parts = (string(first, "uuid") or canonical(first.value), string(first, "timestamp") or "")
    return derived_id("conv", NAME, *parts)


def _first(lines: Iterable[Record], key: str) -> str | None:
    return next(filter(None, (string(line, key) for line in lines)), None)
