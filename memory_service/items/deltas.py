"""Deltas of a stream: values that arrive in pieces, put together again. Pure.

A delta has parts of the fields of a message. Texts are concatenated, objects are merged field by
field, and of other values the last one counts. A list of objects is a list of blocks, such as a
model's `reasoning_details`: a piece continues the newest block with its `index` (or, without one,
the last block) unless the two differ in what a block has only once.

The sender is not trusted: values that cannot be stored are replaced or left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from memory_service.tokens.slices import well_formed

MAX_DEPTH = 16
"""Values that are nested deeper in a message are left out."""

_MAX_ELEMENTS = 1_024

# Fields that are sent as a whole: they name a block, or prove it. A provider refuses a signature
# that was sent twice and concatenated.
_WHOLE = frozenset(
    {
        "data",
        "encrypted_content",
        "format",
        "id",
        "model",
        "name",
        "object",
        "role",
        "signature",
        "status",
        "thoughtSignature",
        "thought_signature",
        "type",
        "url",
    }
)
_SIGNATURES = ("signature", "thought_signature", "thoughtSignature")
# Fields that make a block without an index one that arrives in pieces.
_TEXTS = ("text", "summary", "thinking", "reasoning")


class Pieces(list[str]):
    """A text that arrives in pieces."""


def added(value: Any, piece: Any, name: str = "", depth: int = 0) -> Any:
    """Return the value of a field with a piece added; the value itself may be changed.

    A value is a result of this function, or None at the beginning.
    """
    if piece is None or depth > MAX_DEPTH:
        return value
    if isinstance(piece, str):
        return _added_text(value, piece, name)
    if isinstance(piece, Mapping):
        return _added_fields(value if isinstance(value, dict) else {}, piece, depth)
    if isinstance(piece, list):
        return _added_blocks(_blocks(value), piece, depth)
    return piece


def plain(value: Any) -> Any:
    """Return a value that `added` has made, as JSON that the log can hold."""
    if isinstance(value, Pieces):
        return storable("".join(value))
    if isinstance(value, Mapping):
        return {storable(name): plain(field) for name, field in value.items()}
    if isinstance(value, list):
        return [plain(element) for element in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def storable(text: str) -> str:
    """Return a text that the log can hold: models send NUL and halves of surrogate pairs."""
    return well_formed(text).replace("\x00", "\ufffd")


def _added_text(value: Any, piece: str, name: str) -> Any:
    if isinstance(value, list) and not isinstance(value, Pieces):
        return _added_blocks(value, [{"type": "text", "text": piece}] if piece else [], 0)
    if not isinstance(value, Pieces) or (piece and name in _WHOLE):
        return Pieces([piece])
    value.append(piece)
    return value


def _added_fields(value: dict[str, Any], piece: Mapping[str, Any], depth: int) -> dict[str, Any]:
    for name, field in piece.items():
        extended = added(value.get(name), field, name, depth + 1)
        if extended is not None:
            value[name] = extended
    return value


def _blocks(value: Any) -> list[Any]:
    """Return a value as a list of blocks; a text before it becomes the first one."""
    if isinstance(value, Pieces):
        return [{"type": Pieces(["text"]), "text": value}] if any(value) else []
    return value if isinstance(value, list) else []


def _added_blocks(blocks: list[Any], pieces: list[Any], depth: int) -> list[Any]:
    for piece in pieces:
        block = _continued_block(blocks, piece) if isinstance(piece, Mapping) else None
        if block is not None:
            _added_fields(block, piece, depth + 1)
        elif len(blocks) < _MAX_ELEMENTS:
            element = added(None, piece, depth=depth + 1)
            blocks += [] if element is None else [element]
    return blocks


def _continued_block(blocks: list[Any], piece: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the block that a piece continues; None if it begins a block.

    Some servers give every block the index 0: a block of another type, or one that has its
    signature, is complete.
    """
    index = piece.get("index")
    same_index = (
        block
        for block in reversed(blocks)
        if isinstance(block, dict) and block.get("index") == index
    )
    block = next(same_index, None) if index is not None else (blocks or [None])[-1]
    if not isinstance(block, dict) or _differ(block, piece):
        return None
    if index is None and not any(name in block and name in piece for name in _TEXTS):
        return None
    is_complete = any(block.get(name) for name in _SIGNATURES)
    return None if is_complete and any(piece.get(name) for name in _TEXTS) else block


def _differ(block: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    """Return whether a block and a piece have different values where a block has only one."""
    for name, field in piece.items():
        value = block.get(name)
        if isinstance(field, Mapping) and isinstance(value, Mapping):
            if _differ(value, field):
                return True
        elif name in _WHOLE and field and value and plain(value) != field:
            return True
    return False
