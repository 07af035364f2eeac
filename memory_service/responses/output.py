"""Collect the output of a response from its events, while they are passed on. Pure.

The upstream is not trusted: events without the expected form are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memory_service.responses.events import ARGUMENT_FIELDS, TERMINAL, Event
from memory_service.responses.objects import Item, mappings

_TEXT_DELTAS = {"response.output_text.delta": "text", "response.refusal.delta": "refusal"}
_ARGUMENT_DELTAS = {
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}


class OutputCollector:
    """Collects a response: its last state, and the items whose parts have arrived."""

    def __init__(self) -> None:
        self._items: dict[int, dict[str, Any]] = {}
        self._response: Mapping[str, Any] | None = None
        self.has_ended = False
        self.has_failed = False

    def add(self, event: Event) -> None:
        """Add an event."""
        kind, index = event.get("type"), event.get("output_index")
        response, item = event.get("response"), event.get("item")
        self.has_failed = self.has_failed or kind == "error"
        if isinstance(response, Mapping):
            self._response = response
            self.has_ended = self.has_ended or kind in TERMINAL
        elif not isinstance(index, int):
            return
        elif isinstance(item, Mapping):
            self._items[index] = dict(item)
        elif index in self._items:
            self._extend(self._items[index], event)

    def take(self, response: Mapping[str, Any]) -> None:
        """Take a response that is complete."""
        self._response, self.has_ended = response, True

    @property
    def items(self) -> list[Item]:
        """The items of the output; those that were interrupted are marked as incomplete."""
        final = self._response.get("output") if self._response and self.has_ended else None
        if final:
            return list(mappings(final))
        items = [item for _, item in sorted(self._items.items()) if _has_content(item)]
        return [_interrupted(item) for item in items]

    @property
    def response(self) -> Mapping[str, Any] | None:
        """The response as its last event has it; None if no such event has arrived."""
        return self._response

    @property
    def input_tokens(self) -> int | None:
        """The tokens of the prompt, as the upstream counted them."""
        usage = (self._response or {}).get("usage")
        tokens = usage.get("input_tokens") if isinstance(usage, Mapping) else None
        return tokens if type(tokens) is int else None

    def _extend(self, item: dict[str, Any], event: Event) -> None:
        kind, delta = str(event["type"]), event.get("delta")
        part = event.get("part")
        if kind == "response.content_part.added" and isinstance(part, Mapping):
            item["content"] = [*(item.get("content") or ()), dict(part)]
        elif kind == "response.content_part.done" and isinstance(part, Mapping):
            item["content"] = [*(item.get("content") or ())[:-1], dict(part)]
        elif not isinstance(delta, str):
            return
        elif kind in _ARGUMENT_DELTAS:
            name = _ARGUMENT_DELTAS[kind]
            item[name] = f"{item.get(name) or ''}{delta}"
        elif kind in _TEXT_DELTAS and item.get("content"):
            name, last = _TEXT_DELTAS[kind], item["content"][-1]
            last[name] = f"{last.get(name) or ''}{delta}"


def _has_content(item: Item) -> bool:
    """Return whether an item has anything worth keeping; a call needs all of its arguments."""
    if item.get("status") == "in_progress" and item.get("type") in ARGUMENT_FIELDS:
        return False
    return bool(item.get("content")) or item.get("type") != "message"


def _interrupted(item: Item) -> Item:
    return {**item, "status": "incomplete"} if item.get("status") == "in_progress" else item
