"""Errors in OpenAI's envelope: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from memory_service.core.errors import (
    Conflict,
    InvalidRequest,
    NotSupported,
    NoUpstream,
    ServiceError,
    UpstreamLoop,
)

logger = structlog.get_logger(__name__)

# The official client retries their statuses, but the same request would fail again.
_NOT_RETRIED = (Conflict, NoUpstream, NotSupported, UpstreamLoop)
_STATUS_CODES = {404: "unknown_route", 405: "method_not_allowed"}


def install(app: FastAPI) -> None:
    """Register the handlers; `middleware` handles every other exception, which is a bug."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _parameter_error)
    app.add_exception_handler(HTTPException, _http_error)


def envelope(message: str, kind: str, param: str | None, code: str) -> dict[str, Any]:
    """Return the body of an error response."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def render(error: ServiceError) -> JSONResponse:
    """Return the response for one of the service's own errors."""
    headers = {"x-should-retry": "false"} if isinstance(error, _NOT_RETRIED) else {}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(
        envelope(error.message, error.type, error.param, error.code), error.status, headers
    )


def invalid(error: ValidationError | RequestValidationError) -> InvalidRequest:
    """Return the first problem of a validation, with the path of its field."""
    problem = error.errors()[0]
    # FastAPI begins the location with the kind of the parameter ("query", "path").
    location = problem["loc"][1:] if isinstance(error, RequestValidationError) else problem["loc"]
    # After the field, only numbers are positions: pydantic also names the tried member of a union.
    path = [*location[:1], *(part for part in location[1:] if isinstance(part, int))]
    param = ".".join(map(str, path)) or None
    if problem["type"] == "extra_forbidden":
        return InvalidRequest(f"Unknown field '{param}'.", param=param, code="unknown_field")
    if problem["type"] == "missing":
        return InvalidRequest(f"'{param}' is missing.", param=param, code="missing_field")
    field = f"'{param}': " if param else ""
    return InvalidRequest(f"{field}{problem['msg']}.", param=param)


def _service_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ServiceError):
        raise error
    if error.status >= 500:
        logger.error("a request failed", error=error.message, code=error.code)
    return render(error)


def _parameter_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return render(invalid(error))


def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    code = _STATUS_CODES.get(error.status_code, "http_error")
    message = f"{request.method} {request.url.path}: {error.detail}."
    return JSONResponse(
        envelope(message, "invalid_request_error", None, code), error.status_code, error.headers
    )
