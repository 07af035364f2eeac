"""Tool groups: an assistant's tool calls with all their results, kept, cut and deleted together.

The group of a turn is the key of the turn that made its first call. A result joins the group of its
call. Calls that directly follow each other as items (not as messages) are one group, because one
answer of a model made them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memory_service.core.models import NewTurn, Turn


def assign_tool_groups(
    turns: Sequence[NewTurn],
    keys: Sequence[int],
    parent: Turn | None,
    group_of_call: Mapping[str, int | None],
) -> list[int | None]:
    """Return the group of each appended turn, None where it belongs to none.

    `keys` are the keys of `turns`, `parent` is the turn above the first, and `group_of_call` has
    the groups of the stored calls that the turns answer, by call id.
    """
    groups_of_calls = dict(group_of_call)
    above = parent.tool_group_key if parent is not None and _is_call_item(parent) else None
    groups: list[int | None] = []
    for turn, key in zip(turns, keys, strict=True):
        makes_calls = bool(turn.calls)
        if turn.answers is not None:
            group = groups_of_calls.get(turn.answers)
        elif not makes_calls:
            group = None
        elif above is not None and turn.kind != "message":
            group = above
        else:
            group = key
        groups_of_calls.update(dict.fromkeys(turn.calls, group or key))
        above = group if makes_calls and turn.kind != "message" else None
        groups.append(group)
    return groups


def _is_call_item(turn: Turn) -> bool:
    """Return whether a stored turn is a call by itself, not a message with calls."""
    return turn.kind != "message" and turn.role == "assistant" and turn.tool_group_key is not None
