"""/healthz and /readyz: whether the process lives, and whether it can do its work."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from memory_service import __version__
from memory_service.api import render
from memory_service.api.state import ServiceState
from memory_service.core.errors import Unavailable

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> Response:
    """Answer while the process lives."""
    return render.respond({"status": "ok", "version": __version__})


@router.get("/readyz")
def readyz(service: ServiceState) -> Response:
    """Say whether turns can be stored (503 if not) and how far the vector index is behind."""
    try:
        service.log.check_writable()
    except Unavailable as error:
        return JSONResponse({"status": "unavailable", "reason": error.message}, 503)
    status = service.index_status()
    healthy = status.parked == 0 and status.error is None and service.indexer.is_running
    answer: dict[str, Any] = {
        "status": "ok" if healthy else "degraded",
        "lag": status.lag,
        "parked": status.parked,
    }
    if status.error is not None:
        answer["reason"] = status.error
    if service.summarizer is not None:
        answer["summaries"] = render.summary_status(service.summarizer.status())
    if status.erasure_is_pending:
        # Files may still hold bytes of what was deleted; soon they are rewritten.
        answer["scrub"] = "pending"
    return render.respond(answer)
