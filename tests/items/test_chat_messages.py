from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

from memory_service.items.chat_messages import Message, MessageGroup, blocks, call_ids
from tests.support.factories import (
    chat_calls,
    chat_output,
    function_call,
    function_output,
    make_path,
    make_turn,
    message,
)

CHAT: TypeAdapter[Any] = TypeAdapter(ChatCompletionMessageParam)
CUSTOM_CALL = {"type": "custom_tool_call", "call_id": "a", "name": "run", "input": "ls"}
CUSTOM_OUTPUT = {"type": "custom_tool_call_output", "call_id": "a", "output": "x.py"}
REASONING = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
IMAGE = "https://x.test/a.png"


def said(found: Iterable[MessageGroup]) -> list[Message]:
    """Return the messages of all blocks, which chat completions must accept."""
    messages = [said for block in found for said in block.messages]
    for one in messages:
        CHAT.validate_python(one)
    return messages


def said_of(*items: dict[str, Any]) -> list[Message]:
    return said(blocks(make_path(items)))


def calls_of(one: Message) -> list[str]:
    return [call["id"] for call in one.get("tool_calls") or ()]


def dropped(found: Iterable[MessageGroup]) -> set[tuple[str, str]]:
    return {(drop.item_id, drop.reason) for block in found for drop in block.dropped}


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return items in which calls, results, orphans and plain messages stand in any order."""
    waiting: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 14))):
        step = draw(st.sampled_from(["say", "reason", "call", "chat", "answer", "orphan"]))
        first, second = f"call_{number}", f"call_{number}b"
        if step == "say":
            items.append(message(f"text {number}", draw(st.sampled_from(["user", "assistant"]))))
        elif step == "reason":
            items.append(REASONING)
        elif step == "call":
            items.append(function_call(first))
            waiting.append(function_output(first))
        elif step == "chat":
            items.append(chat_calls(first, second, content=draw(st.none() | st.just("one moment"))))
            waiting += [chat_output(first), chat_output(second)]
        elif step == "orphan":
            items.append(draw(st.sampled_from([function_output("gone"), chat_output("gone")])))
        elif waiting:
            items.append(waiting.pop(draw(st.integers(0, len(waiting) - 1))))
    return items


CONVERSATIONS = st.builds(make_path, conversations())
ANSWERED = st.frozensets(st.sampled_from([f"call_{number}" for number in range(14)]))


@given(CONVERSATIONS, ANSWERED)
def test_no_turn_is_lost_or_in_two_blocks(path: list[Any], answered: frozenset[str]) -> None:
    found = blocks(path, answered)
    assert [turn for block in found for turn in block.turns] == path


@given(CONVERSATIONS)
def test_a_unit_is_never_cut(path: list[Any]) -> None:
    units = [{turn.tool_group_key for turn in block.turns} - {None} for block in blocks(path)]
    assert max(Counter(unit for block in units for unit in block).values(), default=1) == 1


@given(CONVERSATIONS, ANSWERED)
def test_every_result_follows_the_message_that_calls_it(
    path: list[Any], answered: frozenset[str]
) -> None:
    open_calls: list[str] = []
    for one in said(blocks(path, answered)):
        if one["role"] == "tool":
            open_calls.remove(one["tool_call_id"])
        else:
            assert set(open_calls) <= answered
            open_calls = calls_of(one)


@given(CONVERSATIONS, ANSWERED)
def test_every_call_has_one_result_or_is_answered_by_the_input(
    path: list[Any], answered: frozenset[str]
) -> None:
    messages = said(blocks(path, answered))
    calls = [call for one in messages for call in calls_of(one)]
    results = [one["tool_call_id"] for one in messages if one["role"] == "tool"]
    assert len(calls) == len(set(calls))
    assert len(results) == len(set(results))
    assert set(results) <= set(calls) <= set(results) | answered


@given(CONVERSATIONS, ANSWERED)
def test_plain_messages_are_all_there_and_in_order(
    path: list[Any], answered: frozenset[str]
) -> None:
    texts = [one["content"] for one in said(blocks(path, answered)) if one["role"] != "tool"]
    plain = [turn.text for turn in path if turn.text.startswith("text ")]
    assert [text for text in texts if text and text.startswith("text ")] == plain


@given(CONVERSATIONS, ANSWERED)
def test_what_vanished_is_told(path: list[Any], answered: frozenset[str]) -> None:
    found = blocks(path, answered)
    messages = said(found)
    kept = {call for one in messages for call in calls_of(one)} | call_ids(messages)
    links = {turn.id: links_of(turn.raw) for turn in path}
    expected = {item for item, ids in links.items() if ids and not ids & kept}
    assert {item for item, _ in dropped(found)} == expected


def links_of(raw: str) -> set[str]:
    """Return the call ids that an item names."""
    return {word for word in raw.split('"') if word.startswith("call_") or word == "gone"} - {
        "call_id"
    }


@given(CONVERSATIONS, st.integers(0, 14))
def test_of_a_stretch_that_begins_inside_a_unit_nothing_of_it_is_left(
    path: list[Any], begin: int
) -> None:
    found = blocks(path[begin:])
    before = {turn.tool_group_key for turn in path[:begin]} - {None}
    assert not before & {turn.tool_group_key for block in found for turn in block.turns}
    said(found)


def test_calls_that_follow_each_other_are_one_message() -> None:
    first, *results = said_of(
        function_call("a"), function_call("b"), function_output("b"), function_output("a")
    )
    assert calls_of(first) == ["a", "b"]
    assert [one["tool_call_id"] for one in results] == ["a", "b"]


def test_reasoning_between_parallel_calls_does_not_part_them() -> None:
    found = said_of(
        function_call("a"),
        REASONING,
        function_call("b"),
        function_output("a"),
        function_output("b"),
    )
    assert [one["role"] for one in found] == ["assistant", "tool", "tool"]


def test_one_call_after_the_other_stays_so() -> None:
    found = said_of(
        function_call("a"), function_output("a"), function_call("b"), function_output("b")
    )
    assert [one["role"] for one in found] == ["assistant", "tool", "assistant", "tool"]


def test_a_message_between_call_and_result_comes_after_the_result() -> None:
    found = said_of(function_call("a"), message("wait"), function_output("a", "done"))
    assert [one["content"] for one in found] == [None, "done", "wait"]


def test_call_ids_that_are_used_again_find_the_results_of_their_own_unit() -> None:
    found = said_of(
        *(function_call("a"), function_output("a", "one")),
        message("and now?"),
        *(function_call("a"), function_output("a", "two")),
    )
    assert [one["content"] for one in found] == [None, "one", "and now?", None, "two"]


def test_results_and_calls_of_both_shapes_find_each_other() -> None:
    found = said_of(chat_calls("a", "b"), function_output("a", "one"), chat_output("b", "two"))
    assert [one["content"] for one in found] == [None, "one", "two"]


def test_custom_calls_keep_their_input_and_results() -> None:
    call, result = said_of(CUSTOM_CALL, CUSTOM_OUTPUT)
    custom = {"name": "run", "input": "ls"}
    assert call["tool_calls"] == [{"id": "a", "type": "custom", "custom": custom}]
    assert (result["tool_call_id"], result["content"]) == ("a", "x.py")


@pytest.mark.parametrize("item", [function_call("a"), chat_calls("a"), CUSTOM_CALL])
def test_an_unanswered_call_is_left_out_and_told(item: dict[str, Any]) -> None:
    found = blocks(make_path([item]))
    assert said(found) == []
    assert dropped(found) == {("item_1", "unanswered_tool_call")}


@pytest.mark.parametrize("item", [function_output("a"), chat_output("a"), CUSTOM_OUTPUT])
def test_an_orphan_result_is_left_out_and_told(item: dict[str, Any]) -> None:
    found = blocks(make_path([item]))
    assert said(found) == []
    assert dropped(found) == {("item_1", "orphan_tool_result")}


def test_a_call_that_the_input_answers_stays() -> None:
    found = blocks(make_path([function_call("a"), function_call("b")]), frozenset({"a"}))
    assert [calls_of(one) for one in said(found)] == [["a"]]
    assert dropped(found) == {("item_2", "unanswered_tool_call")}


def test_what_was_said_with_an_unanswered_call_stays() -> None:
    assert said_of(chat_calls("a", content="One moment.")) == [
        {"role": "assistant", "content": "One moment."}
    ]


@pytest.mark.parametrize(
    "fields",
    [{"refusal": "I can't."}, {"function_call": {"name": "run", "arguments": "{}"}}],
)
def test_an_assistant_message_without_content_stays_if_it_says_something_else(
    fields: dict[str, Any],
) -> None:
    # As `model_dump()` of a chat completion has it: every field, most of them null.
    found = said_of(message(None, "assistant", tool_calls=None, **fields))
    assert found == [{"role": "assistant", "content": None, **fields}]


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("hi", "hi"),
        ("", ""),
        ([], ""),
        ([{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "input_text", "text": None}], ""),
        ([{"type": "reasoning_text", "text": "hm"}, {"type": "text", "text": "b"}], "b"),
        (
            [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": IMAGE}],
            [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": IMAGE, "detail": "auto"}},
            ],
        ),
        (
            [{"type": "input_image", "image_url": IMAGE, "detail": "low"}],
            [{"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}}],
        ),
        ([{"type": "input_image", "file_id": "f"}], "[image]"),
        ([{"type": "computer_screenshot", "file_id": "f"}], "[image]"),
        (
            [{"type": "input_file", "file_id": "f", "file_url": None}],
            [{"type": "file", "file": {"file_id": "f"}}],
        ),
        (
            [{"type": "input_file", "file_data": "AA==", "filename": "a.pdf"}],
            [{"type": "file", "file": {"file_data": "AA==", "filename": "a.pdf"}}],
        ),
        ([{"type": "input_file", "file_url": "https://x.test/a"}], "[file https://x.test/a]"),
        (
            [{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}],
            [{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}],
        ),
        (
            [{"type": "image_url", "image_url": {"url": IMAGE}}],
            [{"type": "image_url", "image_url": {"url": IMAGE}}],
        ),
    ],
)
def test_content_becomes_that_of_chat_completions(content: Any, shown: Any) -> None:
    assert said_of(message(content)) == [{"role": "user", "content": shown}]


def test_a_result_in_parts_becomes_its_text() -> None:
    parts = [{"type": "input_text", "text": "4"}, {"type": "input_image", "image_url": IMAGE}]
    _, result = said_of(function_call("a"), function_output("a", parts))
    assert result["content"] == "4"


def test_a_refusal_part_stays_one() -> None:
    part = {"type": "refusal", "refusal": "no"}
    assert said_of(message([part], "assistant"))[0]["content"] == [part]


def test_fields_that_chat_completions_does_not_know_are_left_out() -> None:
    item = message(
        "hi",
        "assistant",
        type="message",
        id="msg_1",
        status="completed",
        phase="commentary",
        created_at=5,
        metadata={"a": "b"},
        object="item",
    )
    assert said_of(item) == [{"role": "assistant", "content": "hi"}]


@pytest.mark.parametrize("role", ["unknown", "critic", "discriminator"])
def test_roles_that_chat_completions_does_not_know_become_user(role: str) -> None:
    assert said_of(message("hi", role)) == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Anna", "Anna"), ("a-b_9", "a-b_9"), ("Anna B", None), ("Zoë", None), ("x" * 65, None)],
)
def test_a_name_is_given_where_chat_completions_can_take_it(name: str, shown: str | None) -> None:
    assert said_of(message("hi", name=name))[0].get("name") == shown


def test_the_name_is_the_one_that_was_stored() -> None:
    turn = make_turn(message("hi", name="Bob"), name="Anna")
    assert said(blocks([turn]))[0]["name"] == "Anna"


def test_items_without_a_chat_message_make_a_block_that_says_nothing() -> None:
    found = blocks(make_path([REASONING, {"type": "compaction"}, {"id": "msg_1"}]))
    assert [(len(block.turns), list(block.messages)) for block in found] == [(1, [])] * 3


def test_a_block_begins_where_its_first_turn_does() -> None:
    path = make_path([message(), function_call("a"), function_output("a"), message()])
    assert [block.first_seq for block in blocks(path)] == [1, 2, 4]


def test_of_no_turns_there_are_no_blocks() -> None:
    assert blocks([]) == []


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([], set()),
        (
            [{"role": "tool", "tool_call_id": "a"}, {"role": "tool", "tool_call_id": "b"}],
            {"a", "b"},
        ),
        ([{"role": "tool"}, {"role": "user", "tool_call_id": "a"}, {}], set()),
    ],
)
def test_the_calls_that_messages_answer_are_found(
    messages: Sequence[Message], found: set[str]
) -> None:
    assert call_ids(messages) == found
