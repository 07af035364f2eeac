"""Budgets: the size of a prompt, and the tokens that its fixed parts leave."""

from __future__ import annotations

import re
from typing import Any

import pytest

from memory_service.core.errors import ContextLengthExceeded
from memory_service.prompts.budget import Budget, check_fixed_parts, fixed_parts, recalled_share
from memory_service.prompts.request import PromptDefaults, PromptRequest
from memory_service.tokens.context_window import ContextWindow
from memory_service.tokens.counting import count_messages
from tests.support.factories import Words, message

SYSTEM = [message("be brief", "system")]
INPUT = [message("where is it?")]
WINDOWS = {
    None: ContextWindow(1_000, "default"),
    "m": ContextWindow(8_000, "table"),
    "local": ContextWindow(8_000, "list"),
    "prompt-only": ContextWindow(8_000, "refusal", counts_answer=False),
}
TOOLS = [{"type": "function", "function": {"name": "look_up"}}]


def defaults(token_budget: int | None = None) -> PromptDefaults:
    return PromptDefaults(
        token_budget=token_budget,
        reserved_output_tokens=300,
        recent_tokens=4_000,
        recent_turns=20,
        top_k=10,
        context_window=lambda model, _: WINDOWS[model],
    )


@pytest.mark.parametrize(
    ("fields", "default", "budget"),
    [
        ({"token_budget": 2_000, "max_output_tokens": 50}, None, Budget(2_000, 50)),
        ({"max_output_tokens": 0, "model": "m"}, 3_000, Budget(3_000, 0)),
        ({"max_output_tokens": 0, "model": "m"}, 9_000, Budget(8_000, 0)),
        ({"model": "m"}, None, Budget(8_000, 300)),
        ({"model": "prompt-only"}, None, Budget(8_300, 300)),
        ({"model": "prompt-only"}, 8_000, Budget(8_000, 300)),
        ({}, None, Budget(1_000, 250)),
        ({"token_budget": 1_100, "max_output_tokens": 100, "correction": 2.0}, 1, Budget(600, 100)),
    ],
)
def test_budget_of_request(fields: dict[str, Any], default: int | None, budget: Budget) -> None:
    request = PromptRequest(INPUT, **fields)
    assert Budget.of(request, defaults(default), 0) == budget


@pytest.mark.parametrize(
    ("fields", "fixed", "budget"),
    [
        ({"model": "m", "max_output_tokens": 7_000}, 1_000, Budget(8_000, 7_000)),
        ({"model": "m", "max_output_tokens": 7_000}, 1_001, Budget(8_000, 300)),
        ({"model": "m", "max_output_tokens": 131_072}, 10, Budget(8_000, 300)),
        ({"model": "m", "max_output_tokens": 0}, 9_000, Budget(9_000, 0)),
        ({"model": "m"}, 9_000, Budget(9_300, 300)),
        ({"model": "local"}, 9_000, Budget(8_000, 300)),
        ({"model": "m", "token_budget": 500}, 9_000, Budget(500, 125)),
        ({"token_budget": 500, "max_output_tokens": 600}, 10, Budget(500, 125)),
    ],
)
def test_budget_of_forwarded_request_leaves_decision_to_upstream(
    fields: dict[str, Any], fixed: int, budget: Budget
) -> None:
    request = PromptRequest(INPUT, is_forwarded=True, **fields)
    assert Budget.of(request, defaults(), fixed) == budget


def test_budget_of_other_request_keeps_its_reserve() -> None:
    request = PromptRequest(INPUT, model="m", max_output_tokens=7_000)
    assert Budget.of(request, defaults(), 1_001) == Budget(8_000, 7_000)


def test_fixed_parts_that_fill_the_budget_exactly() -> None:
    whole = count_messages([*SYSTEM, *INPUT], TOOLS, Words())
    parts = fixed_parts(SYSTEM, INPUT, TOOLS, Words())
    assert parts.tokens == whole
    check_fixed_parts(parts, Budget(total=whole + 10, reserved=10))


def test_fixed_parts_over_budget_are_refused_with_counts() -> None:
    whole = count_messages([*SYSTEM, *INPUT], TOOLS, Words())
    budget = Budget(total=whole + 9, reserved=10)
    with pytest.raises(ContextLengthExceeded) as caught:
        check_fixed_parts(fixed_parts(SYSTEM, INPUT, TOOLS, Words()), budget)
    counts = [int(number) for number in re.findall(r"\d+", caught.value.message)]
    # Three of the prompt's tokens begin the reply and belong to no part.
    assert (counts[0], counts[4], sum(counts[1:4]) + 3) == (whole + 9, 10, whole)
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")


@pytest.mark.parametrize(("recent", "share"), [(0, 1_000), (500, 500), (600, 400), (900, 400)])
def test_recalled_block_share_of_free_tokens(recent: int, share: int) -> None:
    assert recalled_share(1_000, recent) == share
