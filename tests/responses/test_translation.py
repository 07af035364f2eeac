"""Requests and bodies are translated between responses and chat completions."""

from __future__ import annotations

from typing import Any

import pytest

from memory_service.core.errors import InvalidRequest
from memory_service.responses.chat.answer import response_of_completion
from memory_service.responses.chat.messages import messages_of, strict_messages
from memory_service.responses.chat.request import chat_body
from memory_service.responses.chat.tools import chat_tools
from memory_service.responses.foreign import as_chat_completion, as_response_request, items_of
from memory_service.responses.objects import new_response
from memory_service.responses.upstream_api import UpstreamApis
from tests.responses.checking import checked_response

_GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}
_PATCH = {"type": "custom", "name": "patch", "description": "Edit.", "format": _GRAMMAR}


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "name": name, "parameters": {"type": "object"}, "strict": True}


@pytest.mark.parametrize(
    ("choice", "translated"),
    [
        ("required", "required"),
        ({"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "custom", "name": "patch"}, {"type": "function", "function": {"name": "patch"}}),
    ],
)
def test_tool_choice(choice: Any, translated: Any) -> None:
    body = {"tools": [function("f"), _PATCH], "tool_choice": choice}
    assert chat_tools(body, keeps_custom=False)["tool_choice"] == translated


def test_allowed_tools_are_the_only_tools() -> None:
    choice = {"type": "allowed_tools", "mode": "required", "tools": [function("f")]}
    body = {"tools": [function("f"), function("g")], "tool_choice": choice}
    fields = chat_tools(body, keeps_custom=False)
    assert [tool["function"]["name"] for tool in fields["tools"]] == ["f"]
    assert fields["tool_choice"] == "required"


def test_custom_tool_becomes_a_function_that_names_its_grammar() -> None:
    (tool,) = chat_tools({"tools": [_PATCH]}, keeps_custom=False)["tools"]
    assert "start: WORD" in tool["function"]["description"]
    (kept,) = chat_tools({"tools": [_PATCH]}, keeps_custom=True)["tools"]
    grammar = {"syntax": "lark", "definition": "start: WORD"}
    assert kept["custom"]["format"] == {"type": "grammar", "grammar": grammar}


@pytest.mark.parametrize(
    "kind",
    [
        *("web_search", "web_search_preview", "file_search", "code_interpreter", "mcp"),
        *("image_generation", "computer_use_preview", "local_shell", "shell", "apply_patch"),
    ],
)
def test_hosted_tool_is_named_in_the_error(kind: str) -> None:
    with pytest.raises(InvalidRequest, match=kind) as error:
        chat_body({"tools": [function("f"), {"type": kind}]}, [])
    assert (error.value.code, error.value.param) == ("unsupported_tool", "tools.1")


def test_hosted_tool_choice_is_refused() -> None:
    body = {"tools": [function("f")], "tool_choice": {"type": "file_search"}}
    with pytest.raises(InvalidRequest, match="file_search"):
        chat_body(body, [])


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
def test_form_of_the_answer_is_translated_both_ways(kind: str) -> None:
    schema = {"name": "s", "schema": {"type": "object"}, "strict": True}
    form = {"type": kind, **(schema if kind == "json_schema" else {})}
    completion = chat_body({"text": {"format": form, "verbosity": "low"}}, [])
    assert completion["verbosity"] == "low"
    back = as_response_request({**completion, "messages": [{"role": "user", "content": "x"}]})
    assert back["text"] == {"format": form, "verbosity": "low"}


def test_messages_of_items_are_strict() -> None:
    items: list[dict[str, Any]] = [
        {"role": "developer", "content": "A."},
        {"role": "user", "content": [{"type": "input_text", "text": "Hi."}]},
        {"type": "reasoning", "summary": [], "encrypted_content": "x"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Wait."}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "x"},
        {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text"}]},
        {"type": "custom_tool_call_output", "call_id": "b", "output": "ok"},
        {"role": "system", "content": "B."},
    ]
    system, user, assistant, first, second = strict_messages(messages_of(items), items)
    assert system == {"role": "system", "content": "A.\n\nB."}
    assert user == {"role": "user", "content": "Hi."}
    assert assistant["content"] == "Wait."
    assert [call["id"] for call in assistant["tool_calls"]] == ["a", "b"]
    assert assistant["tool_calls"][1]["function"]["arguments"] == '{"input":"x"}'
    assert (first["content"], second["content"]) == ("", "ok")


def test_items_of_messages_and_back() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "ok"},
        {"role": "assistant", "content": "Done."},
    ]
    assert messages_of(items_of(messages)) == messages


def test_custom_tools_stay_in_a_body_for_the_other_route() -> None:
    body = {"input": "Hi.", "tools": [_PATCH, {"type": "function", "function": {"name": "f"}}]}
    translated = as_chat_completion(body)
    assert translated["messages"] == [{"role": "user", "content": "Hi."}]
    assert [tool["type"] for tool in translated["tools"]] == ["custom", "function"]


@pytest.mark.parametrize("body", [{"messages": []}, {"input": "x", "messages": []}, {}])
def test_body_of_the_route_itself_is_unchanged(body: dict[str, Any]) -> None:
    assert as_chat_completion(body) is body


def test_completion_with_everything() -> None:
    url = {"type": "url_citation", "url": "https://a.example", "title": "A"}
    note = {"type": "url_citation", "url_citation": {**url, "start_index": 0, "end_index": 1}}
    custom = {"id": "b", "type": "custom", "custom": {"name": "patch", "input": "x"}}
    message = {
        "content": [{"type": "text", "text": "Hi."}],
        "reasoning": "Hm.",
        "refusal": None,
        "annotations": [note],
        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}, custom, "?"],
    }
    completion = {"choices": [{"message": message, "finish_reason": "tool_calls"}], "model": "m-1"}
    begun = new_response({"tools": [function("f"), _PATCH]}, "resp_1", 1)
    response = checked_response(response_of_completion(completion, begun, frozenset({"patch"})))
    kinds = [item.type for item in response.output]
    assert kinds == ["reasoning", "message", "function_call", "custom_tool_call"]
    assert response.output_text == "Hi."


