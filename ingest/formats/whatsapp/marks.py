"""The text of a message: WhatsApp's own words in place of media, and about edits and deletions."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

LEFT_TO_RIGHT = "\u200e"
"""On some phones, precedes a text that WhatsApp itself put into a message."""

_EDITED = re.compile(r"\s*<([^<>\n]{4,60})>$")
_ENCLOSED = re.compile(r"<([^<>\n]{2,80})>")
_ATTACHED_ENCLOSED = re.compile(r"<([^<>:\n]{2,20}: [^<>\n]+\.\w{2,5})>")
_ATTACHED_BEFORE = re.compile(r"(\S[^\n]*\.\w{2,5} \([^()\n]{4,40}\))(?=\n|$)")
_KEPT = re.compile(r"(?:POLL|OPTION|Location|Standort|Ubicación|Localisation|Posizione):|https?://")


class Phrases(NamedTuple):
    """The phrases of `phrases.toml`, which explains each list."""

    omitted: frozenset[str]
    omitted_unspaced: tuple[str, ...]
    deleted: frozenset[str]
    edited: tuple[str, ...]


class MessageText(NamedTuple):
    """The text of a message, of which kind that is, and whether the message was edited."""

    kind: Literal["text", "media", "system", "deleted"]
    text: str
    is_edited: bool = False


@cache
def load_phrases() -> Phrases:
    """Return the phrases that WhatsApp writes in the languages of phones."""
    lists = tomllib.loads(Path(__file__).with_name("phrases.toml").read_text("utf-8"))
    return Phrases(
        omitted=frozenset(lists["omitted"]),
        omitted_unspaced=tuple(lists["omitted_unspaced"]),
        deleted=frozenset(lists["deleted"]),
        edited=tuple(lists["edited"]),
    )


def read_text(raw: str) -> MessageText:
    """Return the text of a message; media leave a marker in brackets, in the words of the file."""
    is_own = raw.startswith(LEFT_TO_RIGHT)
    text = raw.replace(LEFT_TO_RIGHT, "").strip()
    if text.casefold().rstrip(".!") in load_phrases().deleted:
        return MessageText("deleted", text)
    edited = _EDITED.search(text)
    if edited and any(stem in edited[1].casefold() for stem in load_phrases().edited):
        return MessageText("text", text[: edited.start()], is_edited=True)
    marked = _with_media_marker(text, is_own=is_own)
    if marked is not None:
        return MessageText("media", marked)
    return MessageText("system" if is_own and not _KEPT.match(text) else "text", text)


def _with_media_marker(text: str, *, is_own: bool) -> str | None:
    """Return a text with the words for media in brackets; None if there are none."""
    if whole := _ENCLOSED.fullmatch(text):
        return f"[{whole[1]}]"
    if attached := _ATTACHED_BEFORE.match(text):
        return f"[{attached[1]}]{text[attached.end() :]}"
    if _ATTACHED_ENCLOSED.search(text):
        return _ATTACHED_ENCLOSED.sub(r"[\1]", text)
    return f"[{text}]" if _is_omitted(text) and (is_own or text.endswith(" omitted")) else None


def _is_omitted(text: str) -> bool:
    words, phrases = text.casefold().split(), load_phrases()
    is_phrase = 1 < len(words) <= 5 and bool(phrases.omitted & {words[0], words[-1]})
    return is_phrase or (
        len(text) < 20 and any(phrase in text for phrase in phrases.omitted_unspaced)
    )
