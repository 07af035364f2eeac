"""WhatsApp's exported chats: a text file, alone or in a ZIP with the media.

Every phone writes dates its own way: `[1/31/24, 9:41:05 PM] Ann: …` or `31.01.24, 21:41 - Ann: …`.
Which number is the day is found out over the whole file; where that leaves a doubt, it is said. A
line without a date goes on with the message above. Files do not say in which zone the phone was;
times are in the zone that is asked for.

A chat is known by its first message. Phones write the newest 40,000 messages at most, so that a
later export of a longer chat begins later and is another conversation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import PurePosixPath

from ingest.chains import Chain, speaker, title
from ingest.formats.whatsapp_lines import Head, Order, date_order, read_head
from ingest.formats.whatsapp_marks import read_text
from ingest.records import text_lines
from ingest.sources import Member, Source
from ingest.transcripts import Options, Place, Transcript, Warn, derived_id

NAME = "whatsapp"
EXPECTS = 'WhatsApp chats: text with lines such as "31/01/24, 21:41 - Ann: Hello", or a ZIP of one'

_ORDERS = {"dmy": "day/month/year", "mdy": "month/day/year", "ymd": "year/month/day"}
_DEFAULT_STEM = "_chat"
"""The name of the file in the ZIP that an iPhone makes; the ZIP has the chat's."""


@dataclass(slots=True)
class _Message:
    """A head with the lines below it."""

    place: Place
    head: Head
    lines: list[str] = field(default_factory=list)


def sniff(source: Source) -> bool:
    """Return whether a text begins with a line of a chat, and somebody speaks soon."""
    return any(map(_begins_so, source.heads("*.txt")))


def parse(source: Source, options: Options, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversation of each chat."""
    for member in source.reading("*.txt"):
        # A ZIP may hold texts that somebody sent.
        if len(source.members) > 1 and not _begins_so(member.head):
            continue
        messages, before = _messages(member, warn)
        if not messages:
            warn(Place(member.name, 1), f"has no line of a chat: {EXPECTS}")
            continue
        yield _transcript(source, messages, before, options, warn)


def _begins_so(head: str) -> bool:
    lines = list(islice((line for line in head.split("\n") if line.strip()), 30))
    heads = [found for found in map(read_head, lines) if found is not None]
    starts = bool(lines) and read_head(lines[0]) is not None
    return starts and any(found.spoken() is not None for found in heads)


def _messages(member: Member, warn: Warn) -> tuple[list[_Message], int]:
    """Return the messages of a file, and how many lines of text stand before the first."""
    messages: list[_Message] = []
    before = 0
    for place, line in text_lines(member, warn):
        head = read_head(line)
        if head is not None:
            messages.append(_Message(place, head))
        elif messages:
            messages[-1].lines.append(line)
        else:
            before += bool(line.strip())
    return messages, before


def _transcript(
    source: Source, messages: Sequence[_Message], before: int, options: Options, warn: Warn
) -> Transcript:
    first = messages[0]
    order = _order(messages, options, warn)
    spoken = next((one for one in messages if one.head.spoken() is not None), first)
    chain = Chain(derived_id("conv", NAME, *spoken.head.date, spoken.head.rest))
    chain.skipped.update(Counter({"text before the chat": before} if before else {}))
    end: str | None = None
    time: datetime | None = None
    for message in messages:
        found = message.head.time(order, options.zone)
        if found is None:
            warn(message.place, f"has no date that exists as {_ORDERS[order]}")
        time = _not_before(found, time)
        end = _add(chain, message, found and time, end)
    return Transcript(
        place=first.place,
        id=chain.conversation_id,
        items=chain.kept(end, options),
        head=end,
        title=title(_title(source, first.place.file)),
        metadata={"source": NAME},
        created_at=next((item.created_at for item in chain.items), None),
        skipped=chain.skipped,
    )


def _order(messages: Sequence[_Message], options: Options, warn: Warn) -> Order:
    """Return the order of the numbers in dates; an assumption is said."""
    if options.date_order is not None:
        return options.date_order
    order, is_certain = date_order([message.head for message in messages])
    if not is_certain:
        date = "/".join(messages[0].head.date)
        warn(
            messages[0].place,
            f"dates such as {date} can be read two ways; {_ORDERS[order]} is assumed. "
            f"If that is wrong: --date-order {'dmy' if order == 'mdy' else 'mdy'}",
        )
    return order


def _not_before(time: datetime | None, before: datetime | None) -> datetime | None:
    """Return the time; of an hour that comes twice when clocks go back, the second if need be."""
    if time is None or before is None or time.timestamp() >= before.timestamp():
        return time if time is not None else before
    second = time.replace(fold=1)
    return second if second.timestamp() >= before.timestamp() else time


def _add(chain: Chain, message: _Message, time: datetime | None, end: str | None) -> str | None:
    spoken = message.head.spoken()
    if spoken is None:
        chain.skipped["system"] += 1
        return end
    name, text = spoken
    said = read_text("\n".join([text, *message.lines]))
    if said.kind in ("system", "deleted"):
        chain.skipped[said.kind] += 1
        return end
    if not said.text:
        chain.skipped["empty"] += 1
        return end
    marks = {"media": said.kind == "media", "edited": said.is_edited}
    return chain.add(
        {"role": "user", "content": said.text},
        parent=end,
        key=f"{'/'.join(message.head.date)} {message.head.hour}:{message.head.minute} {name}",
        created_at=None if time is None else time.isoformat(),
        name=speaker(name),
        metadata={key: "true" for key, is_so in marks.items() if is_so},
    )


def _title(source: Source, file: str) -> str:
    stem = PurePosixPath(file).stem
    return PurePosixPath(source.label).stem if stem == _DEFAULT_STEM else stem
