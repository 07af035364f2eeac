"""The sizes of prompts that are compared, and a builder of prompts for each size."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from memory_service.prompts.builder import PromptBuilder
from memory_service.service import Service
from memory_service.turn_log.deferred_writer import DeferredWriter

RESERVED_TOKENS = 512
"""Tokens that every prompt leaves for its answer."""


@dataclass(frozen=True, slots=True)
class PromptSize:
    """The budget of a prompt, the most tokens of its recent window, and its recalled turns."""

    budget: int
    recent_tokens: int
    top_k: int


def sizes(
    budgets: Sequence[int], recent_tokens: Sequence[int], top_ks: Sequence[int]
) -> list[PromptSize]:
    """Return all combinations in which the recent window takes at most half of the budget."""
    return [
        PromptSize(budget, recent, top_k)
        for budget, recent, top_k in itertools.product(budgets, recent_tokens, top_ks)
        if 2 * recent <= budget
    ]


def builder_of(service: Service, size: PromptSize) -> PromptBuilder:
    """Return a builder that keeps the states of its prompts to itself.

    The writer is never started: prompts of one size must not begin where those of another did.
    """
    defaults = replace(
        service.prompt_defaults(),
        token_budget=size.budget,
        reserved_output_tokens=RESERVED_TOKENS,
        recent_tokens=size.recent_tokens,
        top_k=size.top_k,
    )
    return service.new_prompt_builder(defaults, DeferredWriter(service.log))
