"""Count the tokens of a request's own input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from memory_service.items.strict_json import dumps
from memory_service.responses.request import ResponseRequest, input_items
from memory_service.tokens.counting import TokenCounter, count_messages


def count_input(body: Mapping[str, Any], counter: Callable[[str | None], TokenCounter]) -> int:
    """Return the tokens of instructions, input and tools, without what memory adds."""
    request = ResponseRequest(text=dumps(body), body=body, items=input_items(body))
    return count_messages(request.chat_messages, request.tools, counter(request.model))
