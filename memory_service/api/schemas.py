"""The bodies of requests. OpenAI's shapes ignore unknown fields, the service's own refuse them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

TimeValue = int | float | str
MAX_TITLE_CHARS = 1_000
_SUMMARIES = (
    "Whether turns that leave the recent window are summarised; null leaves it to the settings."
)


class _OpenAIShape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _OwnShape(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class ConversationCreate(_OpenAIShape):
    """POST /v1/conversations; all but `items` and `metadata` are extensions."""

    items: list[Any] | None = Field(default=None, description="OpenAI items, oldest first.")
    metadata: dict[str, Any] | None = None
    id: str | None = Field(default=None, description="An id of your own, unique in the project.")
    user: str | None = Field(default=None, description="Whose conversation this is.")
    title: str | None = Field(default=None, max_length=MAX_TITLE_CHARS)
    created_at: TimeValue | None = None
    stored_as: list[dict[str, Any]] | None = Field(
        default=None,
        description="One object an item, with its id, created_at, name or metadata, where the"
        " item's own JSON must stay as it is.",
    )
    summaries: bool | None = Field(default=None, description=_SUMMARIES)


class ConversationUpdate(_OpenAIShape):
    """POST /v1/conversations/{id}; `title`, `head` and `summaries` are extensions."""

    metadata: dict[str, Any] | None = None
    title: str | None = Field(default=None, max_length=MAX_TITLE_CHARS)
    head: str | None = Field(default=None, description="The item whose branch becomes live.")
    summaries: bool | None = Field(default=None, description=_SUMMARIES)


class ItemsCreate(_OpenAIShape):
    """POST /v1/conversations/{id}/items; `parent`, `gap_before`, `stored_as` are extensions."""

    items: list[Any] = Field(min_length=1)
    parent: str | None = Field(
        default=None,
        description="The item to append below (null: none); another one than the head branches.",
    )
    gap_before: bool = Field(
        default=False, description="Whether turns are missing before the first item."
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
        default=0, ge=0, le=20, description="Most summaries to return beside the turns."
    )


class ContextRequest(_OwnShape):
    """POST /v1/conversations/{id}/context."""

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    model: str | None = None
    token_budget: int | None = Field(default=None, ge=1, le=100_000_000)
    max_output_tokens: int | None = Field(default=None, ge=0, le=100_000_000)
    tools: list[dict[str, Any]] | None = None
    recent_turns: int | None = Field(default=None, ge=0, le=1_000)
    top_k: int | None = Field(default=None, ge=0, le=100)
    scope: Literal["user", "conversation"] | None = None
    now: TimeValue | None = None
    store: bool = False


class ChatCompletion(BaseModel):
    """POST /v1/chat/completions; what else there is goes to the model's server as it came."""

    model_config = ConfigDict(extra="allow")

    messages: list[dict[str, Any]]
    model: str | None = None
    conversation: str | dict[str, Any] | None = Field(
        default=None, description="The conversation's id, if neither header nor metadata says it."
    )
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Any] | None = Field(
        default=None, description="`conversation_id` in it names the conversation."
    )
    stream: bool | None = None
