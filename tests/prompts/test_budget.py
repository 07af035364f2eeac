"""Budgets: the size of a prompt, and the tokens that its fixed parts leave."""

from __future__ import annotations

import re
from typing import Any

import pytest

from memory_service.core.errors import ContextLengthExceeded
from memory_service.prompts.budget import Budget, fixed_parts, recalled_share
from memory_service.prompts.request import PromptDefaults, PromptRequest
from memory_service.tokens.counting import count_messages
from tests.support.factories import Words, message

SYSTEM = [message("be brief", "system")]
INPUT = [message("where is it?")]
TOOLS = [{"type": "function", "function": {"name": "look_up"}}]


def defaults(token_budget: int | None = None) -> PromptDefaults:
    return PromptDefaults(
        token_budget=token_budget,
        reserved_output_tokens=300,
        recent_turns=20,
        top_k=10,
        context_window=lambda model: 8_000 if model else 1_000,
    )


@pytest.mark.parametrize(
    ("fields", "default", "budget"),
    [
        ({"token_budget": 2_000, "max_output_tokens": 50}, None, Budget(2_000, 50)),
        ({"max_output_tokens": 0}, 3_000, Budget(3_000, 0)),
        ({"model": "gpt-4o"}, None, Budget(8_000, 300)),
        ({}, None, Budget(1_000, 250)),
        ({"token_budget": 1_100, "max_output_tokens": 100, "correction": 2.0}, 1, Budget(600, 100)),
    ],
)
def test_budget_of_request(fields: dict[str, Any], default: int | None, budget: Budget) -> None:
    request = PromptRequest(INPUT, **fields)
    assert Budget.of(request, defaults(default)) == budget


def test_fixed_parts_that_fill_the_budget_exactly() -> None:
    whole = count_messages([*SYSTEM, *INPUT], TOOLS, Words())
    parts = fixed_parts(SYSTEM, INPUT, TOOLS, Budget(total=whole + 10, reserved=10), Words())
    assert parts.tokens == whole


def test_fixed_parts_over_budget_are_refused_with_counts() -> None:
    whole = count_messages([*SYSTEM, *INPUT], TOOLS, Words())
    budget = Budget(total=whole + 9, reserved=10)
    with pytest.raises(ContextLengthExceeded) as caught:
        fixed_parts(SYSTEM, INPUT, TOOLS, budget, Words())
    counts = [int(number) for number in re.findall(r"\d+", caught.value.message)]
    # Three of the prompt's tokens begin the reply and belong to no part.
    assert (counts[0], counts[4], sum(counts[1:4]) + 3) == (whole + 9, 10, whole)
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")


@pytest.mark.parametrize(("recent", "share"), [(0, 1_000), (500, 500), (600, 400), (900, 400)])
def test_recalled_block_share_of_free_tokens(recent: int, share: int) -> None:
    assert recalled_share(1_000, recent) == share
