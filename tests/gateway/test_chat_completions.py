"""Chat completions through the service: what is stored, what is forwarded, what comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.support.chatting import Gateway, Messages, assistant, gateway, new_id, user
from tests.support.storing import eventually
from tests.support.upstream import Upstream, but, calls, echo, fails, raw, says

COUNTS = ("recalled", "dropped", "prefix-tokens", "tokens-after", "tokens-before")
TEXT = {"type": "text", "text": "hello there"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def chat(world: Gateway) -> Gateway:
    """Return the running service, its upstream as new."""
    world.upstream.requests.clear()
    world.upstream.max_tokens = None
    return world


@pytest.fixture
def upstream(chat: Gateway) -> Upstream:
    return chat.upstream


def in_conversation(conversation: str, **more: str) -> dict[str, str]:
    return {"x-conversation-id": conversation, **more}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"x-conversation-id": "{id}"}, {"conversation": "no", "metadata": {"a": "b"}}),
        ({}, {"metadata": {"conversation_id": "{id}"}, "conversation": "no"}),
        ({}, {"conversation": "{id}"}),
        ({}, {"conversation": {"id": "{id}"}}),
    ],
)
def test_the_conversation_is_the_headers_else_the_metadatas_else_the_bodys(
    chat: Gateway, headers: dict[str, str], body: dict[str, Any]
) -> None:
    one = new_id()
    filled = json.loads(json.dumps([headers, body]).replace("{id}", one))
    answer = chat.send("hello", headers=filled[0], **filled[1]).raise_for_status()
    assert answer.headers["x-conversation-id"] == one
    assert chat.said(one) == ["hello", "You said: hello"]
    assert "conversation" not in chat.upstream.last.body
    assert chat.upstream.last.body.get("metadata") in (None, {"a": "b"})


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"x-user-id": "{id}"}, {"user": "another"}),
        ({}, {"user": "{id}", "safety_identifier": "another"}),
        ({}, {"safety_identifier": "{id}"}),
    ],
)
def test_the_user_is_the_headers_else_the_bodys(
    chat: Gateway, headers: dict[str, str], body: dict[str, Any]
) -> None:
    one = new_id()
    filled = json.loads(json.dumps([headers, body]).replace("{id}", one))
    chat.send("hello", headers=filled[0], **filled[1]).raise_for_status()
    listed = chat.http.get("/v1/conversations", params={"user": one}).raise_for_status().json()
    assert len(listed["data"]) == 1


@pytest.mark.parametrize(
    "called",
    [
        "ann@example.org",
        "auth0|5f7c8ec7c33c6c004bbafe82",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c" * 2,
        "tenant/7:Jörg Müller?#%2F&",
        "小明",
    ],
)
def test_a_user_is_called_whatever_the_application_calls_it(chat: Gateway, called: str) -> None:
    body: dict[str, Any] = {"conversation": new_id(), "user": called}
    chat.send("The locker is number 8314.", **body).raise_for_status()
    chat.send("And the bike is green.", headers={b"x-user-id": called.encode()}).raise_for_status()
    sought = {"query": "Which number has the locker?", "user_id": called}
    found = chat.http.post("/v1/search", json=sought).raise_for_status().json()
    assert found["data"][0]["text"] == "The locker is number 8314."
    listed = chat.http.get("/v1/conversations", params={"user": called}).raise_for_status()
    assert [one["user"] for one in listed.json()["data"]] == [called, called]
    forgotten = chat.http.delete(f"/v1/users/{quote(called, safe='')}").raise_for_status()
    assert forgotten.json()["id"] == called
    assert chat.http.post("/v1/search", json=sought).status_code == 404


@pytest.mark.parametrize("other", ["Ann@example.org", "ann@example.org/", "ann%40example.org"])
def test_users_are_told_apart_to_the_letter(chat: Gateway, other: str) -> None:
    conversation = new_id()
    chat.send("hello", conversation=conversation, user="ann@example.org").raise_for_status()
    assert chat.send("hello", conversation=conversation, user=other).status_code == 404
    assert chat.http.delete(f"/v1/users/{quote(other, safe='')}").status_code == 404


@pytest.mark.parametrize(
    ("headers", "body", "param"),
    [
        ({"x-conversation-id": "a b"}, {}, "x-conversation-id"),
        ({}, {"conversation": 7}, "conversation"),
        ({}, {"user": "x" * 129}, "user"),
        ({}, {"user": "ann\n"}, "user"),
        ({}, {"user": 7}, "user"),
        ({}, {"safety_identifier": ""}, "safety_identifier"),
        ({}, {"user": ".."}, "user"),
        ({"x-user-id": "J\xf6rg".encode("latin-1")}, {}, "x-user-id"),
        ({"x-memory": "perhaps", "x-user-id": "u"}, {}, "x-memory"),
        ({"x-memory-top-k": "101", "x-user-id": "u"}, {}, "x-memory-top-k"),
        ({"x-memory-token-budget": "0", "x-user-id": "u"}, {}, "x-memory-token-budget"),
        ({"x-memory-scope": "all", "x-user-id": "u"}, {}, "x-memory-scope"),
        ({"x-user-id": "u"}, {"messages": []}, "messages"),
        ({"x-user-id": "u"}, {"messages": {"a": 1}}, "messages"),
        ({"x-user-id": "u"}, {"messages": [{"content": "hello"}]}, "messages.0"),
        ({"x-user-id": "u"}, {"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"x-upstream-authorization": "Bearer x"}, {}, "x-upstream-authorization"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_not_forwarded(
    chat: Gateway, headers: dict[str, Any], body: dict[str, Any], param: str
) -> None:
    answer = chat.send(body.pop("messages", user("hello")), headers=headers, **body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert chat.upstream.requests == []


@pytest.mark.parametrize("headers", [{}, {"x-memory": "off", "x-user-id": "nobody"}])
def test_without_memory_the_body_goes_on_to_the_byte(
    chat: Gateway, headers: dict[str, str]
) -> None:
    content = b'{"model" : "m", "new_thing": [1.0, 2], "messages":[{"role":"user","content":"x"}]}'
    answer = chat.http.post("/v1/chat/completions", content=content, headers=headers)
    assert answer.raise_for_status().json()["choices"][0]["message"]["content"] == "You said: x"
    assert chat.upstream.last.content == content
    assert not [name for name in answer.headers if name.startswith(("x-memory", "x-conv"))]
    assert chat.http.get("/v1/conversations", params={"user": "nobody"}).status_code == 404


def test_unknown_request_fields_pass_and_our_own_do_not(chat: Gateway) -> None:
    fields = {"reasoning_effort": "low", "top_n_sigma": 1.5, "stop": ["a", None], "seed": 7}
    message = {**user("hello")[0], "id": new_id(), "created_at": 5, "metadata": {"a": "b"}}
    headers = in_conversation(new_id())
    chat.send([message], headers=headers, **fields).raise_for_status()
    assert chat.upstream.last.body == {"model": "m", "messages": user("hello"), **fields}


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_the_answers_bytes_come_back_as_they_are(
    chat: Gateway, upstream: Upstream, content_type: str
) -> None:
    content = b'{"odd":  1,"choices": [{"message": {"content": "caf\\u00e9"}}], "new": null }\n'
    if content_type == "text/event-stream":
        content = b": hm\r\n\r\ndata:  " + content + b"\r\n\r\nevent: x\ndata: [DONE]\n\n"
    upstream.then(raw(content, content_type=content_type))
    answer = chat.send("hello", headers=in_conversation(new_id()))
    assert answer.content == content
    assert answer.headers["content-type"].startswith(content_type)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (says("plain"), {"text": "plain"}),
        (says({"role": "assistant", "content": None, "refusal": "No."}), {"text": "No."}),
        (
            says(
                {
                    "role": "assistant",
                    "content": None,
                    "function_call": {"name": "look_up", "arguments": '{"city": "Oslo"}'},
                }
            ),
            {"text": 'look_up\n{"city": "Oslo"}'},
        ),
        (
            calls(("look_up", {"city": "Oslo"}), ("look_up", {"city": "Rome"}), content="Hm"),
            {"text": 'Hm\nlook_up\n{"city": "Oslo"}\nlook_up\n{"city": "Rome"}'},
        ),
    ],
)
def test_an_answer_is_stored_from_its_message_or_its_chunks(
    chat: Gateway, upstream: Upstream, behaviour: Any, expected: dict[str, str], *, stream: bool
) -> None:
    one = new_id()
    upstream.then(but(behaviour, chunk_chars=3))
    chat.send("hello", headers=in_conversation(one), stream=stream).raise_for_status()
    assert chat.everything(one) == ["hello", expected["text"]]


def test_choices_after_the_first_are_its_siblings(chat: Gateway, upstream: Upstream) -> None:
    one = new_id()
    upstream.then(says("first", "second", "third"))
    chat.send("hello", headers=in_conversation(one), n=3).raise_for_status()
    assert chat.said(one) == ["hello", "first"]
    with chat.log.read() as snapshot:
        found = snapshot.conversations.get(snapshot.projects.key_of("local") or 0, one)
        question, *answers = snapshot.turns.all(found.key if found else 0)
    assert sorted(turn.text for turn in answers) == ["first", "second", "third"]
    assert {turn.parent_key for turn in answers} == {question.key}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503])
def test_a_failure_comes_back_as_it_is_and_the_users_turn_is_stored_once(
    chat: Gateway, upstream: Upstream, status: int
) -> None:
    one = new_id()
    upstream.then(*[fails(status, "no way", "odd", retry_after="7")] * 2)
    for _ in range(2):
        answer = chat.send("hello", headers=in_conversation(one), stream=True)
        assert answer.status_code == status
        assert answer.json()["error"]["message"] == "no way"
        assert answer.headers["retry-after"] == "7"
    assert chat.said(one) == ["hello"]
    chat.send("hello", headers=in_conversation(one)).raise_for_status()
    assert chat.said(one) == ["hello", "You said: hello"]


def test_an_upstream_that_breaks_off_before_its_answer_is_a_502(
    chat: Gateway, upstream: Upstream
) -> None:
    upstream.then(but(echo, cut_after=0))
    answer = chat.send("hello", headers=in_conversation(new_id()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_broke_off")


def test_an_upstream_that_breaks_off_in_its_answer_leaves_it_incomplete(
    chat: Gateway, upstream: Upstream
) -> None:
    one = new_id()
    upstream.then(but(says("one two three four"), cut_after=3, chunk_chars=4))
    answer = chat.send("hello", headers=in_conversation(one), stream=True)
    assert answer.status_code == 200
    assert '"code":"upstream_broke_off"' in answer.text
    assert chat.said(one) == ["hello", "one two "]
    assert [item["status"] for item in chat.items(one)] == ["completed", "incomplete"]


def test_what_came_before_the_caller_left_is_stored_as_incomplete(
    chat: Gateway, upstream: Upstream
) -> None:
    one = new_id()
    upstream.then(but(says("one two three four"), stall_after=3, chunk_chars=4))
    gone, came = upstream.disconnects, b""
    body = {"model": "m", "stream": True, "messages": user("hello")}
    headers = in_conversation(one)
    with chat.http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        chunks = answer.iter_raw()
        # What has come is passed on though the upstream is in the middle of its answer.
        while b"two" not in came:
            came += next(chunks)
    chat.wait_for(one, 2)
    assert chat.said(one) == ["hello", "one two "]
    assert chat.items(one)[1]["status"] == "incomplete"
    eventually(lambda: upstream.disconnects == gone + 1)


def test_the_end_of_a_stream_is_told_when_its_answer_is_stored(chat: Gateway) -> None:
    one = new_id()
    said: Any = []
    for number in range(20):
        said += user(f"question {number}")
        stream = chat.openai.chat.completions.create(
            model="m", messages=said, stream=True, extra_headers=in_conversation(one)
        )
        said += assistant("".join(chunk.choices[0].delta.content or "" for chunk in stream))
    assert chat.stored(one) == len(said) == 40
    assert chat.said(one) == [one["content"] for one in said]


@pytest.mark.parametrize(
    ("mode", "stored", "recalled"), [("on", 4, 1), ("read", 2, 1), ("off", 2, 0)]
)
def test_a_request_says_what_it_does_with_memory(
    chat: Gateway, mode: str, stored: int, recalled: int
) -> None:
    one = new_id()
    chat.send("My locker is 8314.", headers=in_conversation(one)).raise_for_status()
    answer = chat.send("Which locker?", headers=in_conversation(one, **{"x-memory": mode}))
    assert answer.raise_for_status()
    assert chat.stored(one) == stored
    assert ("8314" in str(chat.upstream.last.messages)) == bool(recalled)


@pytest.mark.parametrize("named", [{}, {"x-conversation-id": "never-stored"}])
def test_who_only_reads_is_told_what_the_user_said_elsewhere(
    chat: Gateway, named: dict[str, str]
) -> None:
    ann = {"x-user-id": new_id()}
    chat.send("My locker at the gym is 8314.", headers=ann).raise_for_status()
    sent = user("Hello.") + assistant("Hello Ann.") + user("Which locker is mine at the gym?")
    answer = chat.send(sent, headers={**ann, **named, "x-memory": "read"}).raise_for_status()
    forwarded = chat.upstream.last.messages
    assert forwarded[:2] == sent[:2]
    assert ["8314" in str(one) for one in forwarded] == [False, False, True]
    assert "x-conversation-id" not in answer.headers
    listed = chat.http.get("/v1/conversations", params={"user": ann["x-user-id"]})
    assert len(listed.json()["data"]) == 1
    assert chat.http.get("/v1/conversations/never-stored").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-user-id": "nobody"}, {"x-user-id": "{ann}", "x-memory-scope": "conversation"}],
)
def test_who_only_reads_where_nothing_is_known_is_forwarded(
    chat: Gateway, headers: dict[str, str]
) -> None:
    ann = new_id()
    chat.send("My locker is 8314.", headers={"x-user-id": ann}).raise_for_status()
    filled = {name: value.replace("{ann}", ann) for name, value in headers.items()}
    read = {"x-memory": "read", "x-conversation-id": "never-stored", **filled}
    answer = chat.send("Which locker is mine?", headers=read).raise_for_status()
    assert chat.upstream.last.messages == user("Which locker is mine?")
    assert not [name for name in answer.headers if name.startswith("x-memory")]


def test_a_long_history_that_is_only_read_is_cut_and_its_calls_stay_whole(chat: Gateway) -> None:
    ann = {"x-user-id": new_id(), "x-memory": "read"}
    chat.send("hello", headers={"x-user-id": ann["x-user-id"]}).raise_for_status()
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said: Messages = [one for n in range(9) for one in user("x " * 90) + assistant(f"y{n} " * 90)]
    said += [*user("go"), {"role": "assistant", "content": None, "tool_calls": [call]}]
    said += [{"role": "tool", "tool_call_id": "c", "content": "done"}]
    chat.send(said, headers={**ann, "x-memory-token-budget": "1000"}).raise_for_status()
    forwarded = chat.upstream.last.messages
    assert forwarded[-3:] == said[-3:]
    assert len(forwarded) < len(said)


def test_a_users_history_is_continued_without_a_conversations_id(chat: Gateway) -> None:
    ann, said = {"x-user-id": new_id()}, user("My dog is called Bo.")
    first = chat.send(said, headers=ann).headers["x-conversation-id"]
    said += assistant("You said: My dog is called Bo.") + user("And my cat?")
    assert chat.send(said, headers=ann).headers["x-conversation-id"] == first
    assert chat.stored(first) == 4
    other = chat.send(user("Something else"), headers=ann).headers["x-conversation-id"]
    assert other != first


def test_the_headers_of_a_response_say_what_memory_did(chat: Gateway) -> None:
    one = new_id()
    said = user("My locker is 8314.") + assistant("Noted.")
    for number in range(24):
        said += user(f"The colour of box {number} is {number * 7}.") + assistant(f"Box {number}.")
    said += user("Which locker is mine?")
    told = [chat.send(said, headers=in_conversation(one)).raise_for_status()]
    said += assistant("You said: Which locker is mine?") + user("And which box?")
    told.append(chat.send(said, headers=in_conversation(one)).raise_for_status())
    first, second = ([int(one.headers[f"x-memory-{n}"]) for n in COUNTS] for one in told)
    assert first[0] >= 1
    assert (first[2], second[2] > 0) == (0, True)
    assert 0 < second[3] < second[4]
    assert float(told[1].headers["x-memory-ms"]) > 0
    trace = chat.http.get(f"/v1/traces/{told[0].headers['x-memory-trace-id']}").raise_for_status()
    outcomes = [one["outcome"] for one in trace.json()["candidates"]]
    assert outcomes.count("recalled") == first[0]


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, True),
        ({"x-memory-scope": "user"}, True),
        ({"x-memory-scope": "conversation"}, False),
        ({"x-memory-top-k": "0"}, False),
    ],
)
def test_a_request_says_where_to_recall_and_how_much(
    chat: Gateway, headers: dict[str, str], *, found: bool
) -> None:
    ann = {"x-user-id": new_id()}
    for text in ("My locker at the gym is 8314.", "Which locker at the gym is mine?"):
        chat.send(text, headers={**ann, **headers, **in_conversation(new_id())}).raise_for_status()
    assert ("8314" in str(chat.upstream.last.messages)) == found


def test_a_users_history_is_compared_with_nobody_elses(chat: Gateway) -> None:
    said = user("My dog is called Bo.")
    first = chat.send(said, headers={"x-user-id": new_id()}).headers["x-conversation-id"]
    said += assistant("You said: My dog is called Bo.") + user("And my cat?")
    second = chat.send(said, headers={"x-user-id": new_id()}).headers["x-conversation-id"]
    assert first != second
    assert (chat.stored(first), chat.stored(second)) == (2, 4)


def test_a_conversation_of_another_user_does_not_exist(chat: Gateway) -> None:
    one, ann = new_id(), new_id()
    chat.send("hello", headers=in_conversation(one, **{"x-user-id": ann})).raise_for_status()
    answer = chat.send("hello", headers=in_conversation(one, **{"x-user-id": "bob"}))
    assert (answer.status_code, chat.stored(one)) == (404, 2)
    assert chat.send("hi", headers=in_conversation(one)).status_code == 200


def test_system_messages_go_first_to_the_byte_and_are_not_stored(chat: Gateway) -> None:
    one = new_id()
    parts = [{"type": "text", "text": "Be  brief.", "cache_control": {"type": "ephemeral"}}]
    systems: Messages = [
        {"role": "developer", "content": parts},
        {"role": "system", "content": "Be kind."},
    ]
    strict, chat.upstream.strict = chat.upstream.strict, False
    chat.send([systems[0], *user("a"), systems[1], *assistant("b"), *user("c")], conversation=one)
    chat.upstream.strict = strict
    assert chat.upstream.last.messages[:2] == systems
    assert chat.said(one) == ["a", "b", "c", "You said: c"]


def test_parts_that_are_no_text_reach_the_model_and_are_kept(chat: Gateway) -> None:
    one = new_id()
    for content in ([TEXT, IMAGE], [{**TEXT, "text": "and now?"}]):
        said = [{"role": "user", "content": content}]
        chat.send(said, headers=in_conversation(one)).raise_for_status()
    assert chat.upstream.last.messages[0] == {"role": "user", "content": [TEXT, IMAGE]}
    assert chat.upstream.last.messages[-1] == {"role": "user", "content": "and now?"}


def test_questions_without_answers_are_one_message_for_strict_templates(chat: Gateway) -> None:
    one = new_id()
    chat.upstream.then(fails(500))
    chat.send("first", headers=in_conversation(one))
    chat.send("second", headers=in_conversation(one)).raise_for_status()
    assert chat.upstream.last.messages == [
        {"role": "user", "content": [{**TEXT, "text": one} for one in ("first", "second")]}
    ]


def test_a_long_history_that_is_new_is_stored_and_only_what_fits_is_sent(chat: Gateway) -> None:
    one = new_id()
    pairs = [(f"the colour of box {n} is {n * 7}", f"noted {n}") for n in range(200)]
    said = [part for ask, told in pairs for part in user(ask) + assistant(told)]
    budget = {"x-memory-token-budget": "1500"}
    answer = chat.send([*said, *user("now?")], headers=in_conversation(one, **budget))
    assert answer.raise_for_status().headers["x-conversation-id"] == one
    assert chat.stored(one) == 402
    assert chat.upstream.last.tokens <= 1500
    before, after = (int(answer.headers[f"x-memory-tokens-{end}"]) for end in ("before", "after"))
    assert after < 1500 < before


def test_a_message_that_fits_no_prompt_is_refused_and_not_stored(chat: Gateway) -> None:
    one = new_id()
    headers = in_conversation(one, **{"x-memory-token-budget": "100"})
    answer = chat.send("word " * 500, headers=headers)
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert (chat.stored(one), chat.upstream.requests) == (0, [])


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_clients_limit_of_the_answer_is_kept_free(chat: Gateway, field: str) -> None:
    one = new_id()
    said = [part for n in range(30) for part in user(f"box {n} " * 9) + assistant("ok")]
    headers = in_conversation(one, **{"x-memory-token-budget": "2000"})
    chat.send([*said, *user("now?")], headers=headers, **{field: 1500}).raise_for_status()
    assert chat.upstream.last.tokens <= 500
    assert chat.upstream.last.body[field] == 1500


@pytest.mark.parametrize("known", [True, False])
def test_a_prompt_that_the_upstream_finds_too_long_is_shrunk_once(
    chat: Gateway, *, known: bool
) -> None:
    one = new_id()
    said = [part for n in range(30) for part in user(f"box {n} " * 9) + assistant("ok")]
    chat.send([*said, *user("first")], headers=in_conversation(one)).raise_for_status()
    tokens = chat.upstream.last.tokens
    if known:
        chat.upstream.max_tokens = tokens - 20
    else:
        chat.upstream.then(fails(400, "the request exceeds the available context size"))
    chat.upstream.then(says("fine"))
    answer = chat.send("second", headers=in_conversation(one), model=new_id())
    assert answer.status_code == 200
    assert chat.upstream.requests[-1].tokens < chat.upstream.requests[-2].tokens
    assert chat.said(one)[-2:] == ["second", "fine"]


def test_a_prompt_that_is_still_too_long_is_the_upstreams_refusal(chat: Gateway) -> None:
    chat.upstream.max_tokens = 1
    answer = chat.send("hello", headers=in_conversation(new_id()))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert len(chat.upstream.requests) <= 2


def test_a_quoted_recollection_is_kept_and_not_indexed_again(
    chat: Gateway, upstream: Upstream
) -> None:
    ann, fact = {"x-user-id": new_id()}, "The key of the blue shed hangs behind the kitchen clock."
    chat.send(fact, headers=ann | in_conversation(new_id())).raise_for_status()
    two = new_id()
    upstream.then(says(f"You told me: {fact} Shall I also look for the spare umbrella stand?"))
    ask = "Where is the key of the shed?"
    answer = chat.send(ask, headers=ann | in_conversation(two)).raise_for_status()
    assert answer.headers["x-memory-recalled"] != "0"
    assert fact in chat.said(two)[1]
    with chat.log.read() as snapshot:
        found = snapshot.conversations.get(snapshot.projects.key_of("local") or 0, two)
        answered = list(snapshot.turns.all(found.key if found else 0))[1]
        passages = snapshot.passages.of_turns([answered.key])
    indexed = [answered.text[passage.start : passage.end] for passage in passages]
    assert indexed == ["Shall I also look for the spare umbrella stand?"]


def test_tabs_on_one_conversation_store_each_message_once(chat: Gateway) -> None:
    one = new_id()
    chat.send("hello", headers=in_conversation(one)).raise_for_status()
    with ThreadPoolExecutor(8) as tabs:
        answers = list(
            tabs.map(
                lambda n: chat.send(f"message {n}", headers=in_conversation(one)).status_code,
                range(16),
            )
        )
    assert answers == [200] * 16
    texts = chat.everything(one)
    assert sorted(text for text in texts if text.startswith("message")) == sorted(
        f"message {n}" for n in range(16)
    )
    assert len(texts) == len(set(texts)) == 34


def test_a_stale_tab_makes_a_branch(chat: Gateway) -> None:
    one, said = new_id(), user("hello")
    chat.send(said, headers=in_conversation(one)).raise_for_status()
    said += assistant("You said: hello")
    for text in ("tab one", "tab two"):
        chat.send([*said, *user(text)], headers=in_conversation(one)).raise_for_status()
    assert chat.said(one) == ["hello", "You said: hello", "tab two", "You said: tab two"]
    assert "tab one" not in str(chat.upstream.last.messages)
    assert chat.stored(one) == 6


def test_asking_again_makes_a_sibling_of_the_answer(chat: Gateway, upstream: Upstream) -> None:
    one, said = new_id(), user("hello") + assistant("You said: hello") + user("why?")
    chat.send(said[:1], headers=in_conversation(one)).raise_for_status()
    for text in ("because", "perhaps"):
        upstream.then(says(text))
        chat.send(said, headers=in_conversation(one)).raise_for_status()
    assert chat.said(one) == ["hello", "You said: hello", "why?", "perhaps"]
    assert "because" not in str(upstream.last.messages)
    assert chat.everything(one)[-2:] == ["because", "perhaps"]


@pytest.mark.parametrize(("count", "turns"), [("0", 6), ("1", 5)])
def test_a_retry_is_the_same_turn(chat: Gateway, count: str, turns: int) -> None:
    one = new_id()
    for text, retries in (("hello", "0"), ("yes", "0"), ("yes", count)):
        headers = in_conversation(one, **{"x-stainless-retry-count": retries})
        chat.send(text, headers=headers).raise_for_status()
    assert chat.stored(one) == turns


def test_the_same_id_is_the_same_turn_and_other_content_under_it_a_conflict(
    chat: Gateway,
) -> None:
    one, item = new_id(), new_id()
    for _ in range(2):
        chat.send([{**user("hello")[0], "id": item}], headers=in_conversation(one))
    assert chat.said(one) == ["hello", "You said: hello"]
    answer = chat.send([{**user("bye")[0], "id": item}], headers=in_conversation(one))
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "id_exists")


def test_the_upstreams_models_are_listed(chat: Gateway) -> None:
    assert [one.id for one in chat.openai.models.list()] == ["stand-in", "stand-in-mini"]


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": -5}, {"prompt_tokens": "many"}, {"prompt_tokens": 10**9}, {}, 7]
)
def test_a_usage_that_cannot_be_meant_breaks_nothing(
    chat: Gateway, upstream: Upstream, usage: Any
) -> None:
    one, model = new_id(), new_id()
    said = [part for n in range(30) for part in user(f"box {n} " * 9) + assistant("ok")]
    budget = in_conversation(one, **{"x-memory-token-budget": "2000"})
    upstream.then(but(says("fine"), usage=usage))
    chat.send([*said, *user("first")], headers=budget, model=model).raise_for_status()
    answer = chat.send("second", headers=budget, model=model).raise_for_status()
    assert 400 <= int(answer.headers["x-memory-tokens-after"]) <= 2000


def test_what_the_upstream_counts_corrects_the_next_prompt(
    chat: Gateway, upstream: Upstream
) -> None:
    one, model = new_id(), new_id()
    said = [part for n in range(60) for part in user(f"box {n} " * 60) + assistant("ok")]
    budget = in_conversation(one, **{"x-memory-token-budget": "2000"})
    upstream.then(but(echo, usage={"prompt_tokens": 9_000}))
    chat.send([*said, *user("first")], headers=budget, model=model).raise_for_status()
    before = upstream.last.tokens
    chat.send("second", headers=budget, model=model).raise_for_status()
    assert upstream.last.tokens < 0.7 * before


def test_an_answer_holds_nothing_that_the_log_cannot_keep(
    chat: Gateway, upstream: Upstream
) -> None:
    one = new_id()
    odd = b'{"choices": [{"message": {"content": "nul \\u0000 half \\ud83d"}}]}'
    upstream.then(raw(odd))
    assert chat.send("hello", headers=in_conversation(one)).content == odd
    assert chat.said(one)[1] == "nul \ufffd half \ufffd"


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"choices": 7}', b'{"choices": [{"message": 3}, 4]}', b"\xff" * 9],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_an_answer_that_is_none_comes_back_and_is_not_stored(
    chat: Gateway, upstream: Upstream, content: bytes, content_type: str
) -> None:
    one = new_id()
    if content_type == "text/event-stream":
        content = b"data: " + content + b"\n\n"
    upstream.then(raw(content, content_type=content_type))
    answer = chat.send("hello", headers=in_conversation(one))
    assert (answer.status_code, answer.content) == (200, content)
    assert chat.said(one) == ["hello"]


def test_a_gateway_without_an_upstream_says_which_setting_is_missing(address: str) -> None:
    with httpx2.Client(base_url=address) as http:
        for answer in (
            http.post("/v1/chat/completions", json={"model": "m", "messages": user("hello")}),
            http.get("/v1/models"),
        ):
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (501, "no_upstream")
            assert "MEMORY_UPSTREAM_BASE_URL" in error["message"]
            assert answer.headers["x-should-retry"] == "false"
