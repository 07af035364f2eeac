"""Known clients: samples of what they send, and the file that describes them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest

from memory_service.core.data_files import read_toml
from memory_service.identity.clients import known_clients
from memory_service.identity.identify import Caller, identify

UUID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
SESSION = "ses_69d3a1ffeA2bC3dE4fG5hI6jK7"
ULID = "01J9ZK3V8Q4W5X6Y7Z8A9B0C1D"
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
SMART_HOME = {"role": "system", "content": "You are a voice assistant for Home Assistant."}
OPENAI_PYTHON = {"user-agent": "AsyncOpenAI/Python 1.99.5"}


class Sample(NamedTuple):
    """The headers and the body of a client's request, and whom it names."""

    headers: dict[str, str]
    body: dict[str, Any]
    conversation: str | None = None
    user: str | None = None


SAMPLES = {
    "open-webui": Sample(
        {
            "user-agent": "Python/3.11 aiohttp/3.12.15",
            "x-openwebui-user-name": "Ann%20Lee",
            "x-openwebui-user-id": UUID,
            "x-openwebui-user-email": "ann@example.org",
            "x-openwebui-user-role": "user",
            "x-openwebui-chat-id": "chat-1",
        },
        HELLO,
        "chat-1",
        UUID,
    ),
    "open-webui custom headers that were not filled in": Sample(
        {"x-openwebui-chat-id": "{{CHAT_ID}}", "x-openwebui-task": ""}, HELLO
    ),
    "librechat": Sample(
        {"x-conversation-id": UUID, "user-agent": "OpenAI/JS 5.8.2"},
        {**HELLO, "user": "66f1a2b3c4d5e6f708192a3b"},
        UUID,
        "66f1a2b3c4d5e6f708192a3b",
    ),
    "librechat before the chat has an id": Sample(
        {"x-conversation-id": "null"}, {**HELLO, "user": "66f1"}, None, "66f1"
    ),
    "opencode": Sample(
        {
            "user-agent": "opencode/1.15.4 ai-sdk/provider-utils/4.0.23",
            "x-session-affinity": SESSION,
            "x-session-id": SESSION,
        },
        HELLO,
        SESSION,
    ),
    "another program's x-session-id": Sample({"x-session-id": "web-1"}, HELLO),
    "codex": Sample(
        {
            "originator": "codex_cli_rs",
            "user-agent": "codex_cli_rs/0.98.0",
            "session-id": "0199a213-81c0-7800-8aa1-bbab2a035a53",
            "thread-id": UUID,
        },
        {"input": [{"role": "user", "content": "hello"}], "prompt_cache_key": UUID},
        UUID,
    ),
    "codex of 2025": Sample(
        {"originator": "codex_exec", "session_id": UUID, "conversation_id": UUID}, HELLO, UUID
    ),
    "litellm": Sample(
        {"x-litellm-session-id": "run-7", "x-litellm-end-user-id": "ann"}, HELLO, "run-7", "ann"
    ),
    "home assistant": Sample(
        OPENAI_PYTHON,
        {"messages": [SMART_HOME, *HELLO["messages"]], "user": ULID},
        ULID,
    ),
    "home assistant with user names": Sample(
        OPENAI_PYTHON,
        {
            "messages": [
                SMART_HOME,
                {"role": "user", "content": "lights", "name": "ann"},
                {"role": "assistant", "content": None, "tool_calls": []},
                {"role": "tool", "content": "ok", "tool_call_id": "c"},
            ],
            "user": ULID,
        },
        ULID,
        "ann",
    ),
    "home assistant through open_router": Sample(
        {"x-title": "Home Assistant"}, {**HELLO, "user": ULID}, ULID
    ),
    "an application whose users are ULIDs": Sample(
        OPENAI_PYTHON, {**HELLO, "user": ULID}, None, ULID
    ),
}


@pytest.mark.parametrize("name", list(SAMPLES))
def test_client_is_identified(name: str) -> None:
    sample = SAMPLES[name]
    identity = identify(Caller(headers=sample.headers), sample.body)
    assert (identity.conversation_id, identity.user) == (sample.conversation, sample.user)
    assert identity.skipped is None


def only(text: str, system: str | None = None) -> dict[str, Any]:
    systems = [] if system is None else [{"role": "system", "content": system}]
    return {"messages": [*systems, {"role": "user", "content": text}]}


