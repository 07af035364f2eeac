import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import construct_type
from openai.types.conversations import Message
from openai.types.conversations.conversation_item import ConversationItem
from pydantic import BaseModel, TypeAdapter

from memory_service.core.errors import InvalidRequest
from memory_service.core.models import MICROSECONDS
from memory_service.items.chat_messages import blocks
from memory_service.items.conversation_items import (
    ItemLimits,
    check_id,
    check_metadata,
    parse_item,
    show_item,
)
from tests.support.factories import (
    LIMITS,
    chat_calls,
    chat_output,
    function_call,
    function_output,
    make_turn,
    message,
    new_turn,
)

CLIENT: TypeAdapter[Any] = TypeAdapter(ConversationItem)
OUTCOME = {"type": "exit", "exit_code": 0}
WEATHER = '{"city":"Oslo"}'

# (an item as a client sends it, with no more than it must hold; its role; its text)
ITEMS: list[tuple[dict[str, Any], str, str]] = [
    (message("hi", type="message"), "user", "hi"),
    (function_call(), "assistant", f"look_up\n{WEATHER}"),
    (function_output(), "tool", "4 degrees"),
    (
        function_output(
            output=[
                {"type": "input_text", "text": "4"},
                {"type": "input_image", "file_id": "file_1", "detail": "low"},
            ]
        ),
        "tool",
        "4",
    ),
    (
        {"type": "custom_tool_call", "call_id": "c", "name": "run", "input": "ls -l"},
        "assistant",
        "run\nls -l",
    ),
    ({"type": "custom_tool_call_output", "call_id": "c", "output": "a b"}, "tool", "a b"),
    (
        {"type": "file_search_call", "queries": ["one", "two"], "status": "completed"},
        "assistant",
        "one\ntwo",
    ),
    (
        {
            "type": "web_search_call",
            "status": "completed",
            "action": {"type": "search", "query": "rain", "queries": ["rain", "snow"]},
        },
        "assistant",
        "rain\nrain\nsnow",
    ),
    (
        {"type": "image_generation_call", "status": "completed", "revised_prompt": "a cat"},
        "assistant",
        "a cat",
    ),
    (
        {
            "type": "computer_call",
            "call_id": "c",
            "status": "completed",
            "pending_safety_checks": [],
            "action": {"type": "screenshot"},
        },
        "assistant",
        "",
    ),
    (
        {
            "type": "computer_call_output",
            "call_id": "c",
            "output": {"type": "computer_screenshot", "file_id": "file_1"},
        },
        "tool",
        "",
    ),
    ({"type": "tool_search_call", "arguments": {}, "execution": "client"}, "assistant", ""),
    ({"type": "tool_search_output", "tools": [], "execution": "client"}, "tool", ""),
    ({"type": "additional_tools", "role": "developer", "tools": []}, "assistant", ""),
    ({"type": "configuration_update", "reasoning": {"effort": "low"}}, "assistant", ""),
    (
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "It rains."}]},
        "assistant",
        "It rains.",
    ),
    (
        {"type": "program", "call_id": "c", "code": "run()", "fingerprint": "f"},
        "assistant",
        "run()",
    ),
    (
        {"type": "program_output", "call_id": "c", "result": "done", "status": "completed"},
        "tool",
        "done",
    ),
    ({"type": "compaction", "encrypted_content": "x9"}, "assistant", ""),
    (
        {
            "type": "code_interpreter_call",
            "container_id": "c",
            "status": "completed",
            "code": "1+1",
            "outputs": [{"type": "logs", "logs": "2"}, {"type": "image", "url": "u"}],
        },
        "assistant",
        "1+1\n2",
    ),
    (
        {
            "type": "local_shell_call",
            "call_id": "c",
            "status": "completed",
            "action": {"type": "exec", "command": ["ls", "-l"], "env": {}},
        },
        "assistant",
        "ls\n-l",
    ),
    ({"type": "local_shell_call_output", "output": "a"}, "tool", "a"),
    (
        {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls", "pwd"]}},
        "assistant",
        "ls\npwd",
    ),
    (
        {
            "type": "shell_call_output",
            "call_id": "c",
            "output": [{"stdout": "out", "stderr": "err", "outcome": OUTCOME}],
        },
        "tool",
        "out\nerr",
    ),
    (
        {
            "type": "apply_patch_call",
            "call_id": "c",
            "status": "completed",
            "operation": {"type": "delete_file", "path": "p"},
        },
        "assistant",
        "",
    ),
    (
        {
            "type": "apply_patch_call_output",
            "call_id": "c",
            "status": "completed",
            "output": "patched",
        },
        "tool",
        "patched",
    ),
    ({"type": "mcp_list_tools", "server_label": "s", "tools": []}, "assistant", ""),
    (
        {
            "type": "mcp_approval_request",
            "server_label": "s",
            "name": "run",
            "arguments": "{}",
        },
        "assistant",
        "",
    ),
    (
        {"type": "mcp_approval_response", "approval_request_id": "r", "approve": True},
        "user",
        "",
    ),
    (
        {
            "type": "mcp_call",
            "server_label": "s",
            "name": "run",
            "arguments": "{}",
            "output": "ok",
        },
        "assistant",
        "run\n{}\nok",
    ),
]
MESSAGES: list[tuple[dict[str, Any], str]] = [
    (message([]), ""),
    (message(""), ""),
    (message([{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]), "a\nb"),
    (message([{"type": "output_text", "text": "a"}], "assistant"), "a"),
    (message([{"type": "refusal", "refusal": "no"}], "assistant"), "no"),
    (message([{"type": "input_image", "image_url": "https://x.test/a.png"}]), ""),
    (message([{"type": "input_file", "file_id": "f", "filename": "plan.pdf"}]), "plan.pdf"),
    (
        message([{"type": "input_audio", "input_audio": {"data": "AA==", "transcript": "hey"}}]),
        "hey",
    ),
    (chat_calls("a", "b"), f"look_up\n{WEATHER}\nlook_up\n{WEATHER}"),
    (chat_calls("a", content="One moment."), f"One moment.\nlook_up\n{WEATHER}"),
    (
        message(
            None,
            "assistant",
            tool_calls=[{"id": "a", "type": "custom", "custom": {"name": "run", "input": "ls"}}],
        ),
        "run\nls",
    ),
    (chat_output(), "4 degrees"),
    (
        message(None, "assistant", function_call={"name": "run", "arguments": "{}"}),
        "run\n{}",
    ),
    (message("4 degrees", "function", name="run"), "4 degrees"),
    (message(None, "function", name="run"), ""),
    (message(None, "assistant", refusal="I can't."), "I can't."),
    (message(None, "assistant", refusal=None), ""),
    (message(None, "assistant", audio={"id": "audio_1", "transcript": "hey"}), "hey"),
]


def show(item: dict[str, Any]) -> dict[str, Any]:
    return show_item(make_turn(item), LIMITS.max_nesting)


def client_classes() -> Iterator[type[BaseModel]]:
    union, *_ = get_args(ConversationItem)
    yield from get_args(union)


def kinds_of(model: type[BaseModel]) -> tuple[str, ...]:
    return get_args(model.model_fields["type"].annotation)


def refusal(item: Any, **stored_as: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse_item(item, json.dumps(item), stored_as, LIMITS, "items.3")
    return caught.value


def test_the_table_of_items_has_every_type_that_openais_client_knows() -> None:
    known = {kind for model in client_classes() for kind in kinds_of(model)}
    assert known == {item["type"] for item, _, _ in ITEMS}


@pytest.mark.parametrize(("item", "role", "text"), ITEMS, ids=lambda value: str(value)[:40])
def test_the_role_and_text_of_every_item_are_found(
    item: dict[str, Any], role: str, text: str
) -> None:
    turn = new_turn(item)
    assert (turn.kind, turn.role, turn.text) == (item["type"], role, text)


@pytest.mark.parametrize("item", [item for item, _, _ in ITEMS], ids=lambda item: item["type"])
def test_openais_client_reads_every_item_as_its_own_class(item: dict[str, Any]) -> None:
    parsed = CLIENT.validate_python(show(item))
    assert parsed.id == "item_1"
    assert item["type"] in kinds_of(type(parsed))


@pytest.mark.parametrize(("item", "text"), MESSAGES, ids=lambda value: str(value)[:40])
def test_the_text_of_a_message_is_found_in_all_its_parts(item: dict[str, Any], text: str) -> None:
    turn = new_turn(item)
    assert (turn.kind, turn.role, turn.text) == ("message", item["role"], text)


@pytest.mark.parametrize("item", [item for item, _ in MESSAGES], ids=lambda item: str(item)[:40])
def test_openais_client_reads_chat_completions_messages_as_messages(item: dict[str, Any]) -> None:
    parsed = construct_type(type_=ConversationItem, value=show(item))
    assert isinstance(parsed, Message)
    assert (parsed.id, parsed.role, parsed.status) == ("item_1", item["role"], "completed")


@pytest.mark.parametrize(
    ("role", "part", "shown"),
    [
        ("user", {"type": "text", "text": "a"}, {"type": "input_text", "text": "a"}),
        ("tool", {"type": "text", "text": "a"}, {"type": "input_text", "text": "a"}),
        ("user", {"type": "input_text", "text": "a"}, {"type": "input_text", "text": "a"}),
        (
            "assistant",
            {"type": "text", "text": "a"},
            {"type": "output_text", "text": "a", "annotations": []},
        ),
        (
            "assistant",
            {"type": "output_text", "text": "a"},
            {"type": "output_text", "text": "a", "annotations": []},
        ),
        (
            "user",
            {"type": "input_image", "file_id": "f"},
            {"type": "input_image", "file_id": "f", "detail": "auto"},
        ),
        (
            "user",
            {"type": "input_image", "file_id": "f", "detail": "low"},
            {"type": "input_image", "file_id": "f", "detail": "low"},
        ),
    ],
)
def test_a_part_is_shown_with_the_type_and_fields_that_the_client_expects(
    role: str, part: dict[str, Any], shown: dict[str, Any]
) -> None:
    assert show(message([part], role))["content"] == [shown]


def test_a_string_is_shown_as_one_text_part() -> None:
    assert show(message("hi"))["content"] == [{"type": "input_text", "text": "hi"}]


def test_a_status_that_was_sent_is_shown() -> None:
    assert show(message(status="incomplete"))["status"] == "incomplete"


def test_an_item_of_an_unknown_type_is_stored_and_shown_as_it_is() -> None:
    item = {"type": "new_thing.v2", "text": "hi", "deep": {"a": [1, None]}}
    assert new_turn(item).text == "hi"
    assert show(item) == {**item, "id": "item_1"}


@pytest.mark.parametrize("item", [{"id": "msg_9"}, {"type": "item_reference", "id": "msg_9"}])
def test_a_reference_gets_an_id_of_its_own_and_keeps_the_other(item: dict[str, Any]) -> None:
    turn = new_turn(item)
    shown = show(item)
    assert (turn.kind, turn.id_given, shown["id"], shown["item_id"]) == (
        "item_reference",
        False,
        "item_1",
        "msg_9",
    )


@pytest.mark.parametrize(
    ("item", "prefix"),
    [
        (message(), "msg_"),
        (function_call(), "fc_"),
        (function_output(), "fco_"),
        ({"type": "compaction"}, "item_"),
    ],
)
def test_an_item_without_an_id_gets_a_fresh_one(item: dict[str, Any], prefix: str) -> None:
    first, second = new_turn(item), new_turn(item)
    assert first.id.startswith(prefix)
    assert first.id != second.id
    assert check_id(first.id, "id") == first.id


@pytest.mark.parametrize("given_id", ["a", "msg_1", "A-b_9", "x" * 128])
def test_the_id_of_an_item_is_kept(given_id: str) -> None:
    turn = new_turn(message(id=given_id))
    assert (turn.id, turn.id_given) == (given_id, True)


@pytest.mark.parametrize("bad", ["", "x" * 129, "a b", "a\n", "ä", "a/b", "a.b", 7, True, ["a"]])
def test_an_id_with_other_signs_is_refused(bad: Any) -> None:
    error = refusal(message(id=bad))
    assert (error.param, error.code) == ("items.3.id", "invalid_id")


@pytest.mark.parametrize(
    ("item", "calls", "answers"),
    [
        (message(), (), None),
        (function_call("a"), ("a",), None),
        (function_output("a"), (), "a"),
        ({"type": "custom_tool_call", "name": "n", "call_id": "a"}, ("a",), None),
        ({"type": "custom_tool_call_output", "call_id": "a"}, (), "a"),
        ({"type": "computer_call", "call_id": "x" * 256}, ("x" * 256,), None),
        ({"type": "shell_call_output", "call_id": "a"}, (), "a"),
        ({"type": "tool_search_call", "call_id": None}, (), None),
        (chat_calls("a", "b"), ("a", "b"), None),
        (chat_output("a"), (), "a"),
        (message("x", "tool"), (), None),
        (message("x", "assistant", tool_calls=None), (), None),
    ],
)
def test_the_calls_an_item_makes_and_answers_are_found(
    item: dict[str, Any], calls: tuple[str, ...], answers: str | None
) -> None:
    turn = new_turn(item)
    assert (turn.calls, turn.answers) == (calls, answers)


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ([], "items.3"),
        ("hi", "items.3"),
        (None, "items.3"),
        ({}, "items.3"),
        ({"id": "a", "content": "hi"}, "items.3"),
        ({"type": ["message"]}, "items.3.type"),
        ({"type": "Message"}, "items.3.type"),
        ({"type": ""}, "items.3.type"),
        ({"type": "x" * 65}, "items.3.type"),
        ({"type": "message", "content": "hi"}, "items.3.role"),
        (message(role="robot"), "items.3.role"),
        ({"role": None, "content": "hi"}, "items.3.role"),
        ({"role": ["user"], "content": "hi"}, "items.3.role"),
        ({"role": {}, "content": "hi"}, "items.3.role"),
        ({"role": "user"}, "items.3.content"),
        (message(None), "items.3.content"),
        (message(7), "items.3.content"),
        (message({"type": "text", "text": "hi"}), "items.3.content"),
        (message(["hi"]), "items.3.content"),
        (message([{"text": "hi"}]), "items.3.content"),
        (message([{"type": 1, "text": "hi"}]), "items.3.content"),
        (message([{"type": "text", "text": 7}]), "items.3.content"),
        (message([{"type": "input_text", "text": ["hi"]}]), "items.3.content"),
        (message(None, "assistant", tool_calls="abc"), "items.3.tool_calls"),
        (message(None, "assistant", tool_calls=["abc"]), "items.3.tool_calls"),
        (message(None, "assistant", tool_calls={"id": "a"}), "items.3.tool_calls"),
        (message(None, "assistant", tool_calls=5), "items.3.tool_calls"),
        (message("4", "tool", tool_call_id="a", tool_calls=["abc"]), "items.3.tool_calls"),
        (message(None, "assistant", tool_calls=[{}]), "items.3.tool_calls.id"),
        (message(None, "assistant", tool_calls=[{"id": 5}]), "items.3.tool_calls.id"),
        (message("4", "tool", tool_call_id=""), "items.3.tool_call_id"),
        (message("4", "tool", tool_call_id="x" * 257), "items.3.tool_call_id"),
        (function_call(None), "items.3.call_id"),
        (function_call(""), "items.3.call_id"),
        (function_call(7), "items.3.call_id"),
        (function_output(None), "items.3.call_id"),
        ({"type": "custom_tool_call", "name": "run"}, "items.3.call_id"),
        ({"type": "custom_tool_call_output", "output": "a"}, "items.3.call_id"),
        ({"type": "function_call", "call_id": "a"}, "items.3.name"),
        ({"type": "custom_tool_call", "call_id": "a", "name": 7}, "items.3.name"),
        (message(name=7), "items.3.name"),
        (message(name="x" * 129), "items.3.name"),
        (message(name="a\x00"), "items.3.name"),
        (message(created_at="yesterday"), "items.3.created_at"),
        (message(metadata=["a"]), "items.3.metadata"),
        (message(metadata={"a": 1}), "items.3.metadata.a"),
    ],
)
def test_a_bad_shape_is_refused_with_its_path(item: Any, param: str) -> None:
    assert refusal(item).param == param


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["", "tool", "message", "a"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "type",
                        "role",
                        "content",
                        "text",
                        "name",
                        "id",
                        "call_id",
                        "tool_calls",
                        "tool_call_id",
                        "function",
                        "function_call",
                        "output",
                        "refusal",
                        "audio",
                        "metadata",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(["message", "function_call", "custom_tool_call_output", "reasoning"]),
    st.sampled_from(["user", "assistant", "tool", "function"]),
)
def test_whatever_is_accepted_can_be_shown_and_put_in_a_prompt(
    value: Any, kind: str, role: str
) -> None:
    item = {"type": kind, "role": role, **value} if isinstance(value, dict) else value
    try:
        turn = make_turn(item)
    except InvalidRequest:
        return
    assert show_item(turn, LIMITS.max_nesting)["id"] == turn.id
    roles = {said["role"] for block in blocks([turn]) for said in block.messages}
    assert roles <= {turn.role, "assistant"}


