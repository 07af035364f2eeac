"""GET /v1/traces/{id}: the record of how a prompt was built or a search was answered."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.auth import Access
from memory_service.api.state import ServiceState

router = APIRouter(prefix="/v1/traces", tags=["recall"])


@router.get("/{trace_id}")
def get_trace(access: Access, service: ServiceState, trace_id: str) -> Response:
    """Return the trace of a prompt or a search: candidates, scores, outcomes and times."""
    return render.respond(service.traces.get(access.project_key, trace_id, user=access.user))
