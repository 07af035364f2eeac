"""Token counters, and the tokens of a message or of a whole prompt. Pure.

Costs of a prompt are additive: `count_messages(messages, tools, counter)` is exactly
`PRIMING_TOKENS + count_tools(tools, counter)` plus `count_message` of each message. A prompt is
therefore built by adding up parts that were counted once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

from memory_service.tokens.media_parts import media_of, media_tokens
from memory_service.tokens.media_rules import MediaRules, default_media_rules

# The chat format's own tokens, by the formula of OpenAI's cookbook ("How to count tokens with
# tiktoken"): three around every message, one more for a name, three which start the reply.
MESSAGE_TOKENS: Final = 3
NAME_TOKENS: Final = 1
PRIMING_TOKENS: Final = 3

SPOKEN_ANSWER_SECONDS: Final = 30
"""The assumed length of an answer's sound, which is sent back by its id."""

# OpenAI does not publish how tools are written into a prompt. The cookbook measures 7 + 12 tokens
# around a function plus 3 a property on top of its words; the JSON text with its quotes and braces
# has more tokens than the properties' share, so the sum with these two constants is never too low.
TOOLS_TOKENS: Final = 12
TOOL_TOKENS: Final = 12
TOOL_CALL_TOKENS: Final = 8


class TokenCounter(Protocol):
    """Counts the tokens of plain text; counts of one name are comparable."""

    @property
    def name(self) -> str:
        """Return the counter's name, such as "tiktoken:o200k_base" or "offline:llama+5%"."""

    def count(self, text: str) -> int:
        """Return the tokens of a text: 0 if it is empty, else at least 1."""


@dataclass(frozen=True, slots=True)
class ModelCounter:
    """The counter for a model: it counts text as `text` does, and knows what media cost."""

    text: TokenCounter
    media: MediaRules

    @property
    def name(self) -> str:
        """The name of the text's counter."""
        return self.text.name

    def count(self, text: str) -> int:
        """Return the tokens of a text."""
        return self.text.count(text)


def count_messages(
    messages: Iterable[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    counter: TokenCounter,
) -> int:
    """Return the tokens of a chat-completions prompt, the start of the reply included."""
    fixed = PRIMING_TOKENS + count_tools(tools, counter)
    return fixed + sum(count_message(message, counter) for message in messages)


def count_message(message: Mapping[str, Any], counter: TokenCounter) -> int:
    """Return the tokens of one message with its share of the chat format.

    Unknown fields count too: an upstream may put them into the prompt, and a count that is too high
    does less harm than one that is too low.
    """
    fields = (_count_field(name, value, counter) for name, value in message.items())
    return MESSAGE_TOKENS + sum(fields)


def count_tools(tools: Sequence[Mapping[str, Any]] | None, counter: TokenCounter) -> int:
    """Return an upper estimate of the tokens of the tools' definitions; 0 without tools."""
    if not tools:
        return 0
    return TOOLS_TOKENS + sum(TOOL_TOKENS + counter.count(_as_text(tool)) for tool in tools)


def _count_field(name: str, value: Any, counter: TokenCounter) -> int:
    """Return the tokens of one field of a message."""
    if value is None:
        return 0
    count_item = _LIST_ITEMS.get(name)
    if count_item and isinstance(value, list):
        return sum(count_item(item, counter) for item in value)
    if name == "function_call":
        return _count_call(value, counter)
    if name == "audio":
        return media_rules_of(counter).audio_tokens(SPOKEN_ANSWER_SECONDS)
    return (NAME_TOKENS if name == "name" else 0) + counter.count(_as_text(value))


def _count_part(part: Any, counter: TokenCounter) -> int:
    """Return the tokens of one part of a content list."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in {"text", "refusal"}:
        return counter.count(_as_text(part.get(kind)))
    media = media_of(part)
    if media is None:
        return counter.count(_as_text(part))
    return counter.count(media.text) + media_tokens(media, media_rules_of(counter))


def media_rules_of(counter: TokenCounter) -> MediaRules:
    """Return what media cost for the model of a counter."""
    return counter.media if isinstance(counter, ModelCounter) else default_media_rules()


def _count_call(call: Any, counter: TokenCounter) -> int:
    """Return the tokens of a tool call: its name, its arguments and all other texts in it."""
    return TOOL_CALL_TOKENS + sum(counter.count(text) for text in _texts(call))


_LIST_ITEMS: Final = MappingProxyType({"content": _count_part, "tool_calls": _count_call})


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts inside nested objects, without their keys."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    else:
        yield _as_text(value)


def _as_text(value: Any) -> str:
    """Return a text as it is, nothing for null, and compact JSON for everything else."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