def test_a_text_over_the_limit_is_refused() -> None:
    limits = ItemLimits(max_text_chars=10, max_nesting=64)
    assert parse_item(message("x" * 10), "{}", {}, limits, "item").text == "x" * 10
    with pytest.raises(InvalidRequest, match="11 characters; 10 are allowed"):
        parse_item(message("x" * 11), "{}", {}, limits, "item")


def test_the_name_of_a_message_is_its_speaker() -> None:
    assert new_turn(message(name=" Anna ")).name == "Anna"


def test_a_blank_name_is_none() -> None:
    assert new_turn(message(name=" ")).name is None


@pytest.mark.parametrize(
    "item", [function_call(), {"type": "mcp_call", "name": "run", "arguments": "{}"}]
)
def test_the_name_of_a_function_is_no_speaker(item: dict[str, Any]) -> None:
    assert new_turn(item).name is None


def test_what_is_stored_as_overrides_what_the_item_says() -> None:
    item = message(id="old", name="Bob", created_at=5, metadata={"a": "1"})
    turn = new_turn(
        item, id="new", name="Anna", created_at="1970-01-01T01:00:09+01:00", metadata={}
    )
    assert (turn.id, turn.name, turn.metadata) == ("new", "Anna", {})
    assert (turn.created_at, turn.utc_offset_minutes) == (9 * MICROSECONDS, 60)


