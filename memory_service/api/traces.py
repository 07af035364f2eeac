"""GET /v1/traces/{id}: the record of how a prompt or a search came about."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.auth import Project
from memory_service.api.state import ServiceState

router = APIRouter(prefix="/v1/traces", tags=["recall"])


@router.get("/{trace_id}")
def get_trace(project: Project, service: ServiceState, trace_id: str) -> Response:
    """Return how a prompt or a search came about: candidates, scores, what was kept, and times."""
    return render.respond(service.traces.get(project, trace_id))
