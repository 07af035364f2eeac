"""Summaries in prompts: they fit, stay equal between cuts, and pass strict chat templates."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.errors import ContextLengthExceeded
from memory_service.core.models import Prompt
from memory_service.core.settings import Settings
from memory_service.service import Service
from memory_service.tokens.counting import PRIMING_TOKENS, count_messages
from tests.support.factories import chat_calls, chat_output, message
from tests.support.storing import append, create, project_key
from tests.support.summarising import (
    active_branch,
    build_prompt,
    remarks,
    summarise,
    summarising,
)
from tests.support.upstream import template_problem

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
SYSTEM = "You are a guide to the zoo."
NUMBERS = itertools.count(1)


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    with summarising(settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def deep_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service with `deep`: a long conversation with tools, and summaries of two levels."""
    folder = tmp_path_factory.mktemp("prompts")
    settings = Settings(data_dir=folder, tiktoken_cache_dir=folder / "none")
    with summarising(settings) as opened:
        create(opened, "deep", message(SYSTEM, "system"), user="ana")
        for number in range(12):
            group = [chat_calls(f"c{number}"), chat_output(f"c{number}")]
            append(opened, "deep", *remarks(6, first=number * 6), *group)
            summarise(opened, "deep", recent_turns=8)
        yield opened


def json_of(prompt: Prompt) -> list[str]:
    """Return each message as a provider's prefix cache sees it."""
    return [json.dumps(message) for message in prompt.messages]


def summary_text(prompt: Prompt) -> str | None:
    """Return the text of the summary block, wherever it is."""
    contents = [
        message["content"] for message in prompt.messages if "<conversation_summary" in str(message)
    ]
    assert len(contents) <= 1
    if not contents:
        return None
    block, close, _ = str(contents[0]).partition("</conversation_summary>")
    return block + close


REQUESTS = st.fixed_dictionaries(
    {
        "new": st.sampled_from(["what about walrus7?", "which walrus was it, again? " * 30]),
        "token_budget": st.integers(20, 900) | st.integers(20, 6_000),
        "recent_turns": st.integers(0, 30),
        "top_k": st.integers(0, 20),
        "max_output_tokens": st.integers(0, 400),
        "tools": st.sampled_from([[], [TOOL]]),
        "instructions": st.sampled_from([None, "Be brief."]),
    }
)


@given(request=REQUESTS)
def test_prompt_with_summaries_fits_and_passes_strict_template(
    deep_service: Service, request: dict[str, Any]
) -> None:
    try:
        prompt = build_prompt(deep_service, "deep", **request)
    except ContextLengthExceeded:
        return
    tokens, counter = prompt.tokens, deep_service.counter("stand-in")
    assert tokens.total == count_messages(prompt.messages, request["tools"], counter)
    parts = ("system", "summary", "recent", "recalled", "input", "tools")
    assert tokens.total == PRIMING_TOKENS + sum(getattr(tokens, part) for part in parts)
    assert tokens.total + tokens.reserved_output <= tokens.budget
    assert template_problem(prompt.messages) is None
    assert bool(tokens.summary) is bool(prompt.summaries) is (summary_text(prompt) is not None)
    check_before_window(prompt)


def check_before_window(prompt: Prompt) -> None:
    """Check that the summaries cover no turn twice and none of the recent window."""
    shown = prompt.summaries
    assert all(earlier.last_seq < later.first_seq for earlier, later in itertools.pairwise(shown))
    first = prompt.recent_first_seq
    assert first is None or all(summary.last_seq < first for summary in shown)


@given(requests=st.lists(REQUESTS, min_size=2, max_size=2))
def test_prompt_with_summaries_is_repeatable(
    deep_service: Service, requests: list[dict[str, Any]]
) -> None:
    first, second = requests
    for request in (first, second):
        try:
            prompts = [json_of(build_prompt(deep_service, "deep", **request)) for _ in range(2)]
        except ContextLengthExceeded:
            continue
        assert prompts[0] == prompts[1]


@pytest.mark.parametrize("top_k", [0, 5])
def test_summaries_change_only_when_window_is_cut(service: Service, top_k: int) -> None:
    create(service, "c", message(SYSTEM, "system"))
    prompts = []
    for number in range(60):
        append(service, "c", *remarks(2, first=number * 2))
        prompts.append(summarise(service, recent_turns=10, top_k=top_k, token_budget=1_500))
    changes = cuts = 0
    for before, after in itertools.pairwise(prompts):
        is_cut = before.recent_first_seq != after.recent_first_seq
        cuts += is_cut
        if summary_text(before) != summary_text(after):
            changes += 1
            assert is_cut
        if not is_cut:
            assert json_of(after)[: len(before.messages) - 1] == json_of(before)[:-1]
    assert changes >= 5
    assert cuts <= 24


def test_system_message_is_unchanged(service: Service) -> None:
    create(service, "c", message(SYSTEM, "system"))
    for number in range(20):
        append(service, "c", *remarks(2, first=number * 2))
        assert summarise(service).messages[0] == message(SYSTEM, "system")


def test_summary_block_stays_within_its_share(service: Service) -> None:
    create(service, "c", *remarks(80))
    for share in (0.0, 0.1, 0.5):
        with summarising(service.settings, summary_token_share=share) as limited_service:
            summarise(limited_service)
            append(limited_service, "c", *remarks(8, first=81))
            prompt = build_prompt(limited_service, token_budget=1_100)
            assert prompt.tokens.summary <= share * 1_000
            assert bool(prompt.summaries) is (share > 0)


def test_tool_loop_keeps_summaries(service: Service) -> None:
    create(service, "c", *remarks(30))
    summarise(service, recent_turns=20)
    append(service, "c", *remarks(20, first=31), message("what is the weather in the zoo now?"))
    before = build_prompt(
        service, recent_turns=20, new=[message("what is the weather in the zoo now?")]
    )
    texts = []
    for number in range(6):
        append(service, "c", chat_calls(f"c{number}"))
        prompt = build_prompt(service, new=[chat_output(f"c{number}")], recent_turns=40)
        texts.append(summary_text(prompt))
        append(service, "c", chat_output(f"c{number}"))
    assert summary_text(before) is not None
    assert len(set(texts)) == 1


def test_deleted_turn_removes_summary_from_prompt(service: Service) -> None:
    create(service, "c", *remarks(12))
    summarise(service)
    append(service, "c", *remarks(6, first=13))
    assert "walrus1" in str(summary_text(build_prompt(service)))
    service.deletions.delete_item(project_key(service), "c", active_branch(service)[2].id)
    assert summary_text(build_prompt(service)) is None


def test_summaries_of_empty_window_are_in_new_message(service: Service) -> None:
    create(service, "c", *remarks(12))
    summarise(service)
    prompt = build_prompt(service, recent_turns=0)
    (only_message,) = prompt.messages
    assert only_message["content"].startswith("<conversation_summary")
    assert "</conversation_summary>\nAnd then" in only_message["content"]


def test_prompt_has_no_summaries_of_other_project(service: Service) -> None:
    create(service, "c", *remarks(12), project="theirs")
    create(service, "c", *remarks(12, first=50))
    summarise(service)
    append(service, "c", *remarks(6, first=80))
    assert "walrus1…" not in str(summary_text(build_prompt(service)))
    assert "walrus50" in str(summary_text(build_prompt(service)))
