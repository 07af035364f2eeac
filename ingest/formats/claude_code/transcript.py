"""The transcript of a session: its turns as items, each below the end of the turn above."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ingest.formats.claude_code.lines import (
    FIELDS,
    TITLES,
    first_field,
    message_of,
    parent_uuid,
    string_field,
)
from ingest.formats.claude_code.turns import SessionTurn, SessionTurns, read_turns
from ingest.items.anthropic_blocks import (
    assistant_message,
    is_reasoning,
    reasoning_of,
    tool_message,
    user_message,
)
from ingest.items.fields import metadata_of, one_line_title, utc_time
from ingest.records.parsing import JsonRecord
from ingest.transcripts import FormatOptions, Transcript, Warn, derived_id
from ingest.trees.builder import TranscriptBuilder
from memory_service.items.strict_json import canonical


class _TurnMessage(NamedTuple):
    """A message of a turn, the line it comes from, and its metadata."""

    line: JsonRecord
    message: Mapping[str, Any] | None
    metadata: Mapping[str, str] | None = None


def transcript_of(
    lines: Sequence[JsonRecord], source: str, options: FormatOptions, warn: Warn
) -> Transcript:
    """Return the conversation of a session, or of one agent in it."""
    session = read_turns(lines, warn)
    builder = TranscriptBuilder(conversation_id(lines, source))
    builder.skipped.update(session.skipped)
    _add_turns(builder, lines, session, options)
    return builder.build(
        lines[0].location,
        builder.last,
        options,
        title=one_line_title(next(filter(None, map(session.titles.get, TITLES)), None)),
        metadata=_metadata(lines, source, session),
        created_at=next((item.created_at for item in builder.items), None),
    )


def conversation_id(lines: Sequence[JsonRecord], source: str) -> str:
    """Return an id from the first line with a uuid, and its time: the same in every copy."""
    first = next((line for line in lines if string_field(line, "uuid")), lines[0])
    uuid = string_field(first, "uuid") or canonical(first.value)
    return derived_id("conv", source, uuid, string_field(first, "timestamp") or "")


def _add_turns(
    builder: TranscriptBuilder,
    lines: Sequence[JsonRecord],
    session: SessionTurns,
    options: FormatOptions,
) -> None:
    uuids = session.turn_numbers.keys() | session.passed.keys()
    has_links = any(string_field(line, "parentUuid") in uuids for line in lines)
    # The id of the last item of each turn so far: the turns below it continue there.
    ends: list[str | None] = []
    for turn in session.turns:
        parent = _parent(turn, session, ends, builder.last, has_links=has_links)
        messages = [entry for entry in _messages(turn, options) if entry.message is not None]
        end = parent
        for line, message, metadata in messages:
            end = builder.add(
                message,
                parent=end,
                key=string_field(line, "uuid") or "",
                created_at=utc_time(line.value.get("timestamp")),
                metadata=metadata,
                location=line.location,
            )
        ends.append(end)
        is_answer = turn.role == "assistant"
        if is_answer and not options.reasoning and any(map(is_reasoning, turn.blocks)):
            builder.skipped["reasoning"] += 1
        if not messages:
            builder.skipped["empty"] += 1


def _parent(
    turn: SessionTurn,
    session: SessionTurns,
    ends: Sequence[str | None],
    last: str | None,
    *,
    has_links: bool,
) -> str | None:
    """Return the id of the item above a turn; None for the root.

    A turn whose parent is unknown, or comes later in the file, continues after the last item.
    """
    above, walked = parent_uuid(turn.line), set[str]()
    while above is not None and above in session.passed and above not in walked:
        walked.add(above)
        above = session.passed[above]
    number = session.turn_numbers.get(above or "")
    if number is not None and number < len(ends):
        return ends[number]
    return None if above is None and has_links else last


def _messages(turn: SessionTurn, options: FormatOptions) -> Iterator[_TurnMessage]:
    """Yield the messages of a turn in order; the message of one without text is None."""
    results = (
        _TurnMessage(
            line,
            tool_message(block),
            {"is_error": "true"} if block.get("is_error") is True else None,
        )
        for line, block in turn.results
    )
    if turn.role == "user":
        yield from results
        yield _TurnMessage(turn.line, user_message(turn.blocks))
        return
    if options.reasoning:
        yield _TurnMessage(turn.line, reasoning_of(turn.blocks))
    model = metadata_of({"model": message_of(turn.line).get("model")})
    yield _TurnMessage(turn.line, assistant_message(turn.blocks), model)
    yield from results


def _metadata(lines: Sequence[JsonRecord], source: str, session: SessionTurns) -> dict[str, str]:
    fields = {key: first_field(lines, field) for key, field in FIELDS.items()}
    models = (message_of(turn.line).get("model") for turn in session.turns)
    return metadata_of({"source": source, **fields, "model": next(filter(None, models), None)})
