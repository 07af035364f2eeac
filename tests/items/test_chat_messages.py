"""Turns as chat-completions messages, and the groups that keep tool groups whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

from memory_service.items.chat_messages import Message, MessageGroup, call_ids, message_groups
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


def messages_in(groups: Iterable[MessageGroup]) -> list[Message]:
    """Return the messages of all groups, which chat completions must accept."""
    messages = [chat_message for group in groups for chat_message in group.messages]
    for chat_message in messages:
        CHAT.validate_python(chat_message)
    return messages


def messages_of(*items: dict[str, Any]) -> list[Message]:
    return messages_in(message_groups(make_path(items)))


def calls_of(message: Message) -> list[str]:
    return [call["id"] for call in message.get("tool_calls") or ()]


def dropped(groups: Iterable[MessageGroup]) -> set[tuple[str, str]]:
    return {(drop.item_id, drop.reason) for group in groups for drop in group.dropped}


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
def test_each_turn_is_in_one_group(path: list[Any], answered: frozenset[str]) -> None:
    groups = message_groups(path, answered)
    assert [turn for group in groups for turn in group.turns] == path


@given(CONVERSATIONS)
def test_tool_groups_are_never_split(path: list[Any]) -> None:
    keys = [
        {turn.tool_group_key for turn in group.turns} - {None} for group in message_groups(path)
    ]
    assert max(Counter(key for group_keys in keys for key in group_keys).values(), default=1) == 1


@given(CONVERSATIONS, ANSWERED)
def test_results_follow_the_message_with_their_call(
    path: list[Any], answered: frozenset[str]
) -> None:
    open_calls: list[str] = []
    for chat_message in messages_in(message_groups(path, answered)):
        if chat_message["role"] == "tool":
            open_calls.remove(chat_message["tool_call_id"])
        else:
            assert set(open_calls) <= answered
            open_calls = calls_of(chat_message)


@given(CONVERSATIONS, ANSWERED)
def test_each_call_has_one_result_or_is_answered_by_the_input(
    path: list[Any], answered: frozenset[str]
) -> None:
    messages = messages_in(message_groups(path, answered))
    calls = [call for chat_message in messages for call in calls_of(chat_message)]
    results = [
        chat_message["tool_call_id"] for chat_message in messages if chat_message["role"] == "tool"
    ]
    assert len(calls) == len(set(calls))
    assert len(results) == len(set(results))
    assert set(results) <= set(calls) <= set(results) | answered


@given(CONVERSATIONS, ANSWERED)
def test_plain_messages_are_complete_and_in_order(
    path: list[Any], answered: frozenset[str]
) -> None:
    texts = [
        chat_message["content"]
        for chat_message in messages_in(message_groups(path, answered))
        if chat_message["role"] != "tool"
    ]
    plain = [turn.text for turn in path if turn.text.startswith("text ")]
    assert [text for text in texts if text and text.startswith("text ")] == plain


@given(CONVERSATIONS, ANSWERED)
def test_left_out_items_are_reported_as_dropped(path: list[Any], answered: frozenset[str]) -> None:
    groups = message_groups(path, answered)
    messages = messages_in(groups)
    sent_ids = {call for chat_message in messages for call in calls_of(chat_message)} | call_ids(
        messages
    )
    links = {turn.id: links_of(turn.raw) for turn in path}
    expected = {item for item, ids in links.items() if ids and not ids & sent_ids}
    assert {item for item, _ in dropped(groups)} == expected


def links_of(raw: str) -> set[str]:
    """Return the call ids that an item names."""
    return {word for word in raw.split('"') if word.startswith("call_") or word == "gone"} - {
        "call_id"
    }


@given(CONVERSATIONS, st.integers(0, 14))
def test_tool_group_that_began_before_the_turns_is_left_out(path: list[Any], begin: int) -> None:
    groups = message_groups(path[begin:])
    before = {turn.tool_group_key for turn in path[:begin]} - {None}
    assert not before & {turn.tool_group_key for group in groups for turn in group.turns}
    messages_in(groups)


def test_parallel_calls_become_one_message() -> None:
    first, *results = messages_of(
        function_call("a"), function_call("b"), function_output("b"), function_output("a")
    )
    assert calls_of(first) == ["a", "b"]
    assert [chat_message["tool_call_id"] for chat_message in results] == ["a", "b"]


def test_reasoning_between_parallel_calls() -> None:
    messages = messages_of(
        function_call("a"),
        REASONING,
        function_call("b"),
        function_output("a"),
        function_output("b"),
    )
    assert [chat_message["role"] for chat_message in messages] == ["assistant", "tool", "tool"]


def test_sequential_calls_stay_sequential() -> None:
    messages = messages_of(
        function_call("a"), function_output("a"), function_call("b"), function_output("b")
    )
    assert [chat_message["role"] for chat_message in messages] == [
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]


def test_message_between_call_and_result_follows_the_result() -> None:
    messages = messages_of(function_call("a"), message("wait"), function_output("a", "done"))
    assert [chat_message["content"] for chat_message in messages] == [None, "done", "wait"]


def test_reused_call_ids_match_within_their_tool_group() -> None:
    messages = messages_of(
        *(function_call("a"), function_output("a", "one")),
        message("and now?"),
        *(function_call("a"), function_output("a", "two")),
    )
    assert [chat_message["content"] for chat_message in messages] == [
        None,
        "one",
        "and now?",
        None,
        "two",
    ]


def test_calls_and_results_of_both_shapes_match() -> None:
    messages = messages_of(
        chat_calls("a", "b"), function_output("a", "one"), chat_output("b", "two")
    )
    assert [chat_message["content"] for chat_message in messages] == [None, "one", "two"]


def test_custom_calls_keep_their_input_and_results() -> None:
    call, result = messages_of(CUSTOM_CALL, CUSTOM_OUTPUT)
    custom = {"name": "run", "input": "ls"}
    assert call["tool_calls"] == [{"id": "a", "type": "custom", "custom": custom}]
    assert (result["tool_call_id"], result["content"]) == ("a", "x.py")


@pytest.mark.parametrize("item", [function_call("a"), chat_calls("a"), CUSTOM_CALL])
def test_unanswered_call_is_dropped(item: dict[str, Any]) -> None:
    groups = message_groups(make_path([item]))
    assert messages_in(groups) == []
    assert dropped(groups) == {("item_1", "unanswered_tool_call")}


@pytest.mark.parametrize("item", [function_output("a"), chat_output("a"), CUSTOM_OUTPUT])
def test_orphan_result_is_dropped(item: dict[str, Any]) -> None:
    groups = message_groups(make_path([item]))
    assert messages_in(groups) == []
    assert dropped(groups) == {("item_1", "orphan_tool_result")}


def test_call_that_the_input_answers_is_kept() -> None:
    groups = message_groups(make_path([function_call("a"), function_call("b")]), frozenset({"a"}))
    assert [calls_of(chat_message) for chat_message in messages_in(groups)] == [["a"]]
    assert dropped(groups) == {("item_2", "unanswered_tool_call")}


def test_content_beside_an_unanswered_call_is_kept() -> None:
    assert messages_of(chat_calls("a", content="One moment.")) == [
        {"role": "assistant", "content": "One moment."}
    ]


@pytest.mark.parametrize(
    "fields",
    [{"refusal": "I can't."}, {"function_call": {"name": "run", "arguments": "{}"}}],
)
def test_assistant_message_without_content_but_another_answer(
    fields: dict[str, Any],
) -> None:
    # As `model_dump()` of a chat completion has it: every field, most of them null.
    messages = messages_of(message(None, "assistant", tool_calls=None, **fields))
    assert messages == [{"role": "assistant", "content": None, **fields}]


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
def test_content_becomes_chat_content(content: Any, shown: Any) -> None:
    assert messages_of(message(content)) == [{"role": "user", "content": shown}]


def test_result_in_parts_becomes_its_text() -> None:
    parts = [{"type": "input_text", "text": "4"}, {"type": "input_image", "image_url": IMAGE}]
    _, result = messages_of(function_call("a"), function_output("a", parts))
    assert result["content"] == "4"


def test_refusal_part_is_kept() -> None:
    part = {"type": "refusal", "refusal": "no"}
    assert messages_of(message([part], "assistant"))[0]["content"] == [part]


def test_fields_unknown_to_chat_completions_are_left_out() -> None:
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
    assert messages_of(item) == [{"role": "assistant", "content": "hi"}]


@pytest.mark.parametrize("role", ["unknown", "critic", "discriminator"])
def test_roles_unknown_to_chat_completions_become_user(role: str) -> None:
    assert messages_of(message("hi", role)) == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Anna", "Anna"), ("a-b_9", "a-b_9"), ("Anna B", None), ("Zoë", None), ("x" * 65, None)],
)
def test_name_is_passed_if_chat_completions_accepts_it(name: str, shown: str | None) -> None:
    assert messages_of(message("hi", name=name))[0].get("name") == shown


def test_stored_name_is_used() -> None:
    turn = make_turn(message("hi", name="Bob"), name="Anna")
    assert messages_in(message_groups([turn]))[0]["name"] == "Anna"


def test_items_without_a_chat_message_make_groups_without_messages() -> None:
    groups = message_groups(make_path([REASONING, {"type": "compaction"}, {"id": "msg_1"}]))
    assert [(len(group.turns), list(group.messages)) for group in groups] == [(1, [])] * 3


def test_first_seq_of_a_group() -> None:
    path = make_path([message(), function_call("a"), function_output("a"), message()])
    assert [group.first_seq for group in message_groups(path)] == [1, 2, 4]


def test_no_turns_make_no_groups() -> None:
    assert message_groups([]) == []


@pytest.mark.parametrize(
    ("messages", "ids"),
    [
        ([], set()),
        (
            [{"role": "tool", "tool_call_id": "a"}, {"role": "tool", "tool_call_id": "b"}],
            {"a", "b"},
        ),
        ([{"role": "tool"}, {"role": "user", "tool_call_id": "a"}, {}], set()),
    ],
)
def test_call_ids_of_tool_messages(messages: Sequence[Message], ids: set[str]) -> None:
    assert call_ids(messages) == ids
