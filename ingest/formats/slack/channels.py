"""The channels of a Slack export: their ids and names, and the members that hold their days."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ingest.formats.slack.messages import user_name
from ingest.records.arrays import json_records
from ingest.sources.source import Member
from ingest.transcripts import Warn

_CHANNEL_LISTS = ("channels.json", "groups.json", "mpims.json", "dms.json")
_USER_LIST = "users.json"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\.json")


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel, with the members that hold its days."""

    id: str
    name: str
    days: list[Member] = field(default_factory=list)


def has_days_and_lists(members: Sequence[Member]) -> bool:
    """Return whether there are files named after days, and lists of channels or users."""
    names = {_file_name(member) for member in members}
    has_lists = not names.isdisjoint({*_CHANNEL_LISTS, _USER_LIST})
    return has_lists and any(map(_DAY.fullmatch, names))


def user_names(members: Sequence[Member], warn: Warn) -> dict[str, str]:
    """Return the names of the users of a workspace by their ids."""
    users = _entries(members, _USER_LIST, warn)
    return {user["id"]: user_name(user) or user["id"] for user in users}


def channels_with_days(
    members: Sequence[Member], names: Mapping[str, str], warn: Warn
) -> list[Channel]:
    """Return the channels that have days; a folder is named after its channel or the channel's id.

    A member that is read alone is a day.
    """
    listed = _listed_channels(members, names, warn)
    channels: dict[str, Channel] = {}
    for member in members:
        path = PurePosixPath(member.name)
        if len(members) > 1 and not _DAY.fullmatch(path.name):
            continue
        folder = path.parent.name or path.stem
        channel = listed.get(folder) or Channel(folder, folder)
        channels.setdefault(channel.id, channel).days.append(member)
    return list(channels.values())


def _listed_channels(
    members: Sequence[Member], names: Mapping[str, str], warn: Warn
) -> dict[str, Channel]:
    """Return the channels in the lists, by their names and by their ids."""
    listed: dict[str, Channel] = {}
    for name in _CHANNEL_LISTS:
        for entry in _entries(members, name, warn):
            channel = Channel(entry["id"], _channel_name(entry, names))
            listed[str(entry.get("name") or entry["id"])] = listed[entry["id"]] = channel
    return listed


def _entries(members: Sequence[Member], name: str, warn: Warn) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of the lists of a name; each has an id."""
    for member in members:
        if _file_name(member) == name:
            for record in json_records(member, warn):
                if isinstance(record.value, Mapping) and isinstance(record.value.get("id"), str):
                    yield record.value
                else:
                    warn(record.location, "has no id")


def _channel_name(entry: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return a channel's name; of direct messages, the names of those who take part."""
    name, people = entry.get("name"), entry.get("members")
    is_direct = not isinstance(name, str) or name.startswith("mpdm-")
    if is_direct and isinstance(people, list):
        return ", ".join(names.get(person, person) for person in people if isinstance(person, str))
    return name if isinstance(name, str) else str(entry["id"])


def _file_name(member: Member) -> str:
    return PurePosixPath(member.name).name
