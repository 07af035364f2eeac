"""Token budgets: the size of a prompt, and what its fixed parts leave for the others. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from memory_service.core.errors import ContextLengthExceeded
from memory_service.items.chat_messages import Message
from memory_service.prompts.request import PromptDefaults, PromptRequest
from memory_service.tokens.counting import PRIMING_TOKENS, TokenCounter, count_message, count_tools

RECENT_SHARE = 0.6
"""The share of the free tokens that recent turns always get. The recalled block may take the rest,
and the tokens that the recent turns leave unused."""

_PREAMBLE_PART = 4
"""A client's preamble may take at most one part in four of the free tokens."""

_RESERVED_PART = 4
"""By default, at most one token in four is reserved for the answer."""


class _Size(NamedTuple):
    """The largest prompt as the upstream counts it; with its answer, if `counts_answer`.

    It `may_grow` if nobody has stated it.
    """

    tokens: int
    counts_answer: bool
    may_grow: bool


def _size(request: PromptRequest, defaults: PromptDefaults) -> _Size:
    """Return the budget of the request, else that of the settings, within the model's window."""
    if request.token_budget:
        return _Size(request.token_budget, counts_answer=True, may_grow=False)
    window = defaults.context_window(request.model, request.upstream_name)
    if defaults.token_budget and defaults.token_budget <= window.tokens:
        return _Size(defaults.token_budget, counts_answer=True, may_grow=False)
    return _Size(window.tokens, window.counts_answer, window.is_assumed)


@dataclass(frozen=True, slots=True)
class Budget:
    """The tokens of a prompt with its answer: `reserved` of the `total` are for the answer."""

    total: int
    reserved: int

    @classmethod
    def of(cls, request: PromptRequest, defaults: PromptDefaults, fixed_tokens: int) -> Self:
        """Return the budget of a request whose fixed parts have `fixed_tokens`, in our tokens.

        A request for the upstream may allow its answer more than the window has room for: then less
        is reserved. If the window is only assumed, the budget grows with the fixed parts.
        """
        size = _size(request, defaults)
        least = min(defaults.reserved_output_tokens, size.tokens // _RESERVED_PART)
        wanted = request.max_output_tokens
        budget = cls._of(size, least if wanted is None else wanted, request.correction)
        if fixed_tokens <= budget.usable or not request.is_forwarded:
            return budget
        smaller = cls._of(size, min(least, budget.reserved), request.correction)
        if fixed_tokens > smaller.usable and size.may_grow:
            return cls(fixed_tokens + smaller.reserved, smaller.reserved)
        return smaller

    @classmethod
    def _of(cls, size: _Size, reserved: int, correction: float) -> Self:
        total = size.tokens if size.counts_answer else size.tokens + reserved
        return cls(reserved + int((total - reserved) / correction), reserved)

    @property
    def usable(self) -> int:
        """The tokens that the prompt itself may take."""
        return self.total - self.reserved


@dataclass(frozen=True, slots=True)
class FixedParts:
    """The parts that every prompt for a request has, with their tokens.

    The `preamble` is what the client wrote before its history. It counts as input.
    """

    system: Sequence[Message]
    input: Sequence[Message]
    tools: Sequence[Mapping[str, Any]]
    system_tokens: int
    input_tokens: int
    tools_tokens: int
    preamble: Sequence[Message] = ()

    @property
    def tokens(self) -> int:
        """The sum, with the tokens that begin the reply."""
        return PRIMING_TOKENS + self.system_tokens + self.input_tokens + self.tools_tokens


def fixed_parts(
    system: Sequence[Message],
    input_messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]],
    counter: TokenCounter,
) -> FixedParts:
    """Count the fixed parts."""
    return FixedParts(
        system=system,
        input=input_messages,
        tools=tools,
        system_tokens=sum(count_message(message, counter) for message in system),
        input_tokens=sum(count_message(message, counter) for message in input_messages),
        tools_tokens=count_tools(tools, counter),
    )


def check_fixed_parts(parts: FixedParts, budget: Budget) -> None:
    """Raise ContextLengthExceeded if the fixed parts alone do not fit."""
    if parts.tokens > budget.usable:
        raise ContextLengthExceeded(
            f"The budget is {budget.total} tokens. The system message has {parts.system_tokens}, "
            f"the input {parts.input_tokens}, the tools {parts.tools_tokens}, and "
            f"{budget.reserved} are reserved for the answer. Shorten one of them, or raise "
            "'token_budget'.",
            param="input",
        )


def with_preamble(
    fixed: FixedParts, preamble: Sequence[Message], budget: Budget, counter: TokenCounter
) -> FixedParts:
    """Return the fixed parts with a preamble, if it takes at most a part of the free tokens."""
    tokens = sum(count_message(message, counter) for message in preamble)
    if tokens > (budget.usable - fixed.tokens) // _PREAMBLE_PART:
        return fixed
    return replace(fixed, preamble=preamble, input_tokens=fixed.input_tokens + tokens)


def recalled_share(free: int, recent: int) -> int:
    """Return how many of the `free` tokens the recalled block may take.

    That is its own share, or more if the recent turns take less than theirs.
    """
    return max(int(free * (1.0 - RECENT_SHARE)), free - recent)
