"""The errors of this service; each class has its HTTP status and code.

    ServiceError                 500 server_error
    ├── InvalidRequest           400 invalid_request_error
    │   └── ContextLengthExceeded    400, code context_length_exceeded
    ├── RequestTooLarge          413
    ├── UnsupportedEncoding      415
    ├── Unauthenticated          401 authentication_error
    ├── Forbidden                403 permission_error
    ├── NotFound                 404
    ├── Conflict                 409 (the caller must change the request)
    ├── NoUpstream               501 (no upstream is configured)
    ├── NotSupported             501 (the service does not pass this kind of request on)
    ├── UpstreamLoop             508 (an upstream is this service itself)
    ├── UpstreamDown             502 (the upstream cannot be reached, or broke off)
    ├── UpstreamTimeout          504 (the upstream was silent for too long)
    ├── RecallFailed             503 (a prompt could not be built, and recall is strict)
    ├── Unavailable              503 (the turn log cannot be read or written)
    ├── VectorIndexDown          503 (not served: recall continues, degraded)
    ├── EmbedderDown             503 (not served: a later request may succeed)
    ├── EmbedderRefused          503 (not served: something must be changed first)
    ├── ChatModelDown            503 (not served: a later request may succeed)
    ├── ChatModelRefused         503 (not served: something must be changed first)
    └── StartupError             not served: stops a command, and says what to do

One handler (`memory_service.api.errors`) renders all of them in OpenAI's error envelope.
Any other exception is a bug: the response is 500, and the exception is logged with the request id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class ServiceError(Exception):
    """The base class: a message for the caller, and the request field (`param`) it is about."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.default_code


class InvalidRequest(ServiceError):
    """The request is malformed or exceeds a limit; nothing was changed."""

    status = 400
    type = "invalid_request_error"
    default_code = "invalid_value"


class ContextLengthExceeded(InvalidRequest):
    """The required parts of a prompt do not fit the token budget."""

    default_code = "context_length_exceeded"


class RequestTooLarge(ServiceError):
    """The body is larger than `MEMORY_MAX_BODY_BYTES`."""

    status = 413
    type = "invalid_request_error"
    default_code = "request_too_large"


class UnsupportedEncoding(ServiceError):
    """The body has a Content-Encoding that is not known."""

    status = 415
    type = "invalid_request_error"
    default_code = "unsupported_encoding"


class Unauthenticated(ServiceError):
    """No API key, or one that is unknown or revoked."""

    status = 401
    type = "authentication_error"
    default_code = "invalid_api_key"


class Forbidden(ServiceError):
    """Keyless mode does not serve the request's address, host or origin."""

    status = 403
    type = "permission_error"
    default_code = "forbidden"


class NotFound(ServiceError):
    """The resource does not exist or belongs to another project; the response is the same."""

    status = 404
    type = "invalid_request_error"
    default_code = "not_found"


class Conflict(ServiceError):
    """The id or key has been used for something else."""

    status = 409
    type = "invalid_request_error"
    default_code = "conflict"


class NoUpstream(ServiceError):
    """The request needs a model, and no upstream is configured."""

    status = 501
    default_code = "no_upstream"


class NotSupported(ServiceError):
    """The service cannot pass on this kind of request, such as a WebSocket."""

    status = 501
    default_code = "not_supported"


class UpstreamLoop(ServiceError):
    """A request came back: an upstream is this service itself, directly or through others."""

    status = 508
    default_code = "upstream_loop"


class UpstreamDown(ServiceError):
    """The upstream cannot be reached, or broke off during its answer."""

    status = 502
    default_code = "upstream_unreachable"


class UpstreamTimeout(UpstreamDown):
    """The upstream was silent for longer than `MEMORY_UPSTREAM_TIMEOUT_SECONDS`."""

    status = 504
    default_code = "upstream_timeout"


class RecallFailed(ServiceError):
    """A prompt could not be built, or not in time; only served if recall is strict."""

    status = 503
    default_code = "recall_failed"


class Unavailable(ServiceError):
    """The turn log cannot be read or written now."""

    status = 503
    type = "server_error"
    default_code = "unavailable"


class VectorIndexDown(ServiceError):
    """The vector index cannot answer; recall continues without it, degraded."""

    status = 503
    default_code = "vector_index_unavailable"


class EmbedderDown(ServiceError):
    """The embedder failed in a way that may pass: no answer, too many requests, unusable vectors.

    `positions` are the texts it is about, as indexes of the caller's list; empty means all of them.
    `retry_after_seconds` is the wait that the embedder asks for, if any.
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
    """The embedder refuses until something is changed: a text that is too long, a key, a model.

    `positions` are the texts it is about, as indexes of the caller's list; empty means all of them,
    or that the embedder does not say.
    """

    status = 503
    default_code = "embedder_refused"

    def __init__(self, message: str, *, positions: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.positions = tuple(positions)


class ChatModelDown(ServiceError):
    """The model failed in a way that may pass: no answer, too many requests, an unusable answer.

    `retry_after_seconds` is the wait that its server asks for, if any.
    """

    status = 503
    default_code = "chat_model_unavailable"

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ChatModelRefused(ServiceError):
    """The model refuses until something is changed: the key, its name, the request."""

    status = 503
    default_code = "chat_model_refused"


class StartupError(ServiceError):
    """A command cannot start; the message says what to do."""

    default_code = "startup_error"
