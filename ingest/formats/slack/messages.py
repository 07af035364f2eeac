"""One Slack message in readable form: speaker, time and text, with names in place of ids."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ingest.items.fields import metadata_of, microseconds, speaker_name

Message = Mapping[str, Any]

_REFERENCE = re.compile(r"<([^<>\n]+)>")
_TIMESTAMP = re.compile(r"[0-9]{1,11}(?:\.[0-9]{1,9})?")


def timestamp(message: Message, key: str = "ts") -> str | None:
    """Return a time as Slack writes it, "1718355600.000100": the id of a message in a channel."""
    value = message.get(key)
    return value if isinstance(value, str) and _TIMESTAMP.fullmatch(value) else None


def timestamp_microseconds(text: str) -> int | None:
    """Return a timestamp in microseconds since the epoch; None if that is out of range."""
    seconds, _, fraction = text.partition(".")
    whole = microseconds(int(seconds))
    return None if whole is None else whole + int(f"{fraction[:6]:0<6}")


def user_name(user: Mapping[str, Any]) -> str | None:
    """Return the name that is shown for a user, else the name of the account."""
    profile = user.get("profile")
    holders = [profile, user] if isinstance(profile, Mapping) else [user]
    names = (holder.get(key) for holder in holders for key in ("display_name", "real_name", "name"))
    return next((name for name in names if isinstance(name, str) and name.strip()), None)


def speaker_of(message: Message, names: Mapping[str, str]) -> str | None:
    """Return the name of the speaker: a user of the workspace, a bot, or a guest."""
    user, profile, bot = (message.get(key) for key in ("user", "user_profile", "bot_profile"))
    candidates = (
        names.get(user) if isinstance(user, str) else None,
        message.get("username"),
        user_name(profile) if isinstance(profile, Mapping) else None,
        bot.get("name") if isinstance(bot, Mapping) else None,
        user,
        message.get("bot_id"),
    )
    name = next((name for name in candidates if isinstance(name, str) and name.strip()), None)
    return None if name is None else speaker_name(name)


def message_metadata(message: Message) -> dict[str, str]:
    """Return the metadata of a message: reactions with their counts, the time of an edit, a bot."""
    edited = message.get("edited")
    return metadata_of(
        {
            "reactions": ", ".join(
                f"{reaction.get('name')} {reaction.get('count', 1)}"
                for reaction in _mappings(message.get("reactions"))
            ),
            "edited": timestamp(edited) if isinstance(edited, Mapping) else None,
            "bot": message.get("bot_id"),
        }
    )


def readable_text(message: Message, names: Mapping[str, str]) -> str:
    """Return the text of a message with its attachments; previews of linked pages are left out."""
    own = message.get("text")
    lines = [own] if isinstance(own, str) and own.strip() else []
    lines += _attachment_texts(message)
    text = "\n".join(
        _REFERENCE.sub(lambda match: _readable_reference(match[1], names), line) for line in lines
    )
    return "\n".join(filter(None, (html.unescape(text), *_file_markers(message))))


def _readable_reference(reference: str, names: Mapping[str, str]) -> str:
    """Return the text for `@U…`, `#C…|name`, `!here`, `!subteam^S…|@team`, `https://…|words`."""
    target, _, label = reference.partition("|")
    if target.startswith("@"):
        return f"@{names.get(target[1:], label or target[1:])}"
    if target.startswith("#"):
        return f"#{label or target[1:]}"
    if target.startswith("!"):
        return label or f"@{target[1:].partition('^')[0]}"
    shown = target.removeprefix("mailto:").removeprefix("tel:")
    return shown if label in ("", shown, target) else f"{label} ({target})"


def _attachment_texts(message: Message) -> Iterator[str]:
    for attachment in _mappings(message.get("attachments")):
        if attachment.get("from_url") or attachment.get("original_url"):
            continue
        values = (attachment.get(key) for key in ("pretext", "title", "text"))
        texts = [text for text in values if isinstance(text, str) and text.strip()]
        fallback = attachment.get("fallback")
        yield from texts or ([fallback] if isinstance(fallback, str) else [])


def _file_markers(message: Message) -> Iterator[str]:
    for file in _mappings(message.get("files") or [message.get("file")]):
        name = file.get("title") or file.get("name") or file.get("id")
        yield f"[file: {name}]" if isinstance(name, str) else "[file]"


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects in a list; [] for anything else."""
    entries = value if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, Mapping)]
