"""Slack's export: `channels.json`, `users.json`, and a folder of days for each channel.

A channel is a conversation. A thread is one of its own, its first message included, which then is
not in the channel's: a branch would not be recalled once the channel goes on, and answers that
stand between other people's messages have no neighbours that say what they answer.

Ids come from a message's time, which is Slack's own key, and not from what is before it: exports
often begin where Slack has stopped keeping messages, so the beginning changes from one to the next.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from textwrap import shorten
from typing import Any

from ingest.chains import Chain, title
from ingest.formats.slack_message import details, moment, name_of, readable, said_by, ts
from ingest.heads import first_value
from ingest.openai_items import metadata, rfc3339
from ingest.records import Record, json_records
from ingest.sources import Member, Source
from ingest.transcripts import Options, Place, Transcript, Warn, derived_id

NAME = "slack"
EXPECTS = "a Slack export: channels.json, users.json and <channel>/<day>.json, as folder or ZIP"

_LISTS = ("channels.json", "groups.json", "mpims.json", "dms.json")
_USERS = "users.json"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\.json")
_SAID = frozenset(
    {
        *("thread_broadcast", "reply_broadcast", "me_message", "file_share", "file_comment"),
        *("bot_message", "slackbot_response"),
    }
)
"""Subtypes that somebody said; the others tell that somebody joined, renamed, pinned, …"""
_DELETED = frozenset({"tombstone", "message_deleted"})


@dataclass(frozen=True, slots=True)
class _Channel:
    """A channel, with the members that hold its days."""

    id: str
    name: str
    days: list[Member] = field(default_factory=list)


def sniff(source: Source) -> bool:
    """Return whether there are days beside lists of channels or users, or a file is such a day."""
    names = [_last(member) for member in source.members]
    if any(map(_DAY.fullmatch, names)) and not {*_LISTS, _USERS}.isdisjoint(names):
        return True
    return any(map(_is_message, map(first_value, source.heads("*.json"))))


def parse(source: Source, options: Options, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversation of each channel, and after it those of its threads."""
    members = source.reading("*.json")
    users = _listed(members, _USERS, warn)
    names = {user["id"]: name_of(user) or user["id"] for user in users}
    for channel in _channels(members, names, warn):
        yield from _Reader(channel, names, options, warn).transcripts()


def _last(member: Member) -> str:
    return PurePosixPath(member.name).name


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("type") == "message" and ts(value) is not None


def _listed(members: Sequence[Member], name: str, warn: Warn) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of a list, which have an id."""
    for member in members:
        if _last(member) == name:
            for record in json_records(member, warn):
                if isinstance(record.value, Mapping) and isinstance(record.value.get("id"), str):
                    yield record.value
                else:
                    warn(record.place, "has no id")


def _channels(members: Sequence[Member], names: Mapping[str, str], warn: Warn) -> list[_Channel]:
    """Return the channels that have days; a folder is called as its channel, or by its id."""
    listed: dict[str, _Channel] = {}
    for name in _LISTS:
        for entry in _listed(members, name, warn):
            channel = _Channel(entry["id"], _label(entry, names))
            listed[str(entry.get("name") or entry["id"])] = listed[entry["id"]] = channel
    found: dict[str, _Channel] = {}
    for member in members:
        path = PurePosixPath(member.name)
        if len(members) > 1 and not _DAY.fullmatch(path.name):
            continue
        folder = path.parent.name or path.stem
        channel = listed.get(folder) or _Channel(folder, folder)
        found.setdefault(channel.id, channel).days.append(member)
    return list(found.values())


def _label(channel: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return a channel's name; of direct messages, who takes part."""
    name, people = channel.get("name"), channel.get("members")
    is_direct = not isinstance(name, str) or name.startswith("mpdm-")
    if is_direct and isinstance(people, list):
        return ", ".join(names.get(one, one) for one in people if isinstance(one, str))
    return name if isinstance(name, str) else str(channel["id"])


class _Reader:
    """The messages of one channel on their way to conversations."""

    def __init__(
        self, channel: _Channel, names: Mapping[str, str], options: Options, warn: Warn
    ) -> None:
        self._channel = channel
        self._names = names
        self._options = options
        self._warn = warn
        self._skipped: Counter[str] = Counter()
        self._found: dict[str, Record] = {}

    def transcripts(self) -> Iterator[Transcript]:
        """Yield the channel's conversation, then its threads'."""
        for member in self._channel.days:
            for record in json_records(member, self._warn):
                self._take(record)
        messages = sorted(self._found.items(), key=lambda one: moment(one[0]) or 0)
        roots = {one.value.get("thread_ts") for own, one in messages if _is_reply(own, one.value)}
        threads: dict[str, list[Record]] = {}
        rest: list[Record] = []
        for own, message in messages:
            root = ts(message.value, "thread_ts") or own
            (threads.setdefault(root, []) if root in roots else rest).append(message)
        yield self._transcript(None, rest, self._skipped)
        for root, thread in threads.items():
            yield self._transcript(root, thread, Counter())

    def _take(self, record: Record) -> None:
        """Keep a message that somebody said, as it was at last; count what is left out."""
        message = record.value
        own = ts(message) if isinstance(message, Mapping) else None
        if own is None:
            self._warn(record.place, "is no message with a time ('ts')")
            self._skipped["invalid"] += 1
            return
        subtype, changed = str(message.get("subtype") or ""), message.get("message")
        if subtype == "message_changed" and isinstance(changed, Mapping) and ts(changed):
            self._skipped["edit"] += changed["ts"] in self._found
            self._found[changed["ts"]] = Record(record.place, changed, "")
        elif subtype in _DELETED:
            self._skipped["deleted"] += 1
            if self._found.pop(str(message.get("deleted_ts")), None) is not None:
                self._skipped["deleted"] += 1
        elif subtype and subtype not in _SAID:
            self._skipped["system"] += 1
        elif own in self._found:
            self._skipped["duplicate"] += 1
        else:
            self._found[own] = Record(record.place, message, "")

    def _transcript(
        self, thread: str | None, messages: Sequence[Record], skipped: Mapping[str, int]
    ) -> Transcript:
        channel = self._channel
        parts = (channel.id,) if thread is None else (channel.id, thread)
        chain = Chain(derived_id("conv", NAME, *parts))
        chain.skipped.update(skipped)
        end: str | None = None
        for message in messages:
            end = self._add(chain, message, end)
        items = chain.kept(end, self._options)
        label = channel.name if thread is None else f"{channel.name}: {_first_words(chain)}"
        return Transcript(
            place=messages[0].place if messages else Place(channel.days[0].name, 1),
            id=chain.conversation_id,
            items=items,
            head=end,
            title=title(label),
            metadata=metadata({"source": NAME, "channel": channel.name, "thread": thread}),
            created_at=items[0].created_at if items else None,
            skipped=chain.skipped,
        )

    def _add(self, chain: Chain, message: Record, end: str | None) -> str | None:
        text = readable(message.value, self._names)
        if not text:
            chain.skipped["empty"] += 1
            return end
        own = str(message.value["ts"])
        return chain.add(
            {"role": "user", "content": text},
            parent=end,
            item_id=derived_id("item", chain.conversation_id, own),
            created_at=rfc3339(moment(own)),
            name=said_by(message.value, self._names),
            metadata=details(message.value),
        )


def _is_reply(own: str, message: Mapping[str, Any]) -> bool:
    return ts(message, "thread_ts") not in (None, own)


def _first_words(chain: Chain) -> str:
    first = json.loads(chain.items[0].raw)["content"] if chain.items else ""
    return shorten(str(first), 80, placeholder="…")
