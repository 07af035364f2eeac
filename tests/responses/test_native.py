"""Responses in front of an upstream that has the Responses API itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai.types.responses import Response

from memory_service.responses.objects import message_item, text_part
from tests.responses.checking import check_events, checked_response, events_of
from tests.responses.conftest import NativeWorld
from tests.responses.native_upstream import Behaviour, text_of
from tests.support.chatting import in_conversation, new_id
from tests.support.storing import eventually

_REASONING = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "x" * 40}
_CALL = {
    "id": "fc_1",
    "type": "function_call",
    "call_id": "call_1",
    "name": "weather",
    "arguments": "{}",
    "status": "completed",
}
_SEARCH = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "weather"},
}


def create(native: NativeWorld, text: Any, **fields: Any) -> Response:
    response: Response = native.service.openai.responses.create(model="m", input=text, **fields)
    return response


def outputs(*items: dict[str, Any]) -> Behaviour:
    return lambda _: items


def wait_for_requests(native: NativeWorld, count: int) -> None:
    eventually(lambda: len(native.upstream.bodies) >= count)


def sent_input(native: NativeWorld) -> list[dict[str, Any]]:
    return list(native.upstream.bodies[-1]["input"])


def test_unknown_fields_are_forwarded(native: NativeWorld) -> None:
    fields = {"include": ["reasoning.encrypted_content"], "truncation": "auto", "store": False}
    hosted = [{"type": "web_search"}]
    create(native, "Hi.", tools=hosted, extra_body={"new_field": [1]}, **fields)
    body = native.upstream.bodies[-1]
    assert body == {"model": "m", "input": "Hi.", "tools": hosted, "new_field": [1], **fields}


def test_response_has_an_id_of_the_service(native: NativeWorld) -> None:
    first, second = create(native, "One."), create(native, "Two.")
    assert first.id != second.id
    assert len(first.id) > 20
    assert native.service.openai.responses.retrieve(first.id).output_text == "You said: One."
    assert native.service.openai.responses.retrieve(second.id).output_text == "You said: Two."


def test_previous_response_is_resolved(native: NativeWorld) -> None:
    first = create(native, "One.", instructions="Be brief.")
    second = create(native, "Two.", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert [item["role"] for item in sent_input(native)] == ["user", "assistant", "user"]
    assert "instructions" not in native.upstream.bodies[-1]


def test_items_of_an_exchange_are_sent_back_as_they_are(native: NativeWorld) -> None:
    native.upstream.then(outputs(_REASONING, _SEARCH, _CALL))
    first = create(native, "Weather?")
    result = {"type": "function_call_output", "call_id": "call_1", "output": "sun"}
    native.upstream.then(outputs(message_item("msg_1", [text_part("Sun.")])))
    second = create(native, [result], previous_response_id=first.id)
    call = {name: value for name, value in _CALL.items() if name != "id"}
    assert sent_input(native)[1:] == [_REASONING, _SEARCH, call, result]
    create(native, "Thanks.", previous_response_id=second.id)
    kinds = [item.get("type", "message") for item in sent_input(native)]
    assert kinds == ["message", "function_call", "function_call_output", "message", "message"]


def test_call_without_result_is_left_out(native: NativeWorld) -> None:
    native.upstream.then(outputs(_CALL))
    first = create(native, "Weather?")
    create(native, "Never mind.", previous_response_id=first.id)
    assert [item["role"] for item in sent_input(native)] == ["user", "user"]


def test_developer_messages_stay_items(native: NativeWorld) -> None:
    developer = {"role": "developer", "content": "Speak French."}
    first = create(native, [developer, {"role": "user", "content": "Hi."}])
    create(native, "More.", previous_response_id=first.id, instructions="Be brief.")
    assert sent_input(native)[0] == developer
    assert native.upstream.bodies[-1]["instructions"] == "Be brief."


def test_recalled_turns_are_a_part_of_the_input(native: NativeWorld) -> None:
    user = new_id()
    create(native, "My locker at the gym is number 8314.", user=user)
    create(native, "Which number has my locker?", user=user)
    (recalled, question) = sent_input(native)[-1]["content"]
    assert "8314" in recalled["text"]
    assert question == {"type": "input_text", "text": "Which number has my locker?"}


def test_conversation_of_chat_completions_is_continued(native: NativeWorld) -> None:
    conversation = new_id()
    function = {"name": "weather", "arguments": "{}"}
    call = {"id": "c1", "type": "function", "function": function}
    items = [
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {"role": "assistant", "content": "Wait.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        {"role": "assistant", "content": "Sun."},
    ]
    created = {"id": conversation, "items": items}
    native.service.http.post("/v1/conversations", json=created).raise_for_status()
    create(native, "Thanks.", conversation=conversation)
    assert sent_input(native) == [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"role": "assistant", "content": "Wait."},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sun"},
        {"role": "assistant", "content": "Sun."},
        {"role": "user", "content": "Thanks."},
    ]


def test_parallel_requests_do_not_see_each_other(native: NativeWorld) -> None:
    conversation = new_id()
    create(native, "Zero.", conversation=conversation)
    native.upstream.hold()
    with ThreadPoolExecutor(2) as pool:
        futures = []
        for number, text in enumerate(("One.", "Two."), start=2):
            futures.append(pool.submit(create, native, text, conversation=conversation))
            wait_for_requests(native, number)
        native.upstream.release()
        answers = [future.result().output_text for future in futures]
    assert answers == ["You said: One.", "You said: Two."]
    sent = [[text_of(item) for item in body["input"]] for body in native.upstream.bodies[1:]]
    assert sent == [["Zero.", "You said: Zero.", text] for text in ("One.", "Two.")]
    texts = native.service.texts(conversation)
    pairs = sorted(zip(texts[::2], texts[1::2], strict=True))
    assert pairs == sorted((text, f"You said: {text}") for text in ("Zero.", "One.", "Two."))


def test_events_have_the_id_of_the_stored_response(native: NativeWorld) -> None:
    native.upstream.then(outputs(_REASONING, _CALL))
    body = {"model": "m", "input": "Weather?", "stream": True}
    content = native.service.http.post("/v1/responses", json=body).content
    response = check_events(events_of(content))
    stored = native.service.openai.responses.retrieve(str(response["id"]))
    assert [item.type for item in stored.output] == ["reasoning", "function_call"]


def test_stream_that_breaks_off_is_kept_as_incomplete(native: NativeWorld) -> None:
    native.upstream.cut_after = 5
    headers = in_conversation(new_id())
    body = {"model": "m", "input": "Go.", "stream": True}
    content = native.service.http.post("/v1/responses", json=body, headers=headers).content
    assert events_of(content)[-1]["code"] == "upstream_broke_off"
    (_, answer) = native.service.items(headers["x-conversation-id"])
    assert (answer["status"], answer["content"][0]["text"]) == ("incomplete", "You said: Go.")


def test_error_of_the_upstream_is_returned(native: NativeWorld) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    sent = {"model": "m", "input": [call], "store": False}
    response = native.service.http.post("/v1/responses", json=sent)
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "No tool output found for function call."


def test_request_without_memory_is_forwarded_byte_for_byte(native: NativeWorld) -> None:
    content = b'{ "model": "m",  "input": "Hi.", "store": true }'
    headers = {"x-memory": "off", "content-type": "application/json"}
    response = native.service.http.post("/v1/responses", content=content, headers=headers)
    assert native.upstream.contents == [content]
    assert checked_response(response.json()).output_text == "You said: Hi."
    assert native.service.http.get(f"/v1/responses/{response.json()['id']}").status_code == 404
