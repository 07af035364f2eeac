"""/healthz and /readyz: whether the process runs, and whether it can store turns."""

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
    """Return `ok` while the process runs."""
    return render.respond({"status": "ok", "version": __version__})


@router.get("/readyz")
def readyz(service: ServiceState) -> Response:
    """Return whether turns can be stored (503 if not) and how far the vector index is behind."""
    try:
        service.log.check_writable()
    except Unavailable as error:
        return JSONResponse({"status": "unavailable", "reason": error.message}, 503)
    status = service.index_status()
    healthy = status.parked == 0 and status.error is None and service.indexer.is_running
    content: dict[str, Any] = {
        "status": "ok" if healthy else "degraded",
        "lag": status.lag,
        "parked": status.parked,
    }
    if status.error is not None:
        content["reason"] = status.error
    if service.summarizer is not None:
        content["summaries"] = render.summary_status(service.summarizer.status())
    windows = service.windows.in_use()
    if windows:
        content["context_windows"] = render.used_windows(windows)
    if status.erasure_is_pending:
        # Files may contain bytes of deleted data until they are rewritten.
        content["scrub"] = "pending"
    return render.respond(content)
