"""Kinds of items: what this service has to know of each of OpenAI's item types.

The facts are in `data/item_kinds.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from memory_service.core.data_files import read_toml


@dataclass(frozen=True, slots=True)
class ItemKind:
    """What the service knows about the items of one type; the defaults hold for unknown types.

    `text` are the paths of the fields with an item's words, as sequences of names.
    """

    id_prefix: str = "item"
    text: tuple[tuple[str, ...], ...] = (("text",), ("content",), ("output",))
    needs_call_id: bool = False
    needs_name: bool = False
    shows_status: bool = False


_UNKNOWN = ItemKind()


def role_of(item: Mapping[str, Any]) -> str:
    """Return the role of a message, or the role that an item of another type has in a dialogue."""
    role = item.get("role")
    if isinstance(role, str):
        return role
    kind = str(item.get("type"))
    if kind.endswith("_output"):
        return "tool"
    return "user" if kind == "mcp_approval_response" else "assistant"


@cache
def item_kinds() -> Mapping[str, ItemKind]:
    """Return the kinds that the data file lists, by type."""
    kinds: dict[str, ItemKind] = {}
    for name, fields in read_toml("memory_service.items", "item_kinds.toml").items():
        paths = fields.pop("text", None)
        text = _UNKNOWN.text if paths is None else tuple(tuple(path.split(".")) for path in paths)
        kinds[name] = ItemKind(text=text, **fields)
    return kinds


def item_kind(name: str) -> ItemKind:
    """Return the kind of a type; an unknown type has the defaults."""
    return item_kinds().get(name, _UNKNOWN)