@pytest.mark.parametrize("completion", [{}, {"choices": "x"}, {"choices": [{"message": 3}]}])
def test_completion_without_answer_is_an_empty_response(completion: dict[str, Any]) -> None:
    begun = new_response({}, "resp_1", 1)
    response = checked_response(response_of_completion(completion, begun, frozenset()))
    assert response.output == []


class _Answer:
    """The status of an answer."""

    def __init__(self, status: int) -> None:
        self.status = status


@pytest.mark.parametrize(
    ("status", "content", "is_refused"),
    [
        (404, b'{"detail":"Not Found"}', True),
        (405, b"Method Not Allowed", True),
        (501, b"", True),
        (404, b'{"error":{"message":"The model `gpt-x` does not exist"}}', False),
        (400, b'{"error":{"message":"bad"}}', False),
        (500, b"", False),
        (200, b'{"error":"Unexpected endpoint or method. (POST /v1/responses)"}', True),
        (200, b'{"output":[],"error":null}', False),
    ],
)
def test_upstream_without_responses_is_remembered(
    status: int, content: bytes, *, is_refused: bool
) -> None:
    apis = UpstreamApis("auto")
    answer: Any = _Answer(status)
    assert apis.refuses_route(answer, content, "u", "gpt-x") is is_refused
    assert apis.may_have_responses("u", "gpt-x") is not is_refused
    assert apis.may_have_responses("other", "gpt-x")


@pytest.mark.parametrize("setting", ["responses", "chat"])
def test_setting_decides_the_api(setting: Any) -> None:
    apis = UpstreamApis(setting)
    answer: Any = _Answer(404)
    assert apis.may_have_responses("u", None) is (setting == "responses")
    assert not apis.refuses_route(answer, b"", "u", None)
