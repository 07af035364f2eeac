"""POST /v1/search and POST /v1/conversations/{id}/context: turns found, and prompts built."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.auth import Project
from memory_service.api.body import RequestAttempt, RequestBody, documented
from memory_service.api.schemas import ContextRequest, SearchRequest, TimeValue
from memory_service.api.state import ServiceState
from memory_service.core.clock import parse_time
from memory_service.core.errors import InvalidRequest
from memory_service.core.models import NewTurn
from memory_service.items.conversation_items import ROLES, parse_item
from memory_service.items.strict_json import dumps
from memory_service.prompts.builder import PromptRequest
from memory_service.recall.query import Query
from memory_service.service import Service

router = APIRouter(prefix="/v1", tags=["recall"])


@router.post("/search", openapi_extra=documented(SearchRequest))
def search(project: Project, service: ServiceState, body: RequestBody) -> Response:
    """Find the turns of a conversation, or of a user, that a query is about."""
    wanted = body.as_model(SearchRequest)
    query = _query(service, wanted)
    if (wanted.conversation_id is None) == (wanted.user_id is None):
        raise InvalidRequest(
            "Give exactly one of 'conversation_id' and 'user_id'.", param="conversation_id"
        )
    if wanted.conversation_id is not None:
        found = service.recaller.in_conversation(project, wanted.conversation_id, query)
    else:
        found = service.recaller.of_user(project, str(wanted.user_id), query)
    answer: dict[str, Any] = {
        "object": "list",
        "data": [render.hit(one) for one in found.hits],
        "trace_id": service.traces.add_search(project, found),
    }
    if wanted.summaries:
        answer["summaries"] = [
            render.summary_hit(one)
            for one in service.summary_finder.find(
                project,
                wanted.query,
                conversation_id=wanted.conversation_id,
                user_id=wanted.user_id,
                top_k=wanted.summaries,
            )
        ]
    if found.degraded is not None:
        answer["degraded"] = found.degraded
    return render.respond(answer)


@router.post("/conversations/{conversation_id}/context", openapi_extra=documented(ContextRequest))
def build_context(
    project: Project,
    service: ServiceState,
    conversation_id: str,
    body: RequestBody,
    attempt: RequestAttempt,
) -> Response:
    """Build a prompt that fits: system, recent turns, recalled turns and the new input."""
    wanted = body.as_model(ContextRequest)
    new = _input_messages(wanted.input)
    turns = [_as_turn(service, message, number) for number, message in enumerate(new)]
    now, offset = _moment(wanted.now)
    # A repeated request gets the prompt it had, not one with its own input in the recent turns.
    before = (
        service.writer.stored_before(project, conversation_id, turns, attempt)
        if wanted.store
        else ()
    )
    built = service.prompts.build(
        project,
        conversation_id,
        PromptRequest(
            input=new,
            instructions=wanted.instructions,
            model=wanted.model,
            token_budget=wanted.token_budget,
            max_output_tokens=wanted.max_output_tokens,
            tools=wanted.tools or (),
            recent_turns=wanted.recent_turns,
            top_k=wanted.top_k,
            scope=wanted.scope,
            now=now,
            utc_offset_minutes=offset,
            stored_input=before,
        ),
    )
    if wanted.store:
        service.writer.append(project, conversation_id, turns, attempt)
    return render.respond(render.prompt(built))


@router.get("/traces/{trace_id}")
def get_trace(project: Project, service: ServiceState, trace_id: str) -> Response:
    """Say how a prompt or a search came about: candidates, scores, what was kept, and times."""
    return render.respond(service.traces.get(project, trace_id))


def _query(service: Service, wanted: SearchRequest) -> Query:
    limit = service.settings.max_query_chars
    if len(wanted.query) > limit:
        raise InvalidRequest(
            f"The query has {len(wanted.query):,} characters; {limit:,} are allowed "
            "(MEMORY_MAX_QUERY_CHARS).",
            param="query",
            code="text_too_long",
        )
    for number, role in enumerate(wanted.roles or ()):
        if role not in ROLES:
            raise InvalidRequest(
                f"'roles.{number}' must be one of {', '.join(sorted(ROLES))}.",
                param=f"roles.{number}",
                code="unknown_role",
            )
    times = {
        name: None if value is None else parse_time(value, name)[0]
        for name, value in (
            ("created_after", wanted.created_after),
            ("created_before", wanted.created_before),
        )
    }
    now, offset = _moment(wanted.now)
    return Query(
        text=wanted.query,
        top_k=wanted.top_k,
        roles=frozenset(wanted.roles or ()),
        created_after=times["created_after"],
        created_before=times["created_before"],
        now=now,
        utc_offset_minutes=offset,
    )


def _moment(now: TimeValue | None) -> tuple[int | None, int | None]:
    """Return when a question is asked, and the offset from UTC in minutes that it came with."""
    return (None, None) if now is None else parse_time(now, "now")


def _input_messages(new: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    messages = [{"role": "user", "content": new}] if isinstance(new, str) else new
    if not messages:
        raise InvalidRequest("'input' is empty.", param="input", code="missing_field")
    for number, message in enumerate(messages):
        if "role" not in message:
            raise InvalidRequest(
                f"'input.{number}.role' is missing: input is a text or chat messages.",
                param=f"input.{number}.role",
                code="missing_field",
            )
    return messages


def _as_turn(service: Service, message: dict[str, Any], number: int) -> NewTurn:
    return parse_item(message, dumps(message), {}, service.item_limits, f"input.{number}")
