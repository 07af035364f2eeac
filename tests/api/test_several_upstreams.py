"""Several upstreams behind one service: chat completions, responses, models, other routes, keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.responses import JSONResponse, Response

from memory_service.composition.upstreams import chat_model_of, upstream_table_of
from memory_service.core.errors import ChatModelRefused, StartupError
from memory_service.core.settings import Settings, load_settings
from tests.support.chatting import RunningGateway, gateway, in_conversation, new_id, user
from tests.support.recording_upstream import (
    RecordedRequest,
    RecordingUpstream,
    lists,
    recording_upstream,
)

FORM = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="model"\r\n\r\nmodel\r\n'
    b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n--x--\r\n'
)


class Upstreams(NamedTuple):
    """A service before a default upstream and two others."""

    service: RunningGateway
    default: RecordingUpstream
    first: RecordingUpstream
    second: RecordingUpstream

    def receivers(self) -> list[str]:
        """Return which upstreams have received requests that were not for their lists."""
        names = ("default", "first", "second")
        received = zip(names, (self.default, self.first, self.second), strict=True)
        return [
            name
            for name, upstream in received
            for request in upstream.requests
            if request.path != "/v1/models"
        ]


def completion(request: RecordedRequest) -> Response:
    """Answer any request like chat completions."""
    if request.path.startswith("/v1/models"):
        return lists("listed", "gpt-5")(request)
    message = {"role": "assistant", "content": "Hello."}
    return JSONResponse({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstreams]:
    with ExitStack() as stack:
        default, first, second = (stack.enter_context(recording_upstream()) for _ in range(3))
        service = stack.enter_context(
            gateway(
                tmp_path_factory.mktemp("several"),
                light=True,
                upstream_api="chat",
                upstream_base_url=f"{default.address}/v1",
                upstreams={
                    "first": {
                        "base_url": f"{first.address}/v1",
                        "api_key": "key-of-first",
                        "models": ["gpt-*", "text-*"],
                        "headers": {"x-tenant": "7"},
                    },
                    "second": {"base_url": f"{second.address}/v1"},
                },
            )
        )
        yield Upstreams(service, default, first, second)


@pytest.fixture
def upstreams(running: Upstreams) -> Upstreams:
    for upstream in running[1:]:
        upstream.requests.clear()
        upstream.answer = completion
    return running


CASES = [
    ("gpt-5", "first", "gpt-5"),
    ("listed", "second", "listed"),
    ("second/gpt-5", "second", "gpt-5"),
    ("other", "default", "other"),
]


@pytest.mark.parametrize(("model", "upstream", "sent"), CASES)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/embeddings"])
def test_model_chooses_the_upstream(
    upstreams: Upstreams, path: str, model: str, upstream: str, sent: str
) -> None:
    body = {"input": "hello"} if path != "/v1/chat/completions" else {"messages": user("hello")}
    http = upstreams.service.http
    http.post(path, json={**body, "model": model}).raise_for_status()
    assert upstreams.receivers() == [upstream]
    assert json.loads(getattr(upstreams, upstream).last.content)["model"] == sent


@pytest.mark.parametrize("headers", [{}, in_conversation("c")])
def test_only_the_models_name_is_changed(upstreams: Upstreams, headers: Mapping[str, str]) -> None:
    content = b'{"odd":  1.0, "model": "second/m" ,"messages":[{"role":"user","content":"a"}]}'
    http = upstreams.service.http
    http.post("/v1/chat/completions", content=content, headers=headers).raise_for_status()
    sent = upstreams.second.last.content
    assert json.loads(sent) == {**json.loads(content), "model": "m"}
    assert headers or sent == content.replace(b"second/m", b"m")


def test_conversation_continues_on_another_upstream(upstreams: Upstreams) -> None:
    conversation = in_conversation(new_id())
    upstreams.service.send("My locker is 8314.", headers=conversation, model="gpt-5")
    upstreams.service.send("Which locker?", headers=conversation, model="listed")
    assert upstreams.receivers() == ["first", "second"]
    assert b"8314" in upstreams.second.last.content


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data; boundary=x", 'MULTIPART/form-data; boundary="x"']
)
@pytest.mark.parametrize(("model", "upstream"), [("gpt-5", "first"), ("listed", "second")])
def test_model_of_a_form_chooses_the_upstream(
    upstreams: Upstreams, model: str, upstream: str, content_type: str
) -> None:
    content = FORM % model.encode()
    headers = {"content-type": content_type}
    http = upstreams.service.http
    http.post("/v1/audio/transcriptions", content=content, headers=headers).raise_for_status()
    assert upstreams.receivers() == [upstream]
    assert getattr(upstreams, upstream).last.content == content


def test_form_that_names_its_upstream_is_refused(upstreams: Upstreams) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    path = "/v1/audio/transcriptions"
    content = FORM % b"second/whisper"
    response = upstreams.service.http.post(path, content=content, headers=headers)
    assert response.status_code == 400
    assert "x-memory-upstream" in response.json()["error"]["message"]
    headers["x-memory-upstream"] = "second"
    content = FORM % b"whisper"
    upstreams.service.http.post(path, content=content, headers=headers).raise_for_status()
    assert upstreams.receivers() == ["second"]


@pytest.mark.parametrize("name", ["default", "second"])
def test_header_names_the_upstream(upstreams: Upstreams, name: str) -> None:
    upstreams.service.send("hello", headers={"x-memory-upstream": name}, model="gpt-5")
    assert upstreams.receivers() == [name]


def test_path_of_a_model_chooses_the_upstream(upstreams: Upstreams) -> None:
    for path in ("/v1/models/gpt-5", "/v1/models/second%2Fgpt-5", "/v1/models/other"):
        upstreams.service.http.get(path).raise_for_status()
    paths = [upstream.last.path for upstream in upstreams[1:]]
    assert paths == ["/v1/models/other", "/v1/models/gpt-5", "/v1/models/gpt-5"]


def test_lists_are_merged_with_a_warning(upstreams: Upstreams) -> None:
    upstreams.first.answer = lists("gpt-5", "o3")
    upstreams.second.answer = lambda _: JSONResponse({}, 500)
    upstreams.default.answer = lists("other")
    response = upstreams.service.http.get("/v1/models")
    assert [model["id"] for model in response.json()["data"]] == ["gpt-5", "other"]
    assert response.headers["x-memory-warning"] == "no models of second (status 500)"
    models = upstreams.service.openai.models.list()
    assert [model.id for model in models] == ["gpt-5", "other"]


def test_each_upstream_gets_its_own_key(upstreams: Upstreams) -> None:
    for model in ("gpt-5", "listed", "other"):
        upstreams.service.send("hello", headers={"authorization": "Bearer theirs"}, model=model)
    upstreams.service.http.get("/v1/models", headers={"authorization": "Bearer theirs"})
    keys = [
        {request.headers.get("authorization") for request in upstream.requests}
        for upstream in upstreams[1:]
    ]
    # A key for the default upstream is not another vendor's business.
    assert keys == [{"Bearer theirs"}, {"Bearer key-of-first"}, {None}]
    assert upstreams.first.last.headers["x-tenant"] == "7"


def test_administrative_route_of_an_upstream_with_a_key(upstreams: Upstreams) -> None:
    headers = {"authorization": "Bearer theirs", "x-memory-upstream": "first"}
    response = upstreams.service.http.get("/v1/files", headers=headers)
    assert (response.status_code, upstreams.receivers()) == (403, [])


def test_unknown_model_without_default_is_refused(tmp_path: Path) -> None:
    table = {"first": {"base_url": "http://127.0.0.1:9/v1", "models": ["gpt-*"]}}
    with gateway(tmp_path, light=True, upstream_base_url=None, upstreams=table) as running:
        response = running.send("hello", headers=in_conversation("c"), model="m")
        assert (response.status_code, response.json()["error"]["code"]) == (400, "unknown_model")
        assert "gpt-*" in response.json()["error"]["message"]
        assert running.turn_count("c") == 0


TOML = """
[second]
base_url = "http://h/v1"
[first]
base_url = "https://x.openai.azure.com"
api_key_env = "KEY_OF_FIRST"
models = ["a", "b-*"]
api_version = "1"
"""


def test_table_is_read_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "upstreams.toml"
    path.write_text(TOML)
    monkeypatch.setenv("MEMORY_UPSTREAMS", str(path))
    monkeypatch.setenv("KEY_OF_FIRST", "sk-1")
    table = load_settings().upstreams
    assert list(table) == ["second", "first"]
    key = table["first"].api_key
    assert key is not None
    assert key.get_secret_value() == "sk-1"
    assert "sk-1" not in repr(load_settings())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{", "not valid JSON"),
        ("nowhere.toml", "neither a JSON object nor a readable file"),
        ('{"a": 1}', "a"),
        ('{"a": {}}', "a.base_url"),
        ('{"a": {"base_url": "x"}}', "a.base_url"),
        ('{"a": {"base_url": "http://h", "api_key": "sk-secret", "odd": 1}}', "a.odd"),
        ('{"a": {"base_url": "http://h", "api_key_env": "NOT_SET"}}', "NOT_SET is not set"),
        ('{"a": {"base_url": "http://h", "api_key": "sk-secret", "api_key_env": "X"}}', "both"),
        ('{"A B": {"base_url": "http://h"}}', "A B"),
        ('{"a/b": {"base_url": "http://h"}}', "a/b"),
    ],
)
def test_impossible_table_is_refused_without_its_keys(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: str
) -> None:
    monkeypatch.setenv("MEMORY_UPSTREAMS", value)
    with pytest.raises(StartupError, match="MEMORY_UPSTREAMS") as caught:
        load_settings()
    assert expected in str(caught.value)
    assert "sk-secret" not in f"{caught.value}{caught.value.__cause__}"


def test_summaries_are_written_by_the_models_upstream(upstreams: Upstreams) -> None:
    table: Any = {
        "first": {"base_url": f"{upstreams.first.address}/v1", "models": ["gpt-*"]},
        # On the internet and without a key: it is not asked.
        "second": {"base_url": "https://example.org/v1", "models": ["b"]},
    }
    settings = Settings(upstreams=table)
    model = chat_model_of(settings, upstream_table_of(settings, "i"), "i")
    assert model is not None
    try:
        assert model.answer(user("hello"), model="first/x", max_tokens=9).text == "Hello."
        with pytest.raises(ChatModelRefused):
            model.answer(user("hello"), model="b", max_tokens=9)
    finally:
        model.close()
    assert json.loads(upstreams.first.last.content)["model"] == "x"
    assert upstreams.first.last.headers["x-memory-hop"] == "i"