def test_a_name_can_be_given_to_a_turn_that_is_no_message() -> None:
    assert new_turn(function_call(), name="Anna").name == "Anna"


def test_an_item_without_a_time_leaves_it_to_the_log() -> None:
    assert new_turn(message()).created_at is None


def test_the_raw_text_is_kept_as_it_was_sent() -> None:
    raw = '{ "role":"user",\n "content":"\\u0041" }'
    assert new_turn(json.loads(raw), raw=raw).raw == raw


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {f"k{n}": "v" for n in range(16)},
        {"k" * 64: "v" * 512},
        {"k": ""},
    ],
)
def test_metadata_up_to_the_limits_is_kept(metadata: dict[str, str] | None) -> None:
    assert check_metadata(metadata, "metadata") == (metadata or {})


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        ({f"k{n}": "v" for n in range(17)}, "metadata"),
        ({"k" * 65: "v"}, "metadata"),
        ({"": "v"}, "metadata"),
        ({"k\x00": "v"}, "metadata"),
        ({"k": "v" * 513}, "metadata.k"),
        ({"k": "\ud800"}, "metadata.k"),
        ({"k": None}, "metadata.k"),
        ({"k": {"a": "b"}}, "metadata.k"),
        ("k=v", "metadata"),
        ([], "metadata"),
        (False, "metadata"),
    ],
)
def test_metadata_over_a_limit_is_refused(metadata: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_metadata(metadata, "metadata")
    assert caught.value.param == param


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_string_and_one_text_part_have_the_same_hash(text: str) -> None:
    spellings = [
        message(text),
        message([{"type": "text", "text": text}], type="message"),
        message([{"type": "input_text", "text": text}], id="a", status="completed"),
        message([{"text": text, "type": "output_text", "annotations": []}], created_at=5),
        message(text, metadata={"a": "b"}, object="item", name=None),
    ]
    assert len({new_turn(item).content_hash for item in spellings}) == 1


def test_what_says_something_else_has_another_hash() -> None:
    others = [
        message("hello"),
        message("hello "),
        message("hello", "assistant"),
        message("hello", name="Anna"),
        message([{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]),
        message([]),
        message(""),
        message([{"type": "input_image", "image_url": "https://x.test/a.png"}]),
        message([{"type": "input_image", "image_url": "https://x.test/b.png"}]),
        chat_calls("a"),
        chat_calls("b"),
        chat_output("a"),
        chat_output("b"),
        function_call("a"),
        function_call("b"),
        function_call("a", arguments="{}"),
        function_output("a"),
        {"type": "item_reference", "id": "msg_1"},
        {"type": "item_reference", "id": "msg_2"},
    ]
    assert len({new_turn(item).content_hash for item in others}) == len(others)


def test_a_shown_item_has_the_hash_of_what_was_sent() -> None:
    for item, _, _ in ITEMS:
        assert new_turn(show(item)).content_hash == new_turn(item).content_hash
