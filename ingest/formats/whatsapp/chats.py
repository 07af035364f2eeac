"""WhatsApp's exported chats: a text file, alone or in a ZIP with the media.

Phones write dates differently: `[1/31/24, 9:41:05 PM] Ann: …` or `31.01.24, 21:41 - Ann: …`.
Which number is the day is detected in the whole file; a warning says if it is not certain. A
line without a date continues the message above. Files do not name a time zone; times are in the
zone of the option.

A chat is identified by its first message. Phones export the newest 40,000 messages at most, so a
later export of a longer chat begins later and is another conversation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import PurePosixPath

from ingest.formats.whatsapp.lines import DateOrder, LineHead, detect_date_order, read_head
from ingest.formats.whatsapp.marks import read_text
from ingest.items.fields import one_line_title, speaker_name
from ingest.records.lines import text_lines
from ingest.sources.source import ExportSource, Member
from ingest.transcripts import FormatOptions, Location, Transcript, Warn, derived_id
from ingest.trees.builder import TranscriptBuilder

NAME = "whatsapp"
EXPECTS = 'WhatsApp chats: text with lines such as "31/01/24, 21:41 - Ann: Hello", or a ZIP of one'

_ORDERS = {"dmy": "day/month/year", "mdy": "month/day/year", "ymd": "year/month/day"}
_DEFAULT_STEM = "_chat"
"""The name of the file in the ZIP that an iPhone makes; the ZIP has the chat's name."""


@dataclass(frozen=True, slots=True)
class _Message:
    """A head with the lines below it."""

    location: Location
    head: LineHead
    lines: list[str] = field(default_factory=list)


def sniff(source: ExportSource) -> bool:
    """Return whether a text begins with a line of a chat, and has a speaker in the first lines."""
    return any(map(_begins_with_chat, source.heads("*.txt")))


def parse(source: ExportSource, options: FormatOptions, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversation of each chat."""
    for member in source.reading("*.txt"):
        # A ZIP may hold text files that were sent in the chat.
        if len(source.members) > 1 and not _begins_with_chat(member.head):
            continue
        messages, lines_before = _messages(member, warn)
        if not messages:
            warn(Location(member.name, 1), f"has no line of a chat: {EXPECTS}")
            continue
        yield _transcript(source, messages, lines_before, options, warn)


def _begins_with_chat(head: str) -> bool:
    lines = list(islice((line for line in head.split("\n") if line.strip()), 30))
    heads = [read_head(line) for line in lines]
    starts = bool(heads) and heads[0] is not None
    return starts and any(
        line_head is not None and line_head.speaker_and_text() is not None for line_head in heads
    )


def _messages(member: Member, warn: Warn) -> tuple[list[_Message], int]:
    """Return the messages of a file, and how many lines of text come before the first."""
    messages: list[_Message] = []
    lines_before = 0
    for location, line in text_lines(member, warn):
        head = read_head(line)
        if head is not None:
            messages.append(_Message(location, head))
        elif messages:
            messages[-1].lines.append(line)
        else:
            lines_before += bool(line.strip())
    return messages, lines_before


def _transcript(
    source: ExportSource,
    messages: Sequence[_Message],
    lines_before: int,
    options: FormatOptions,
    warn: Warn,
) -> Transcript:
    first = messages[0]
    order = _date_order(messages, options, warn)
    builder = TranscriptBuilder(_conversation_id(messages))
    if lines_before:
        builder.skipped["text before the chat"] = lines_before
    latest: datetime | None = None
    for message in messages:
        time = message.head.time(order, options.zone)
        if time is None:
            warn(message.location, f"has a date that does not exist as {_ORDERS[order]}")
        else:
            time = latest = _second_of_repeated_hour(time, latest)
        _add(builder, message, time)
    return builder.build(
        first.location,
        builder.last,
        options,
        title=one_line_title(_title(source, first.location.file)),
        metadata={"source": NAME},
        created_at=next((item.created_at for item in builder.items), None),
    )


def _conversation_id(messages: Sequence[_Message]) -> str:
    """Return an id from the first message of a speaker."""
    spoken = (message for message in messages if message.head.speaker_and_text() is not None)
    head = next(spoken, messages[0]).head
    return derived_id("conv", NAME, *head.date, head.rest)


def _date_order(messages: Sequence[_Message], options: FormatOptions, warn: Warn) -> DateOrder:
    """Return the order of the numbers in dates; warn if it is assumed."""
    if options.date_order is not None:
        return options.date_order
    order, is_certain = detect_date_order([message.head for message in messages])
    if not is_certain:
        date = "/".join(messages[0].head.date)
        warn(
            messages[0].location,
            f"dates such as {date} can be read two ways; {_ORDERS[order]} is assumed. "
            f"If that is wrong: --date-order {'dmy' if order == 'mdy' else 'mdy'}",
        )
    return order


def _second_of_repeated_hour(time: datetime, before: datetime | None) -> datetime:
    """Return a time; in the hour that comes twice when clocks go back, the second one if needed."""
    if before is None or time.timestamp() >= before.timestamp():
        return time
    second = time.replace(fold=1)
    return second if second.timestamp() >= before.timestamp() else time


def _add(builder: TranscriptBuilder, message: _Message, time: datetime | None) -> None:
    spoken = message.head.speaker_and_text()
    if spoken is None:
        builder.skipped["system"] += 1
        return
    name, first_line = spoken
    content = read_text("\n".join([first_line, *message.lines]))
    if content.kind in ("system", "deleted"):
        builder.skipped[content.kind] += 1
        return
    if not content.text:
        builder.skipped["empty"] += 1
        return
    marks = {"media": content.kind == "media", "edited": content.is_edited}
    builder.add(
        {"role": "user", "content": content.text},
        parent=builder.last,
        key=f"{'/'.join(message.head.date)} {message.head.hour}:{message.head.minute} {name}",
        created_at=None if time is None else time.isoformat(),
        name=speaker_name(name),
        metadata={key: "true" for key, is_set in marks.items() if is_set},
        location=message.location,
    )


def _title(source: ExportSource, file: str) -> str:
    stem = PurePosixPath(file).stem
    return PurePosixPath(source.label).stem if stem == _DEFAULT_STEM else stem
