"""The bodies of requests.

Unknown fields are ignored in the bodies that OpenAI defines, and refused in the service's own.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

TimeValue = int | float | str
MAX_TITLE_CHARS = 1_000
_SUMMARIES = "Whether turns that leave the recent window are summarised. null: as the settings say."


class _OpenAIShape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _OwnShape(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class ConversationCreate(_OpenAIShape):
    """POST /v1/conversations. All fields except `items` and `metadata` are extensions."""

    items: list[Any] | None = Field(default=None, description="OpenAI items, oldest first.")
    metadata: dict[str, Any] | None = None
    id: str | None = Field(default=None, description="Your own id, unique in the project.")
    user: str | None = Field(default=None, description="The user whose conversation this is.")
    title: str | None = Field(default=None, max_length=MAX_TITLE_CHARS)
    created_at: TimeValue | None = None
    stored_as: list[dict[str, Any]] | None = Field(
        default=None,
        description="One object per item, with the id, created_at, name or metadata to store it"
        " with. The JSON of the item is not changed.",
    )
    summaries: bool | None = Field(default=None, description=_SUMMARIES)


class ConversationUpdate(_OpenAIShape):
    """POST /v1/conversations/{id}. `title`, `head` and `summaries` are extensions."""

    metadata: dict[str, Any] | None = None
    title: str | None = Field(default=None, max_length=MAX_TITLE_CHARS)
    head: str | None = Field(default=None, description="The item whose branch becomes active.")
    summaries: bool | None = Field(default=None, description=_SUMMARIES)


class ItemsCreate(_OpenAIShape):
    """POST /v1/conversations/{id}/items. `parent`, `gap_before`, `stored_as` are extensions."""

    items: list[Any] = Field(min_length=1)
    parent: str | None = Field(
        default=None,
        description="The item to append below, by default the head. null: a new root. Below another"
        " item than the head a branch begins.",
    )
    gap_before: bool = Field(
        default=False, description="Whether turns before the first item are missing."
    )
    stored_as: list[dict[str, Any]] | None = None


class SearchRequest(_OwnShape):
    """POST /v1/search."""

    query: str = Field(min_length=1)
    conversation_id: str | None = None
    user_id: str | None = None
    top_k: int = Field(default=10, ge=1, le=100)
    roles: list[str] | None = None
    created_after: TimeValue | None = None
    created_before: TimeValue | None = None
    now: TimeValue | None = None
    summaries: int = Field(
        default=0,
        ge=0,
        le=20,
        description="The largest number of summaries to return beside the turns.",
    )


class ContextRequest(_OwnShape):
    """POST /v1/conversations/{id}/context."""

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    model: str | None = None
    token_budget: int | None = Field(default=None, ge=1, le=100_000_000)
    max_output_tokens: int | None = Field(default=None, ge=0, le=100_000_000)
    tools: list[dict[str, Any]] | None = None
    recent_tokens: int | None = Field(default=None, ge=0, le=10_000_000)
    recent_turns: int | None = Field(default=None, ge=0, le=1_000)
    top_k: int | None = Field(default=None, ge=0, le=100)
    scope: Literal["user", "conversation"] | None = None
    now: TimeValue | None = None
    store: bool = False


class StoredCompletionUpdate(_OpenAIShape):
    """POST /v1/chat/completions/{completion_id}."""

    metadata: dict[str, Any] | None


class ChatCompletion(BaseModel):
    """POST /v1/chat/completions. Other fields are forwarded to the upstream unchanged."""

    model_config = ConfigDict(extra="allow")

    messages: list[dict[str, Any]]
    model: str | None = None
    conversation: str | dict[str, Any] | None = Field(
        default=None,
        description="The id of the conversation, if neither a header nor the metadata has it.",
    )
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = Field(
        default=None,
        description="Names the conversation if nothing else does and it was made for one session.",
    )
    metadata: dict[str, Any] | None = Field(
        default=None, description="`conversation_id` in it is the id of the conversation."
    )
    stream: bool | None = None


class ResponseCreate(BaseModel):
    """POST /v1/responses. Other fields are forwarded to the upstream unchanged."""

    model_config = ConfigDict(extra="allow")

    input: str | list[dict[str, Any]]
    model: str | None = None
    instructions: str | None = Field(
        default=None, description="Instructions for this response only; they are not stored."
    )
    previous_response_id: str | None = Field(
        default=None, description="The response that this one continues."
    )
    conversation: str | dict[str, Any] | None = Field(
        default=None, description="The conversation that the input is appended to."
    )
    store: bool | None = Field(
        default=None, description="Whether the response can be retrieved; true by default."
    )
    tools: list[dict[str, Any]] | None = None
    stream: bool | None = None
