"""POST /v1/conversations/{id}/context: build a prompt that fits a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.auth import Project
from memory_service.api.body import RequestAttempt, RequestBody, documented
from memory_service.api.schemas import ContextRequest
from memory_service.api.state import ServiceState
from memory_service.api.times import moment
from memory_service.core.errors import InvalidRequest
from memory_service.core.models import Turn
from memory_service.items.chat_messages import Message
from memory_service.items.conversation_items import parse_item
from memory_service.items.strict_json import dumps
from memory_service.prompts.request import PromptRequest

router = APIRouter(prefix="/v1", tags=["recall"])


@router.post("/conversations/{conversation_id}/context", openapi_extra=documented(ContextRequest))
def build_context(
    project: Project,
    service: ServiceState,
    conversation_id: str,
    body: RequestBody,
    attempt: RequestAttempt,
) -> Response:
    """Build a prompt that fits: system, recent turns, recalled turns and the new input."""
    request = body.as_model(ContextRequest)
    messages = _input_messages(request.input)
    turns = [
        parse_item(message, dumps(message), {}, service.item_limits, f"input.{position}")
        for position, message in enumerate(messages)
    ]
    # A repeated request gets the same prompt: the input that it stored is not a recent turn.
    stored_input = (
        service.writer.already_stored(project, conversation_id, turns, attempt)
        if request.store
        else ()
    )
    prompt_request = _prompt_request(request, messages, stored_input)
    prompt = service.prompts.build(project, conversation_id, prompt_request)
    if request.store:
        service.writer.append(project, conversation_id, turns, attempt)
    return render.respond(render.prompt(prompt))


def _prompt_request(
    request: ContextRequest, messages: Sequence[Message], stored_input: Sequence[Turn]
) -> PromptRequest:
    now, offset = moment(request.now)
    return PromptRequest(
        input=messages,
        instructions=request.instructions,
        model=request.model,
        token_budget=request.token_budget,
        max_output_tokens=request.max_output_tokens,
        tools=request.tools or (),
        recent_tokens=request.recent_tokens,
        recent_turns=request.recent_turns,
        top_k=request.top_k,
        scope=request.scope,
        now=now,
        utc_offset_minutes=offset,
        stored_input=stored_input,
    )


def _input_messages(value: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the input as chat messages; a text is one message of the user."""
    messages = [{"role": "user", "content": value}] if isinstance(value, str) else value
    if not messages:
        raise InvalidRequest("'input' is empty.", param="input", code="missing_field")
    for position, message in enumerate(messages):
        if "role" not in message:
            raise InvalidRequest(
                f"'input.{position}.role' is missing. 'input' must be a text or chat messages.",
                param=f"input.{position}.role",
                code="missing_field",
            )
    return messages
