"""Every error this service raises on purpose; each class carries its HTTP status and code.

    ServiceError                 500 server_error
    ├── InvalidRequest           400 invalid_request_error
    │   └── ContextLengthExceeded    400, code context_length_exceeded
    ├── RequestTooLarge          413
    ├── Unauthenticated          401 authentication_error
    ├── Forbidden                403 permission_error
    ├── NotFound                 404
    ├── Conflict                 409 (never retried: the caller must change something)
    ├── NoUpstream               501 (no model's server is configured)
    ├── UpstreamDown             502 (the model's server cannot be reached, or broke off)
    ├── UpstreamTimeout          504 (the model's server was silent for too long)
    ├── RecallFailed             503 (a prompt could not be built, and recall is strict)
    ├── Unavailable              503 (the turn log cannot be read or written)
    ├── VectorIndexDown          503 (never served: recall goes on, degraded)
    ├── EmbedderDown             503 (never served: asked again later, it may well answer)
    ├── EmbedderRefused          503 (never served: it will not pass by itself)
    ├── ChatModelDown            503 (never served: asked again later, it may well answer)
    ├── ChatModelRefused         503 (never served: it will not pass by itself)
    └── StartupError             not served: what stops a command, with what to do about it

One handler (`memory_service.api.errors`) renders all of them in OpenAI's error envelope.
Anything else that escapes a request is a bug: it stays a 500 and is logged with its request id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class ServiceError(Exception):
    """The base: a message for the caller, and the request field (`param`) it is about, if any."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.default_code


class InvalidRequest(ServiceError):
    """The request is malformed or breaks a limit; nothing was changed."""

    status = 400
    type = "invalid_request_error"
    default_code = "invalid_value"


class ContextLengthExceeded(InvalidRequest):
    """The parts of a prompt that cannot be left out do not fit the token budget."""

    default_code = "context_length_exceeded"


class RequestTooLarge(ServiceError):
    """The body is larger than `MEMORY_MAX_BODY_BYTES`."""

    status = 413
    type = "invalid_request_error"
    default_code = "request_too_large"


class Unauthenticated(ServiceError):
    """No API key, or one that is unknown or revoked."""

    status = 401
    type = "authentication_error"
    default_code = "invalid_api_key"


class Forbidden(ServiceError):
    """A request that keyless mode does not serve: a foreign address, host or origin."""

    status = 403
    type = "permission_error"
    default_code = "forbidden"


class NotFound(ServiceError):
    """It does not exist, or belongs to another project: the two look the same."""

    status = 404
    type = "invalid_request_error"
    default_code = "not_found"


class Conflict(ServiceError):
    """The id or key was used before for something else."""

    status = 409
    type = "invalid_request_error"
    default_code = "conflict"


class NoUpstream(ServiceError):
    """A model was asked for, and no server of one is configured."""

    status = 501
    default_code = "no_upstream"


class UpstreamDown(ServiceError):
    """The model's server cannot be reached, or broke off in the middle of its answer."""

    status = 502
    default_code = "upstream_unreachable"


class UpstreamTimeout(UpstreamDown):
    """The model's server was silent for longer than `MEMORY_UPSTREAM_TIMEOUT_SECONDS`."""

    status = 504
    default_code = "upstream_timeout"


class RecallFailed(ServiceError):
    """A prompt could not be built in time, or at all; only served where recall is strict."""

    status = 503
    default_code = "recall_failed"


class Unavailable(ServiceError):
    """The turn log cannot be read or written now."""

    status = 503
    type = "server_error"
    default_code = "unavailable"


class VectorIndexDown(ServiceError):
    """The vector index cannot answer; recall goes on without it and says so."""

    status = 503
    default_code = "vector_index_unavailable"


class EmbedderDown(ServiceError):
    """The embedder failed in a way that may pass: no answer, too many requests, unusable vectors.

    `positions` are the texts it is about, counted in the list that was asked for; empty means all
    of them. `retry_after_seconds` is what the embedder itself asks for, if it does.
    """

    status = 503
    default_code = "embedder_unavailable"

    def __init__(
        self,
        message: str,
        *,
        positions: Sequence[int] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.positions = tuple(positions)
        self.retry_after_seconds = retry_after_seconds


class EmbedderRefused(ServiceError):
    """The embedder will say no until something is changed: a text too long, a key, a model.

    `positions` are the texts it is about, counted in the list that was asked for; empty means all
    of them, or that the embedder does not say.
    """

    status = 503
    default_code = "embedder_refused"

    def __init__(self, message: str, *, positions: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.positions = tuple(positions)


class ChatModelDown(ServiceError):
    """The model failed in a way that may pass: no answer, too many requests, an unusable answer.

    `retry_after_seconds` is what its server asks for, if it does.
    """

    status = 503
    default_code = "chat_model_unavailable"

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ChatModelRefused(ServiceError):
    """The model will say no until something is changed: the key, its name, what it is asked."""

    status = 503
    default_code = "chat_model_refused"


class StartupError(ServiceError):
    """A command cannot start; the message says what to do."""

    default_code = "startup_error"
