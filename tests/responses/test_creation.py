"""Responses in front of an upstream that has only chat completions, with OpenAI's client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from tests.responses.checking import check_events, check_items, checked_response, events_of
from tests.support.chatting import RunningGateway, in_conversation, new_id
from tests.support.upstream import Upstream, but, calls, fails, raw, says

_TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


def create(chat: RunningGateway, text: Any, **fields: Any) -> Response:
    response: Response = chat.openai.responses.create(model="m", input=text, **fields)
    return response


def roles(upstream: Upstream) -> list[str]:
    return [message["role"] for message in upstream.last.messages]


def contents(upstream: Upstream) -> list[Any]:
    return [message["content"] for message in upstream.last.messages]


def test_response_has_openais_form(chat: RunningGateway) -> None:
    sent = {"model": "m", "input": "Hello.", "tools": [_TOOL], "metadata": {"a": "b"}}
    response = chat.http.post("/v1/responses", json=sent).raise_for_status()
    assert checked_response(response.json()).output_text == "You said: Hello."
    assert response.json()["metadata"] == {"a": "b"}
    assert response.headers["x-conversation-id"].startswith("conv_")


def test_previous_response_is_continued(chat: RunningGateway, upstream: Upstream) -> None:
    first = create(chat, "My locker is 8314.")
    second = create(chat, "Which locker?", previous_response_id=first.id)
    create(chat, "And now?", previous_response_id=second.id)
    assert contents(upstream) == [
        *("My locker is 8314.", "You said: My locker is 8314."),
        *("Which locker?", "You said: Which locker?", "And now?"),
    ]


def test_continuing_an_older_response_begins_a_branch(
    chat: RunningGateway, upstream: Upstream
) -> None:
    first = create(chat, "One.")
    create(chat, "Two.", previous_response_id=first.id)
    create(chat, "Other.", previous_response_id=first.id)
    assert contents(upstream) == ["One.", "You said: One.", "Other."]


def test_unknown_previous_response_is_refused(chat: RunningGateway) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        create(chat, "Hi.", previous_response_id="resp_unknown")
    assert error.value.code == "previous_response_not_found"
    assert error.value.param == "previous_response_id"


def test_conversation_has_input_and_output(chat: RunningGateway, upstream: Upstream) -> None:
    conversation = chat.openai.conversations.create().id
    first = create(chat, "Hi.", conversation=conversation)
    second = create(chat, "Hi.", conversation={"id": conversation})
    assert first.conversation is not None
    assert first.conversation.id == conversation
    items = chat.items(conversation)
    check_items(items)
    assert chat.texts(conversation) == ["Hi.", "You said: Hi."] * 2
    assert [items[1]["id"], items[3]["id"]] == [first.output[0].id, second.output[0].id]
    assert len(upstream.last.messages) == 3


def test_instructions_are_not_carried_over(chat: RunningGateway, upstream: Upstream) -> None:
    first = create(chat, "Hi.", instructions="Be brief.")
    assert contents(upstream) == ["Be brief.", "Hi."]
    create(chat, "More.", previous_response_id=first.id)
    assert roles(upstream) == ["user", "assistant", "user"]


def test_developer_messages_are_carried_over(chat: RunningGateway, upstream: Upstream) -> None:
    developer = {"role": "developer", "content": "Speak French."}
    first = create(chat, [{"role": "user", "content": "Hi."}, developer])
    create(chat, "More.", previous_response_id=first.id, instructions="Be brief.")
    assert contents(upstream) == ["Be brief.\n\nSpeak French.", "Hi.", "You said: Hi.", "More."]


def test_resent_history_is_stored_once(chat: RunningGateway) -> None:
    headers = in_conversation(new_id())
    history: list[Any] = [{"role": "user", "content": "One."}]
    history += create(chat, history, extra_headers=headers).output
    history += [{"role": "user", "content": "Two."}]
    create(chat, history, extra_headers=headers)
    texts = chat.all_texts(headers["x-conversation-id"])
    assert texts == ["One.", "You said: One.", "Two.", "You said: Two."]


def test_ids_of_items_name_the_conversation(chat: RunningGateway) -> None:
    history: list[Any] = [{"role": "user", "content": "Three."}]
    first = chat.openai.responses.with_raw_response.create(model="m", input=history)
    history += [{"type": "item_reference", "id": first.parse().output[0].id}]
    history += [{"role": "user", "content": "Four."}]
    second = chat.openai.responses.with_raw_response.create(model="m", input=history)
    conversation = first.headers["x-conversation-id"]
    assert second.headers["x-conversation-id"] == conversation
    assert chat.texts(conversation)[2:] == ["Four.", "You said: Four."]


def test_retry_is_the_same_turn(chat: RunningGateway, upstream: Upstream) -> None:
    first = create(chat, "One.")
    upstream.then(fails(400))
    with pytest.raises(openai.BadRequestError):
        create(chat, "Two.", previous_response_id=first.id)
    create(chat, "Two.", previous_response_id=first.id)
    assert contents(upstream) == ["One.", "You said: One.", "Two."]
    retry = {"x-stainless-retry-count": "1"}
    create(chat, "Two.", previous_response_id=first.id, extra_headers=retry)
    assert contents(upstream) == ["One.", "You said: One.", "Two."]


def test_tool_loop(chat: RunningGateway, upstream: Upstream) -> None:
    upstream.then(calls(("weather", {"city": "Oslo"}), ("weather", {"city": "Rome"})))
    tools = [_TOOL, {"type": "custom", "name": "note", "format": {"type": "text"}}]
    first = create(chat, "Weather?", tools=tools, tool_choice={"type": "custom", "name": "note"})
    sent = upstream.last.body
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["weather", "note"]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "note"}}
    outputs = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
        for call in first.output
        if call.type == "function_call"
    ]
    answer = create(chat, outputs, previous_response_id=first.id, tools=tools)
    assert roles(upstream) == ["user", "assistant", "tool", "tool"]
    assert answer.output_text == "You said: sun"
    check_items(chat.http.get(f"/v1/responses/{answer.id}/input_items").json()["data"])


def test_custom_tool_loop(chat: RunningGateway, upstream: Upstream) -> None:
    tools = [{"type": "custom", "name": "note", "description": "Write it down."}]
    upstream.then(calls(("note", {"input": "milk"})))
    first = create(chat, "Note milk.", tools=tools)
    (call,) = first.output
    assert call.type == "custom_tool_call"
    assert call.input == "milk"
    output = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "done"}
    create(chat, [output], previous_response_id=first.id, tools=tools)
    (sent,) = upstream.last.messages[1]["tool_calls"]
    assert sent["function"] == {"name": "note", "arguments": '{"input":"milk"}'}


def test_reasoning_is_sent_back_in_its_exchange(chat: RunningGateway, upstream: Upstream) -> None:
    function = {"name": "weather", "arguments": "{}"}
    call = {"id": "call_r", "type": "function", "function": function, "extra_content": {"s": "1"}}
    thought = {"role": "assistant", "reasoning_content": "Ask.", "tool_calls": [call]}
    upstream.then(says({**thought, "content": None}))
    first = create(chat, "Weather?", tools=[_TOOL])
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    output = {"type": "function_call_output", "call_id": "call_r", "output": "sun"}
    second = create(chat, [output], previous_response_id=first.id, tools=[_TOOL])
    message = upstream.last.messages[1]
    assert message["reasoning_content"] == "Ask."
    assert message["tool_calls"][0]["extra_content"] == {"s": "1"}
    create(chat, "Thanks.", previous_response_id=second.id, tools=[_TOOL])
    assert "reasoning_content" not in upstream.last.messages[1]


class Locker(BaseModel):
    """What a model is asked to return."""

    number: int


def test_structured_output_is_parsed(chat: RunningGateway, upstream: Upstream) -> None:
    upstream.then(says('{"number": 8314}'))
    response = chat.openai.responses.parse(model="m", input="Which locker?", text_format=Locker)
    assert response.output_parsed == Locker(number=8314)
    form = upstream.last.body["response_format"]
    assert form["json_schema"]["name"] == "Locker"
    assert form["json_schema"]["strict"] is True


def test_parameters_are_translated(chat: RunningGateway, upstream: Upstream) -> None:
    create(
        chat,
        "Hi.",
        metadata={"conversation_id": new_id()},
        max_output_tokens=50,
        reasoning={"effort": "low"},
        include=["reasoning.encrypted_content"],
        truncation="auto",
        temperature=0.5,
        extra_body={"top_k": 3},
    )
    sent = {name: value for name, value in upstream.last.body.items() if name != "messages"}
    assert sent == {
        "model": "m",
        "max_tokens": 50,
        "reasoning_effort": "low",
        "temperature": 0.5,
        "top_k": 3,
    }


def test_parts_of_a_message_are_translated(chat: RunningGateway, upstream: Upstream) -> None:
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
    ]
    create(chat, [{"role": "user", "content": parts}])
    image = {"url": "data:image/png;base64,AAAA", "detail": "low"}
    assert contents(upstream) == [
        [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": image}]
    ]


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "unsupported_tool", "tools.0"),
        ({"background": True}, "unsupported_parameter", "background"),
        ({"prompt": {"id": "pmpt_1"}}, "unsupported_parameter", "prompt"),
        (
            {"previous_response_id": "resp_1", "conversation": "c"},
            "mutually_exclusive_parameters",
            "previous_response_id",
        ),
        ({"input": []}, "invalid_type", "input"),
    ],
)
def test_unsupported_request_is_refused(
    chat: RunningGateway, fields: Mapping[str, Any], code: str, param: str
) -> None:
    body = {"model": "m", "input": "Hi.", **fields}
    error = chat.http.post("/v1/responses", json=body)
    assert error.status_code == 400
    assert (error.json()["error"]["code"], error.json()["error"]["param"]) == (code, param)


def test_error_of_the_upstream_is_returned(chat: RunningGateway, upstream: Upstream) -> None:
    upstream.then(fails(429, "slow down", "rate_limit", retry_after="3"))
    response = chat.http.post("/v1/responses", json={"model": "m", "input": "Hi.", "stream": True})
    assert response.status_code == 429
    assert response.json()["error"]["message"] == "slow down"
    assert response.headers["retry-after"] == "3"


def test_stream_is_stored(chat: RunningGateway) -> None:
    with chat.openai.responses.stream(model="m", input="Count to three, please.") as stream:
        final = list(stream)[-1]
    assert final.type == "response.completed"
    stored = chat.openai.responses.retrieve(final.response.id)
    assert stored.output_text == "You said: Count to three, please."


def test_events_of_a_stream(chat: RunningGateway, upstream: Upstream) -> None:
    upstream.then(calls(("weather", {"city": "Oslo"}), ("note", {"input": "x"}), content="Wait."))
    tools = [_TOOL, {"type": "custom", "name": "note"}]
    body = {"model": "m", "input": "Weather?", "stream": True, "tools": tools}
    content = chat.http.post("/v1/responses", json=body).content
    response = check_events(events_of(content))
    kinds = [item["type"] for item in checked_response(response).model_dump()["output"]]
    assert kinds == ["message", "function_call", "custom_tool_call"]
    assert response["usage"]["output_tokens"] > 0


def test_stream_that_breaks_off_is_kept_as_incomplete(
    chat: RunningGateway, upstream: Upstream
) -> None:
    upstream.then(but(says("A long answer that breaks."), cut_after=3))
    headers = in_conversation(new_id())
    body = {"model": "m", "input": "Go.", "stream": True}
    content = chat.http.post("/v1/responses", json=body, headers=headers).content
    events = events_of(content)
    assert events[-1]["type"] == "error"
    assert events[-1]["code"] == "upstream_broke_off"
    (_, answer) = chat.items(headers["x-conversation-id"])
    assert answer["status"] == "incomplete"
    assert "A long answer that breaks.".startswith(answer["content"][0]["text"])


def test_disconnected_client_leaves_an_incomplete_answer(
    chat: RunningGateway, upstream: Upstream
) -> None:
    upstream.then(but(says("An answer that takes very long."), stall_after=4))
    headers = in_conversation(new_id())
    body = {"model": "m", "input": "Go.", "stream": True}
    with chat.http.stream("POST", "/v1/responses", json=body, headers=headers) as response:
        assert next(response.iter_bytes())
    chat.wait_for(headers["x-conversation-id"], 2)
    assert chat.items(headers["x-conversation-id"])[1]["status"] == "incomplete"


def test_refused_prompt_is_shortened(chat: RunningGateway, upstream: Upstream) -> None:
    conversation = new_id()
    items = [{"role": role, "content": f"{role} {'word ' * 60}"} for role in ("user", "assistant")]
    created = {"id": conversation, "items": items * 8}
    chat.http.post("/v1/conversations", json=created).raise_for_status()
    upstream.max_tokens = 400
    assert create(chat, "Short.", conversation=conversation).output_text.endswith("Short.")
    assert [request.tokens <= 400 for request in upstream.requests[-2:]] == [False, True]


def test_completion_without_json_is_an_error(chat: RunningGateway, upstream: Upstream) -> None:
    upstream.then(raw(b"<html>"))
    assert chat.http.post("/v1/responses", json={"input": "Hi."}).status_code == 502


def test_response_to_a_chat_completions_body(chat: RunningGateway, upstream: Upstream) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi."}]},
    ]
    body = {"model": "m", "messages": messages, "tools": [tool], "max_tokens": 9}
    response = chat.http.post("/v1/responses", json=body).raise_for_status().json()
    assert checked_response(response).output_text == "You said: Hi."
    assert upstream.last.body["max_tokens"] == 9
    assert upstream.last.body["tools"] == [tool]
    assert contents(upstream) == ["Be brief.", "Hi."]


def test_chat_completion_of_a_responses_body(chat: RunningGateway, upstream: Upstream) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    sent = {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Hi."}]},
            call,
            {"type": "function_call_output", "call_id": "c", "output": "ok"},
        ],
        "tools": [{**_TOOL, "name": "f"}],
        "max_output_tokens": 9,
        "metadata": {"a": "b"},
    }
    headers = in_conversation(new_id())
    answer = chat.http.post("/v1/chat/completions", json=sent, headers=headers)
    assert answer.json()["choices"][0]["message"]["content"] == "You said: ok"
    assert roles(upstream) == ["system", "user", "assistant", "tool"]
    assert upstream.last.body["max_completion_tokens"] == 9
    assert upstream.last.body["metadata"] == {"a": "b"}
    assert "input" not in upstream.last.body


def test_recall_across_responses_of_a_user(chat: RunningGateway, upstream: Upstream) -> None:
    user = new_id()
    create(chat, "My locker at the gym is number 8314.", user=user)
    create(chat, "Which number has my locker?", user=user)
    last = upstream.last.messages[-1]["content"]
    assert "8314" in json.dumps(last)
