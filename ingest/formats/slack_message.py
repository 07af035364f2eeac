"""One Slack message as people read it: who, when, and what, with names for ids."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ingest import openai_items
from ingest.chains import speaker

Message = Mapping[str, Any]

_REFERENCE = re.compile(r"<([^<>\n]+)>")
_TS = re.compile(r"[0-9]{1,11}(?:\.[0-9]{1,9})?")


def ts(message: Message, key: str = "ts") -> str | None:
    """Return a time as Slack writes it, "1718355600.000100": in a channel it names a message."""
    value = message.get(key)
    return value if isinstance(value, str) and _TS.fullmatch(value) else None


def moment(own_ts: str) -> int | None:
    """Return what a `ts` says in microseconds since the epoch; None if that is out of range."""
    seconds, _, fraction = own_ts.partition(".")
    whole = openai_items.microseconds(int(seconds))
    return None if whole is None else whole + int(f"{fraction[:6]:0<6}")


def name_of(user: Mapping[str, Any]) -> str | None:
    """Return how a user is called: as people there see it, else as the account is."""
    profile = user.get("profile")
    holders = [profile, user] if isinstance(profile, Mapping) else [user]
    found = (holder.get(key) for holder in holders for key in ("display_name", "real_name", "name"))
    return next((name for name in found if isinstance(name, str) and name.strip()), None)


def said_by(message: Message, names: Mapping[str, str]) -> str | None:
    """Return who says it: a user of the workspace, a bot, or a guest."""
    user, profile, bot = (message.get(key) for key in ("user", "user_profile", "bot_profile"))
    candidates = (
        names.get(user) if isinstance(user, str) else None,
        message.get("username"),
        name_of(profile) if isinstance(profile, Mapping) else None,
        bot.get("name") if isinstance(bot, Mapping) else None,
        user,
        message.get("bot_id"),
    )
    name = next((one for one in candidates if isinstance(one, str) and one.strip()), None)
    return None if name is None else speaker(name)


def details(message: Message) -> dict[str, str]:
    """Return the metadata of a message: reactions with their counts, the time of an edit, a bot."""
    edited = message.get("edited")
    return openai_items.metadata(
        {
            "reactions": ", ".join(
                f"{one.get('name')} {one.get('count', 1)}"
                for one in _mappings(message.get("reactions"))
            ),
            "edited": ts(edited) if isinstance(edited, Mapping) else None,
            "bot": message.get("bot_id"),
        }
    )


def readable(message: Message, names: Mapping[str, str]) -> str:
    """Return what a message says, with its attachments; pages that it links to are not its own."""
    said = message.get("text")
    lines = [said] if isinstance(said, str) and said.strip() else []
    lines += _attached(message)
    text = "\n".join(_REFERENCE.sub(lambda found: _named(found[1], names), line) for line in lines)
    return "\n".join(filter(None, (html.unescape(text), *_files(message))))


def _named(reference: str, names: Mapping[str, str]) -> str:
    """Return what stands for `@U…`, `#C…|name`, `!here`, `!subteam^S…|@team`, `https://…|words`."""
    target, _, label = reference.partition("|")
    if target.startswith("@"):
        return f"@{names.get(target[1:], label or target[1:])}"
    if target.startswith("#"):
        return f"#{label or target[1:]}"
    if target.startswith("!"):
        return label or f"@{target[1:].partition('^')[0]}"
    shown = target.removeprefix("mailto:").removeprefix("tel:")
    return shown if label in ("", shown, target) else f"{label} ({target})"


def _attached(message: Message) -> Iterator[str]:
    for attachment in _mappings(message.get("attachments")):
        if attachment.get("from_url") or attachment.get("original_url"):
            continue
        found = (attachment.get(key) for key in ("pretext", "title", "text"))
        said = [text for text in found if isinstance(text, str) and text.strip()]
        fallback = attachment.get("fallback")
        yield from said or ([fallback] if isinstance(fallback, str) else [])


def _files(message: Message) -> Iterator[str]:
    for file in _mappings(message.get("files") or [message.get("file")]):
        name = file.get("title") or file.get("name") or file.get("id")
        yield f"[file: {name}]" if isinstance(name, str) else "[file]"


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
