"""Traces: records of the stages and candidates of a prompt or search, without texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest

from memory_service.composition.data_folder import open_log
from memory_service.core.settings import Settings
from memory_service.service import Service

TEXTS = ["the locker at the gym is 8314", "we had soup", "the train was late"]


@pytest.fixture
def http(client: openai.OpenAI, address: str) -> Iterator[httpx2.Client]:
    items: list[Any] = [
        {"role": "user", "content": text, "id": f"i{n}"} for n, text in enumerate(TEXTS)
    ]
    client.conversations.create(items=items, extra_body={"id": "c"})
    with httpx2.Client(base_url=address) as opened:
        yield opened


def search(http: httpx2.Client) -> dict[str, Any]:
    body = {"query": "Which locker?", "conversation_id": "c", "top_k": 1}
    response: dict[str, Any] = http.post("/v1/search", json=body).raise_for_status().json()
    return response


def trace(http: httpx2.Client, trace_id: str) -> dict[str, Any]:
    body: dict[str, Any] = http.get(f"/v1/traces/{trace_id}").raise_for_status().json()
    return body


def outcomes(body: dict[str, Any]) -> dict[str, str]:
    """Return the outcome of each candidate of a trace."""
    return {candidate["item_id"]: candidate["outcome"] for candidate in body["candidates"]}


def test_trace_of_search_has_candidates_with_outcomes(http: httpx2.Client) -> None:
    body = trace(http, search(http)["trace_id"])
    assert body["kind"] == "search"
    assert outcomes(body)["i0"] == "recalled"
    assert set(outcomes(body).values()) == {"recalled", "below_top_k"}
    assert {"words", "vectors", "rank"} <= set(body["stages_ms"])


def test_trace_of_prompt_marks_turns_in_recent_window(http: httpx2.Client) -> None:
    body = {"input": "Which locker is mine at the gym?", "recent_turns": 1, "token_budget": 900}
    prompt = http.post("/v1/conversations/c/context", json=body).raise_for_status().json()
    shown = trace(http, prompt["trace_id"])
    assert outcomes(shown)["i0"] == "recalled"
    assert outcomes(shown)["i2"] == "in_recent_window"
    assert shown["tokens"] == prompt["tokens"]


def test_deleted_turn_is_gone_from_old_traces(http: httpx2.Client) -> None:
    trace_id = search(http)["trace_id"]
    http.delete("/v1/conversations/c/items/i0").raise_for_status()
    assert "i0" not in outcomes(trace(http, trace_id))


def test_stored_trace_holds_no_text(http: httpx2.Client, settings: Settings, address: str) -> None:
    assert address
    trace_id = search(http)["trace_id"]
    log = open_log(settings.data_dir)
    try:
        for _ in range(10_000):
            with log.read() as snapshot:
                stored = snapshot.traces.get(1, trace_id)
            if stored is not None:
                break
    finally:
        log.close()
    assert stored is not None
    assert "locker" not in str(stored.detail)


def test_unknown_trace_returns_404(http: httpx2.Client) -> None:
    response = http.get("/v1/traces/trace_none")
    assert (response.status_code, response.json()["error"]["param"]) == (404, "trace_id")


def test_recalled_block_is_repeated_in_tool_loop(
    http: httpx2.Client,
) -> None:
    question = {"role": "user", "content": "Which locker is mine at the gym?"}
    call = {"id": "t", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    loop = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t", "content": "nothing"},
    ]
    body = {"recent_turns": 1, "token_budget": 900}
    prompts = [
        http.post("/v1/conversations/c/context", json={"input": messages, **body})
        .raise_for_status()
        .json()
        for messages in ([question], [question, *loop])
    ]
    before, after = (prompt["messages"] for prompt in prompts)
    assert before[-1]["content"].startswith("<recalled_turns")
    assert after[: len(before)] == before
    assert trace(http, prompts[1]["trace_id"])["block_reused"] is True


def test_traces_are_bounded_in_number_and_age(service: Service, project: int) -> None:
    with service.log.write() as transaction:
        for number in range(30):
            transaction.traces.add(project, f"trace_{number}", number, {})
        transaction.traces.prune(project, keep=10, delete_before=25)
    with service.log.read() as snapshot:
        numbers = [n for n in range(30) if snapshot.traces.get(project, f"trace_{n}") is not None]
    assert numbers == list(range(25, 30))
    with service.log.write() as transaction:
        transaction.traces.prune(project, keep=2, delete_before=0)
        assert transaction.traces.get(project, "trace_27") is None
        assert transaction.traces.get(project, "trace_28") is not None
