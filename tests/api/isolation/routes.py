"""Every parameter of every route: whether it is an id, and of what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memory_service.api.app import create_app
from memory_service.core.settings import Settings
from tests.support.factories import message

SCHEMA = create_app(Settings(data_dir=Path("never-opened"))).openapi()
OPEN = {"/healthz", "/readyz"}
ROUTES = [
    (method, path)
    for path, operations in SCHEMA["paths"].items()
    for method in operations
    if path not in OPEN
]


# A parameter or a field is an id of something stored (for `after` it depends on the route), the id
# of something new, or harmless: it cannot name data of another project.
IDS = {
    "conversation_id": "conversation",
    "item_id": "item",
    "parent": "item",
    "head": "item",
    "user_id": "user",
    "user": "user",
    "receipt_id": "receipt",
    "trace_id": "trace",
    "response_id": "response",
    "completion_id": "completion",
}
AFTER = {
    "/v1/conversations": "conversation",
    "/v1/conversations/{conversation_id}/items": "item",
    "/v1/conversations/{conversation_id}/summaries": "summary",
    "/v1/users": "user",
    "/v1/responses/{response_id}/input_items": "input_item",
    "/v1/chat/completions": "completion",
    "/v1/chat/completions/{completion_id}/messages": "completion_message",
}
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
COUNT = "/v1/responses/input_tokens"
CANCEL = "/v1/responses/{response_id}/cancel"
"""Refuses its own ids: no response runs in the background."""

CHAT_IDS: dict[str, dict[str, dict[str, Any]]] = {
    "x-conversation-id": {"headers": {"x-conversation-id": "{conversation}"}},
    "x-user-id": {"headers": {"x-user-id": "{user}"}},
    "metadata": {"json": {"metadata": {"conversation_id": "{conversation}"}}},
    "conversation": {"json": {"conversation": "{conversation}"}},
    "user": {"json": {"user": "{user}"}},
    "safety_identifier": {"json": {"safety_identifier": "{user}"}},
}
"""The ids in a chat completion. Unknown ids and ids of another project are created."""

RESPONSE_IDS = {
    **{name: fields for name, fields in CHAT_IDS.items() if name.startswith("x-")},
    "conversation": {"json": {"conversation": "{conversation}"}},
    "previous_response_id": {"json": {"previous_response_id": "{response}"}},
}
"""The ids in a response; that of an earlier response must exist."""


NEW = {
    ("post", "/v1/conversations", "id"),
    ("post", "/v1/conversations", "user"),
    *(("post", CHAT, name) for name in (*CHAT_IDS, "prompt_cache_key")),
    *(("post", RESPONSES, name) for name in RESPONSE_IDS),
    # Neither is read: only what is sent is counted.
    *(("post", COUNT, name) for name in ("conversation", "previous_response_id")),
}
MEMORY = {
    *("x-memory", "x-memory-scope", "x-memory-top-k", "x-memory-token-budget"),
    "x-memory-upstream",
}
HEADERS = {"idempotency-key", "x-stainless-retry-count", "x-upstream-authorization"} | MEMORY
PAGING = {"limit", "order", "include", "starting_after", "include_obfuscation"}
STORED_FIELDS = {"items", "metadata", "title", "created_at", "stored_as", "gap_before", "summaries"}
QUERY_FIELDS = {"query", "top_k", "roles", "created_after", "created_before", "now"}
PROMPT = {
    "messages",
    "stream",
    "input",
    "instructions",
    "model",
    "tools",
    "recent_turns",
    "scope",
    "store",
}
TOKENS = {"token_budget", "max_output_tokens", "recent_tokens"}
HARMLESS = HEADERS | PAGING | STORED_FIELDS | QUERY_FIELDS | PROMPT | TOKENS
BODIES: dict[str, dict[str, Any]] = {
    "/v1/conversations": {"items": [message("made by the test")]},
    "/v1/conversations/{conversation_id}": {"title": "set by the test"},
    "/v1/conversations/{conversation_id}/items": {"items": [message("said by the test")]},
    "/v1/search": {"query": "walrus umbrella", "summaries": 5},
    CHAT: {"model": "m", "messages": [message("Where is the walrus with the umbrella?")]},
    RESPONSES: {"model": "m", "input": "Where is the walrus with the umbrella?"},
    f"{CHAT}/{{completion_id}}": {"metadata": {"set": "by the test"}},
    COUNT: {"input": "Where is the walrus with the umbrella?"},
    CANCEL: {},
    "/v1/conversations/{conversation_id}/context": {"input": "walrus umbrella?", "store": True},
}


def fields_of(method: str, path: str) -> list[tuple[str, str]]:
    """Return (location, name) of all parameters and fields of a route."""
    operation = SCHEMA["paths"][path][method]
    parameters = [
        (parameter["in"], parameter["name"]) for parameter in operation.get("parameters", [])
    ]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return parameters + [("body", name) for name in body.get("schema", {}).get("properties", {})]


def kind_of(method: str, path: str, name: str) -> str | None:
    """Return what a parameter is an id of, None if it is harmless; KeyError if no table has it."""
    if name in HARMLESS or (method, path, name) in NEW:
        return None
    return AFTER[path] if name == "after" else IDS[name]


def ids_of(method: str, path: str) -> list[tuple[str, str, str]]:
    """Return (location, name, kind) of all ids that a route accepts."""
    return [
        (place, name, kind)
        for place, name in fields_of(method, path)
        if (kind := kind_of(method, path, name)) is not None
    ]
