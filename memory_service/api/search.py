"""POST /v1/search: find turns and summaries of a conversation or of a user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.access import readable_conversation, readable_user
from memory_service.api.auth import Access
from memory_service.api.body import RequestBody, documented
from memory_service.api.schemas import SearchRequest
from memory_service.api.state import ServiceState
from memory_service.api.times import moment, optional_time
from memory_service.core.errors import InvalidRequest
from memory_service.core.models import KeyAccess, Recall
from memory_service.items.conversation_items import ROLES
from memory_service.recall.query import Query
from memory_service.service import Service

router = APIRouter(prefix="/v1", tags=["recall"])


@router.post("/search", openapi_extra=documented(SearchRequest))
def search(access: Access, service: ServiceState, body: RequestBody) -> Response:
    """Find the turns of a conversation or of a user that match a query."""
    request = _reachable(access, service, body.as_model(SearchRequest))
    project = access.project_key
    recall = _recall(project, service, request)
    content: dict[str, Any] = {
        "object": "list",
        "data": [render.hit(hit) for hit in recall.hits],
        "trace_id": service.traces.add_search(project, recall),
    }
    if request.summaries:
        content["summaries"] = _summaries(project, service, request)
    if recall.degraded is not None:
        content["degraded"] = recall.degraded
    return render.respond(content)


def _reachable(access: KeyAccess, service: Service, request: SearchRequest) -> SearchRequest:
    """Return a request within what its caller can reach; an acting user searches own turns.

    Raises NotFound for a conversation or a user that cannot be reached.
    """
    if access.user is None:
        return request
    if request.conversation_id is None:
        user = readable_user(access, request.user_id, param="user_id")
        return request.model_copy(update={"user_id": user})
    readable_user(access, request.user_id, param="user_id")
    with service.log.read() as snapshot:
        readable_conversation(snapshot, access, request.conversation_id)
    return request


def _recall(project: int, service: Service, request: SearchRequest) -> Recall:
    query = _query(service, request)
    if (request.conversation_id is None) == (request.user_id is None):
        raise InvalidRequest(
            "Give exactly one of 'conversation_id' and 'user_id'.", param="conversation_id"
        )
    if request.conversation_id is not None:
        return service.recaller.in_conversation(project, request.conversation_id, query)
    return service.recaller.of_user(project, str(request.user_id), query)


def _summaries(project: int, service: Service, request: SearchRequest) -> list[dict[str, Any]]:
    hits = service.summary_finder.find(
        project,
        request.query,
        conversation_id=request.conversation_id,
        user_id=request.user_id,
        top_k=request.summaries,
    )
    return [render.summary_hit(hit) for hit in hits]


def _query(service: Service, request: SearchRequest) -> Query:
    _check_query_text(request.query, service.settings.max_query_chars)
    roles = request.roles or ()
    _check_roles(roles)
    now, offset = moment(request.now)
    return Query(
        text=request.query,
        top_k=request.top_k,
        roles=frozenset(roles),
        created_after=optional_time(request.created_after, "created_after"),
        created_before=optional_time(request.created_before, "created_before"),
        now=now,
        utc_offset_minutes=offset,
    )


def _check_query_text(text: str, limit: int) -> None:
    if len(text) > limit:
        raise InvalidRequest(
            f"The query has {len(text):,} characters. {limit:,} are allowed "
            "(MEMORY_MAX_QUERY_CHARS).",
            param="query",
            code="text_too_long",
        )


def _check_roles(roles: Sequence[str]) -> None:
    for position, role in enumerate(roles):
        if role not in ROLES:
            raise InvalidRequest(
                f"'roles.{position}' must be one of {', '.join(sorted(ROLES))}.",
                param=f"roles.{position}",
                code="unknown_role",
            )
