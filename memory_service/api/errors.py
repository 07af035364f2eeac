"""Every error leaves in OpenAI's envelope: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from memory_service.core.errors import Conflict, InvalidRequest, NoUpstream, ServiceError

logger = structlog.get_logger(__name__)

_STATUS_CODES = {404: "unknown_route", 405: "method_not_allowed"}


def install(app: FastAPI) -> None:
    """Register the handlers; what none of them takes is a bug, and `middleware` renders it."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _parameter_error)
    app.add_exception_handler(HTTPException, _http_error)


def envelope(message: str, kind: str, param: str | None, code: str) -> dict[str, Any]:
    """Return the body of an error response."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def render(error: ServiceError) -> JSONResponse:
    """Return the response for one of the service's own errors."""
    # The official client retries a 409 and a 501; the same request can only fail again.
    headers = {"x-should-retry": "false"} if isinstance(error, Conflict | NoUpstream) else {}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(
        envelope(error.message, error.type, error.param, error.code), error.status, headers
    )


def invalid(error: ValidationError | RequestValidationError) -> InvalidRequest:
    """Return the first problem that validation found, with the path of the field."""
    problem = error.errors()[0]
    # FastAPI puts where the parameter is in front ("query", "path"); a body's model does not.
    place = problem["loc"][1:] if isinstance(error, RequestValidationError) else problem["loc"]
    # After the field only numbers are places: of a union, pydantic also names the member it tried.
    path = [*place[:1], *(part for part in place[1:] if isinstance(part, int))]
    param = ".".join(map(str, path)) or None
    if problem["type"] == "extra_forbidden":
        return InvalidRequest(f"Unknown field '{param}'.", param=param, code="unknown_field")
    if problem["type"] == "missing":
        return InvalidRequest(f"'{param}' is missing.", param=param, code="missing_field")
    where = f"'{param}': " if param else ""
    return InvalidRequest(f"{where}{problem['msg']}.", param=param)


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
