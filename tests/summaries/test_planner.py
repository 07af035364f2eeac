"""The planner: which turns and summaries are summarised, and when."""

from __future__ import annotations

from memory_service.conversations.requests import ConversationChange, Switch
from memory_service.core.settings import Settings
from memory_service.service import Service
from memory_service.testing import RepeatingModel
from tests.support.factories import chat_calls, chat_output, message
from tests.support.storing import append, attempt, create, project_key
from tests.support.summarising import (
    MODEL,
    build_prompt,
    deep_conversation,
    levels,
    ranges,
    remarks,
    summaries,
    summarise,
    summarising,
    summarizer,
)


def test_turns_that_left_window_are_summarised(service: Service, model: RepeatingModel) -> None:
    create(service, "c", *remarks(12))
    prompt = summarise(service)
    assert prompt.recent_first_seq is not None
    assert ranges(service) == [(1, prompt.recent_first_seq - 1)]
    assert "walrus10 " not in model.asked[0][-1]["content"] + " "
    (summary,) = summaries(service)
    assert (summary.level, summary.model, summary.text.split()[0]) == (1, MODEL, MODEL)


def test_nothing_is_summarised_before_window_is_cut(service: Service) -> None:
    create(service, "c", *remarks(12))
    summarise(service, recent_turns=20)
    assert summaries(service) == []


def test_few_short_turns_wait_for_more(service: Service) -> None:
    create(service, "c", *remarks(7))
    summarise(service)
    assert summaries(service) == []
    append(service, "c", *remarks(6, first=8))
    summarise(service)
    assert ranges(service)[0][0] == 1


def test_long_past_is_cut_into_consecutive_chunks(service: Service) -> None:
    create(service, "c", *(message(f"{number} " + "word " * 700) for number in range(12)))
    summarise(service, token_budget=20_000)
    covered = ranges(service)
    assert len(covered) > 2
    assert [first for first, _ in covered] == [1, *(last + 1 for _, last in covered[:-1])]


def test_four_summaries_make_one_of_next_level(service: Service) -> None:
    deep_conversation(service)
    assert levels(service) >= {1, 2}
    (first, *_) = ranges(service, level=2)
    assert first == (ranges(service)[0][0], ranges(service)[3][1])


def test_summary_of_summaries_is_made_of_their_texts(
    service: Service, model: RepeatingModel
) -> None:
    create(service, "c", *(message(f"{number} " + "word " * 1_500) for number in range(10)))
    summarise(service, token_budget=30_000)
    texts = [summary.text for summary in summaries(service) if summary.level == 1]
    contents = [messages[-1]["content"] for messages in model.asked]
    first_merge, _ = [content for content in contents if content.count(MODEL) == 4]
    assert all(text.replace("<", "<\\") in first_merge for text in texts[:4])


def test_tool_call_is_summarised_with_its_results(service: Service) -> None:
    group = [chat_calls("a", "b"), chat_output("a"), chat_output("b")]
    create(service, "c", *remarks(7), *group, *remarks(2, first=8))
    for _ in range(5):
        summarise(service)
        append(service, "c", *remarks(2, first=20))
    assert not any(first in {9, 10} or last in {8, 9} for first, last in ranges(service))


def test_call_waits_for_result_in_window(service: Service) -> None:
    create(service, "c", *remarks(8), chat_calls("a"), *remarks(8, first=9))
    append(service, "c", chat_output("a"))
    summarise(service, recent_turns=12)
    assert ranges(service) == [(1, 8)]
    append(service, "c", *remarks(12, first=30))
    summarise(service, recent_turns=12)
    assert ranges(service)[1][0] == 9


def test_nothing_is_summarised_twice(service: Service, model: RepeatingModel) -> None:
    create(service, "c", *remarks(12))
    for _ in range(3):
        summarise(service)
        summarizer(service).drain()
    assert len(model.asked) == 1


def test_conversation_switch_precedes_setting(settings: Settings) -> None:
    for by_default in (True, False):
        with summarising(settings, summaries=by_default) as service:
            name = f"c{by_default}"
            create(service, name, *remarks(12))
            switch(service, Switch(not by_default), name)
            summarise(service, name)
            assert bool(summaries(service, name)) is not by_default


def test_conversation_switched_on_is_summarised_from_its_beginning(settings: Settings) -> None:
    with summarising(settings, summaries=False) as service:
        create(service, "c", *remarks(12))
        summarise(service)
        assert summaries(service) == []
        switch(service, Switch.ON)
        summarizer(service).drain()
        assert ranges(service)[0][0] == 1


def test_conversation_switched_off_has_no_summaries_in_prompts(service: Service) -> None:
    create(service, "c", *remarks(12))
    summarise(service)
    append(service, "c", *remarks(6, first=13))
    assert build_prompt(service).summaries
    switch(service, Switch.OFF)
    assert not build_prompt(service).summaries


def test_other_branch_has_own_summaries_and_keeps_shared_ones(service: Service) -> None:
    turns = create(service, "c", *remarks(12))
    summarise(service)
    append(service, "c", *remarks(12, first=13))
    summarise(service)
    shared = ranges(service)[0]
    append(service, "c", *remarks(12, first=40), below=turns[9].id)
    summarise(service)
    assert ranges(service)[0] == shared
    assert all(first > 24 or last <= 10 or first <= 10 for first, last in ranges(service))
    assert "walrus13" not in " ".join(summary.text for summary in summaries(service))


def switch(service: Service, to: Switch, conversation: str = "c") -> None:
    service.writer.update_conversation(
        project_key(service),
        conversation,
        ConversationChange(summaries=to),
        attempt(),
    )
