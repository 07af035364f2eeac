"""Media in the JSON of items: images, audio and files as base64, which are stored apart. Pure.

A **medium** is the base64 of a data URL, or base64 alone, in a field that holds such data. It is
cut out of the JSON of an item, and its position is kept. Equal media are stored once, however often
they are sent. The JSON can be joined again byte for byte: base64 with another spelling than the
canonical one stays where it is.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from memory_service.items.strict_json import dumps, escaped_surrogates

MIN_CHARS: Final = 1_024
"""Shorter base64 stays in the JSON."""

_FIELDS: Final = (
    *("url", "image_url", "video_url", "file_url"),
    *("data", "file_data", "image", "b64_json", "result"),
)
"""Fields that hold media. A data URL in a field of text is text."""

# JSON libraries of PHP and .NET escape two characters of base64.
_SIGNS: Final = (("+", r"\u002B", r"\u002b"), ("/", r"\/", r"\u002F", r"\u002f"))
_STYLES: Final = tuple(product(*_SIGNS))
_ESCAPES: Final = [(escape, signs[0]) for signs in _SIGNS for escape in signs[1:]]
_PLAIN_STYLE: Final = 0

_URL: Final = r'data:[^"]{0,255}?;base64,'
_BEGINNING: Final = rf'"(?:{"|".join(_FIELDS)})"[ \t\r\n]*:[ \t\r\n]*"(?:{_URL})?'
_RUN: Final = rf"(?:[A-Za-z0-9+/]|\\/|\\u002[bBfF]){{{MIN_CHARS},}}+={{0,2}}+"
_IN_JSON: Final = re.compile(rf'{_BEGINNING}({_RUN})(?=")')
_SLOT: Final = re.compile(rf'{_BEGINNING}(?=")')
_IN_VALUE: Final = re.compile(rf"(?:{_URL})?([A-Za-z0-9+/]{{{MIN_CHARS},}}+={{0,2}}+)")

_MARK: Final = "sha256:"
_KINDS: Final = {"image": "image", "audio": "audio", "screenshot": "image"}


@dataclass(frozen=True, slots=True)
class Medium:
    """A medium that was cut out of the JSON of an item.

    `start` is its position in the JSON without media, in characters. `style` is the number of the
    spelling of `+` and `/`.
    """

    start: int
    style: int
    content: bytes

    @property
    def hash(self) -> bytes:
        """The hash under which the content is stored."""
        return media_hash(self.content)


@dataclass(frozen=True, slots=True)
class CutJson:
    """The JSON of an item without its media, and the media in their order."""

    raw: str
    media: Sequence[Medium] = ()


def media_hash(content: bytes) -> bytes:
    """Return SHA-256 of a content's base64: a message that is sent again is not decoded for it."""
    return hashlib.sha256(b64encode(content)).digest()


def cut_media(raw: str) -> CutJson:
    """Return the JSON of an item without its media."""
    if len(raw) < MIN_CHARS:
        return CutJson(raw)
    pieces: list[str] = []
    media: list[Medium] = []
    begin = length = 0
    for match in _IN_JSON.finditer(raw):
        decoded = _decoded(match[1])
        if decoded is None:
            continue
        piece = raw[begin : match.start(1)]
        length += len(piece)
        pieces.append(piece)
        media.append(Medium(length, *decoded))
        begin = match.end(1)
    return CutJson("".join([*pieces, raw[begin:]]), media) if media else CutJson(raw)


def may_have_media(raw: str) -> bool:
    """Return whether the stored JSON of an item has a place from which a medium may be cut."""
    return ('base64,"' in raw or '""' in raw) and _SLOT.search(raw) is not None


def join_media(raw: str, media: Sequence[Medium]) -> str:
    """Return the JSON of an item as it was sent."""
    return _inserted(raw, [(medium.start, _encoded(medium)) for medium in media])


def join_hashes(raw: str, hashes: Sequence[tuple[int, bytes]]) -> str:
    """Return the JSON of an item with marks instead of media; `hashes` are (start, hash).

    Its message has the same hash as the message that was sent.
    """
    return _inserted(raw, [(start, _MARK + digest.hex()) for start, digest in hashes])


def leave_out_media(raw: str, starts: Sequence[int]) -> str:
    """Return the JSON of an item with a text for each part that has a medium."""
    mark = f"{_MARK}left out"
    value = json.loads(_inserted(raw, [(start, mark) for start in starts]))
    return escaped_surrogates(dumps(_without_marked(value, mark)))


def media_mark(name: str, value: str) -> str:
    """Return the value of a field with a mark instead of a medium, for hashes of messages."""
    if len(value) < MIN_CHARS or name not in _FIELDS:
        return value
    match = _IN_VALUE.fullmatch(value)
    if match is None or not _is_canonical(match[1]):
        return value
    return value[: match.start(1)] + _MARK + hashlib.sha256(match[1].encode()).hexdigest()


def _decoded(run: str) -> tuple[int, bytes] | None:
    """Return the style of base64 and its content; None if it would not be encoded the same way."""
    style, plain = _PLAIN_STYLE, run
    if "\\" in run:
        for escape, sign in _ESCAPES:
            plain = plain.replace(escape, sign)
        styles = (number for number in range(len(_STYLES)) if _styled(plain, number) == run)
        style = next(styles, -1)
    if style < 0 or not _is_canonical(plain):
        return None
    return style, b64decode(plain)


def _is_canonical(base64: str) -> bool:
    """Return whether base64 of valid characters is what its content is encoded to."""
    if len(base64) % 4:
        return False
    try:
        return b64encode(b64decode(base64[-4:], validate=True)).decode() == base64[-4:]
    except binascii.Error:
        return False


def _encoded(medium: Medium) -> str:
    return _styled(b64encode(medium.content).decode(), medium.style)


def _styled(base64: str, style: int) -> str:
    plus, slash = _STYLES[style]
    return base64 if style == _PLAIN_STYLE else base64.replace("+", plus).replace("/", slash)


def _inserted(raw: str, texts: Sequence[tuple[int, str]]) -> str:
    """Return the JSON with texts at positions that count its own characters."""
    pieces: list[str] = []
    begin = 0
    for start, text in texts:
        pieces += [raw[begin:start], text]
        begin = start
    return "".join([*pieces, raw[begin:]])


def _without_marked(value: Any, mark: str) -> Any:
    """Return a value without the marked strings; a part of a content with one becomes a text."""
    if isinstance(value, str):
        return value.replace(mark, "")
    if isinstance(value, list):
        return [_unmarked_part(element, mark) for element in value]
    if isinstance(value, Mapping):
        return {name: _without_marked(field, mark) for name, field in value.items()}
    return value


def _unmarked_part(part: Any, mark: str) -> Any:
    if not (isinstance(part, Mapping) and "type" in part and mark in dumps(part)):
        return _without_marked(part, mark)
    kind = str(part["type"])
    word = next((word for sign, word in _KINDS.items() if sign in kind), "file")
    return {"type": "input_text" if kind.startswith("input_i") else "text", "text": f"[{word}]"}