HISTORY = "\n### Chat History:\n<chat_history>\nUSER: hello\n</chat_history>"
SKIPPED: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    ("title", {}, only("### Task:\nGenerate a concise, 3-5 word title with an emoji.")),
    ("task", {}, only(f"### Task:\nInvent a name in the style of our company.{HISTORY}")),
    ("tags", {}, only("### Task:\nGenerate 1-3 broad tags categorizing the main themes.")),
    ("follow-up", {}, only("### Task:\nSuggest 3-5 relevant follow-up questions.")),
    ("query", {}, only("### Task:\nAnalyze the chat history to determine the necessity of …")),
    ("autocomplete", {}, only("### Task:\nYou are an autocompletion system. Continue the text.")),
    ("task", {"x-openwebui-task": "title_generation"}, only("Name this chat.", "Be brief.")),
    ("emoji", {}, only("Your task is to reflect the speaker's likely facial expression …")),
    ("tools", {}, only('Query: History:\nUSER: """hi"""', "Available Tools: []\n")),
    ("merge", {}, only("You have been provided with a set of responses from various models …")),
    ("title", {}, only("Provide a concise, 5-word-or-less title for the conversation, using …")),
    ("title", {}, only("Analyze this conversation and provide:\n1. The detected language of …")),
    (
        "title",
        {},
        only("fix src/a.py", "You are a title generator. You output ONLY a thread title."),
    ),
    (
        "title",
        {"user-agent": "opencode/1.15.4"},
        {
            "input": [
                {"role": "developer", "content": "You are a title generator. You output ONLY …"},
                {"role": "user", "content": [{"type": "input_text", "text": "Generate a title"}]},
                {"role": "user", "content": [{"type": "input_text", "text": "fix src/a.py"}]},
            ]
        },
    ),
    (
        "title",
        {},
        only("hello", "\n\n    - you will generate a short title based on the first message"),
    ),
    (
        "summary",
        {"user-agent": "opencode/1.15.4"},
        only(
            "What did we do?",
            "You are summarizing a conversation for continuation by another agent.",
        ),
    ),
    ("summary", {"x-openai-subagent": "compact"}, HELLO),
    (
        "summary",
        {"originator": "codex_cli_rs"},
        {
            "instructions": "You are Codex.",
            "input": [
                {"role": "user", "content": "fix it"},
                {"role": "assistant", "content": "done"},
                {"role": "user", "content": "You are performing a CONTEXT CHECKPOINT COMPACTION."},
            ],
        },
    ),
    ("temporary", {"x-openwebui-chat-id": f"local:{UUID}"}, HELLO),
    ("temporary", {"x-conversation-id": f"temporary:{UUID}"}, HELLO),
    ("title", {}, {"input": "### Task:\nGenerate a concise title summarizing the chat history."}),
]


@pytest.mark.parametrize(("reason", "headers", "body"), SKIPPED)
def test_request_is_no_conversation(
    reason: str, headers: dict[str, str], body: dict[str, Any]
) -> None:
    assert identify(Caller(headers=headers), body).skipped == reason


CONVERSATION = [
    only("### Task:\nRespond to the user query using the provided context.\n<context>…</context>"),
    only(
        "hello", "### Task:\nRespond to the user query using the provided context. <chat_history>"
    ),
    only("### Task: write a haiku about titles\n### Output: three lines"),
    only("Generate a concise, 3-5 word title for my novel."),
    only("What does 'You are a title generator' mean?"),
    only("hello", "You name titles. You are a title generator."),
    only("Query: all open orders"),
    only("You are performing well."),
    {
        "messages": [
            {"role": "user", "content": f"### Task:\nGenerate a concise title.{HISTORY}"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "Why does Open WebUI send this text?"},
        ]
    },
    {"messages": [{"role": "system", "content": "### Task:\nGenerate a concise title."}]},
]


@pytest.mark.parametrize("body", CONVERSATION)
def test_similar_request_is_conversation(body: dict[str, Any]) -> None:
    assert identify(Caller(headers={"x-openwebui-task": "{{TASK}}"}), body).skipped is None


def test_file_has_known_keys_and_sources() -> None:
    content = read_toml("memory_service.identity", "clients.toml")
    for name, table in content.items():
        assert re.fullmatch(r"[a-z-]+", name)
        keys = {"sources", "recognised_by", "conversation", "user", "skipped"}
        assert set(table) <= keys
        assert table["sources"]
        for source in table["sources"]:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+ [\w./-]+", source), source


def test_header_names_are_in_lower_case() -> None:
    for client in known_clients():
        patterns = [*client.recognised_by, *(rule.pattern for rule in client.skipped)]
        names = {name for pattern in patterns for name in pattern.headers}
        sources = [*client.conversation, *client.user]
        names |= {source.name for source in sources if source.kind == "header"}
        assert names == {name.lower() for name in names}


def test_clients_with_generic_sources_must_be_recognised() -> None:
    for client in known_clients():
        sources = [*client.conversation, *client.user]
        generic = [source for source in sources if not re.search("openwebui|litellm", source.name)]
        assert client.recognised_by or not generic, client.name


def test_rules_have_reasons_and_anchored_texts() -> None:
    for client in known_clients():
        for rule in client.skipped:
            assert re.fullmatch(r"[a-z-]+", rule.reason)
            pattern = rule.pattern
            texts = [pattern.system, pattern.only_message, pattern.last_message]
            given_texts = [text.pattern for text in texts if text is not None]
            assert given_texts or pattern.headers
            assert all(re.match(r"(\(\?\w+\))?\^", text) for text in given_texts)
