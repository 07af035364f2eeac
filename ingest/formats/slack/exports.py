"""Slack's export: `channels.json`, `users.json`, and a folder of days for each channel.

A channel is a conversation. A thread is a conversation of its own with its first message, which is
then not in the channel's. As a branch, it would not be recalled once the channel continues. Among
the channel's messages, its answers would have unrelated neighbours.

Ids are derived from a message's time, which is Slack's own key, and not from the messages before:
Slack deletes old messages, so two exports often begin at different ones.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

from ingest.formats.slack.channels import (
    Channel,
    channels_with_days,
    has_days_and_lists,
    user_names,
)
from ingest.formats.slack.messages import (
    message_metadata,
    readable_text,
    speaker_of,
    timestamp,
    timestamp_microseconds,
)
from ingest.items.fields import metadata_of, one_line_title, rfc3339
from ingest.records.arrays import json_records
from ingest.records.beginnings import first_value
from ingest.records.parsing import JsonRecord
from ingest.sources.source import ExportSource
from ingest.transcripts import FormatOptions, Location, Transcript, Warn, derived_id
from ingest.trees.builder import TranscriptBuilder

NAME = "slack"
EXPECTS = "a Slack export: channels.json, users.json and <channel>/<day>.json, as folder or ZIP"

_SPOKEN = frozenset(
    {
        *("thread_broadcast", "reply_broadcast", "me_message", "file_share", "file_comment"),
        *("bot_message", "slackbot_response"),
    }
)
"""Subtypes of messages with content; the others report joining, renaming, pinning, …"""
_DELETED = frozenset({"tombstone", "message_deleted"})


@dataclass(frozen=True, slots=True)
class ChannelMessages:
    """The messages of a channel in their last version, by time, and what was left out."""

    messages: Mapping[str, JsonRecord]
    skipped: Mapping[str, int]


def sniff(source: ExportSource) -> bool:
    """Return whether there are days and lists of channels or users, or a file is such a day."""
    return has_days_and_lists(source.members) or any(
        map(_is_message, map(first_value, source.heads("*.json")))
    )


def parse(source: ExportSource, options: FormatOptions, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversation of each channel, and after it those of its threads."""
    members = source.reading("*.json")
    names = user_names(members, warn)
    for channel in channels_with_days(members, names, warn):
        read = _read_channel(channel, warn)
        rest, threads = _split_threads(read.messages)
        writer = _TranscriptMaker(channel, names, options)
        yield writer.transcript(None, rest, read.skipped)
        for root, thread in threads.items():
            yield writer.transcript(root, thread, {})


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and value.get("type") == "message"
        and timestamp(value) is not None
    )


def _read_channel(channel: Channel, warn: Warn) -> ChannelMessages:
    """Return a channel's messages in their last version, without deleted ones."""
    messages: dict[str, JsonRecord] = {}
    skipped: Counter[str] = Counter()
    for day in channel.days:
        for record in json_records(day, warn):
            message = record.value
            own = timestamp(message) if isinstance(message, Mapping) else None
            if own is None:
                warn(record.location, "is not a message with a time ('ts')")
                skipped["invalid"] += 1
                continue
            subtype, changed = str(message.get("subtype") or ""), message.get("message")
            if subtype == "message_changed" and isinstance(changed, Mapping) and timestamp(changed):
                skipped["edit"] += changed["ts"] in messages
                messages[changed["ts"]] = JsonRecord(record.location, changed, "")
            elif subtype in _DELETED:
                deleted = messages.pop(str(message.get("deleted_ts")), None)
                skipped["deleted"] += 1 if deleted is None else 2
            elif subtype and subtype not in _SPOKEN:
                skipped["system"] += 1
            elif own in messages:
                skipped["duplicate"] += 1
            else:
                messages[own] = JsonRecord(record.location, message, "")
    return ChannelMessages(messages, skipped)


def _split_threads(
    messages: Mapping[str, JsonRecord],
) -> tuple[list[JsonRecord], dict[str, list[JsonRecord]]]:
    """Return (messages outside of threads, messages of each thread by its root), oldest first."""
    ordered = sorted(messages.items(), key=lambda entry: timestamp_microseconds(entry[0]) or 0)
    roots = {
        record.value.get("thread_ts") for own, record in ordered if _is_reply(own, record.value)
    }
    rest: list[JsonRecord] = []
    threads: dict[str, list[JsonRecord]] = {}
    for own, record in ordered:
        root = timestamp(record.value, "thread_ts") or own
        (threads.setdefault(root, []) if root in roots else rest).append(record)
    return rest, threads


def _is_reply(own: str, message: Mapping[str, Any]) -> bool:
    return timestamp(message, "thread_ts") not in (None, own)


@dataclass(frozen=True, slots=True)
class _TranscriptMaker:
    """Makes the transcripts of one channel."""

    channel: Channel
    names: Mapping[str, str]
    options: FormatOptions

    def transcript(
        self, thread: str | None, messages: Sequence[JsonRecord], skipped: Mapping[str, int]
    ) -> Transcript:
        """Return the conversation of a thread, or of the channel itself for None."""
        channel = self.channel
        parts = (channel.id,) if thread is None else (channel.id, thread)
        builder = TranscriptBuilder(derived_id("conv", NAME, *parts))
        builder.skipped.update(skipped)
        for message in messages:
            self._add(builder, message)
        title = channel.name if thread is None else f"{channel.name}: {_first_words(builder)}"
        transcript = builder.build(
            messages[0].location if messages else Location(channel.days[0].name, 1),
            builder.last,
            self.options,
            title=one_line_title(title),
            metadata=metadata_of({"source": NAME, "channel": channel.name, "thread": thread}),
        )
        items = transcript.items
        return replace(transcript, created_at=items[0].created_at if items else None)

    def _add(self, builder: TranscriptBuilder, message: JsonRecord) -> None:
        text = readable_text(message.value, self.names)
        if not text:
            builder.skipped["empty"] += 1
            return
        own = str(message.value["ts"])
        builder.add(
            {"role": "user", "content": text},
            parent=builder.last,
            item_id=derived_id("item", builder.conversation_id, own),
            created_at=rfc3339(timestamp_microseconds(own)),
            name=speaker_of(message.value, self.names),
            metadata=message_metadata(message.value),
            location=message.location,
        )


def _first_words(builder: TranscriptBuilder) -> str:
    first = json.loads(builder.items[0].raw)["content"] if builder.items else ""
    return shorten(str(first), 80, placeholder="…")
