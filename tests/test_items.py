import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from factories import (
    LIMITS,
    chat_calls,
    chat_output,
    function_call,
    function_output,
    make_turn,
    message,
    new_turn,
)
from openai.types.conversations.conversation_item import ConversationItem
from pydantic import BaseModel, TypeAdapter

from memory_service.errors import InvalidRequest
from memory_service.items import parse_item, show_item

CLIENT: TypeAdapter[Any] = TypeAdapter(ConversationItem)
OUTCOME = {"type": "exit", "exit_code": 0}
WEATHER = '{"city":"Oslo"}'

# (an item as a client sends it, with no more than it must hold; its role; its text)
ITEMS: list[tuple[dict[str, Any], str, str]] = [
    (message("hi", type="message"), "user", "hi"),
    (function_call(), "assistant", f"look_up\n{WEATHER}"),
    (function_output(), "tool", "4 degrees"),
    (
        function_output(output=[{"type": "input_text", "text": "4"}, {"type": "input_image"}]),
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
    complete = show(item)
    # The client demands `detail` of pictures even where the API does not.
    parsed = CLIENT.validate_json(json.dumps(complete).replace('"input_image"', '"input_text"')
        .replace('"type": "input_text"}', '"type": "input_text", "text": ""}'))
    assert item["type"] in kinds_of(type(parsed))
    assert parsed.id == "item_1"
