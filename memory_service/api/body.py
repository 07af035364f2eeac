"""Request bodies: read up to the size limit, parsed strictly, validated by a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

from fastapi import Depends, Header, Request
from pydantic import BaseModel, ValidationError

from memory_service.api.auth import Access
from memory_service.api.errors import invalid
from memory_service.api.state import ServiceState
from memory_service.conversations.idempotency import Attempt
from memory_service.core.errors import InvalidRequest, RequestTooLarge
from memory_service.items import strict_json

M = TypeVar("M", bound=BaseModel)

MAX_IDEMPOTENCY_KEY_CHARS = 256
MAX_CHAT_NESTING = 256
"""Deepest nesting of a chat completion with memory; a deeper one is forwarded without.

Python's stack has 1,000 frames, and some functions take two for each level.
"""


async def _read(request: Request, service: ServiceState) -> bytes:
    limit = service.settings.max_body_bytes
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise RequestTooLarge(
                f"The body is larger than {limit:,} bytes (MEMORY_MAX_BODY_BYTES)."
            )
        chunks.append(chunk)
    return b"".join(chunks)


class ChatBody(NamedTuple):
    """A body that is for the upstream: its text, and its object.

    `unreadable` is the code of the reason why the text was not parsed; the object is then empty.
    """

    text: str
    value: Mapping[str, Any]
    unreadable: str | None = None


@dataclass(frozen=True, slots=True)
class JsonBody:
    """The body of a request, as bytes: worker threads parse it, not the event loop."""

    content: bytes
    max_nesting: int

    def lenient(self) -> ChatBody:
        """Return a body that is for the upstream, which is forwarded whatever it says.

        Raises InvalidRequest if it is no JSON object.
        """
        try:
            text = self.content.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise _not_utf8(error) from error
        try:
            value = strict_json.loads_lenient(text, max_nesting=MAX_CHAT_NESTING)
        except InvalidRequest as error:
            if error.code != "nesting_too_deep":
                raise
            return ChatBody(text, {}, error.code)
        return ChatBody(text, _as_object(value))

    def text(self) -> str:
        """Return the body as text; raises InvalidRequest if it is not UTF-8."""
        try:
            return self.content.decode()
        except UnicodeDecodeError as error:
            raise _not_utf8(error) from error

    def value(self, *, optional: bool = False) -> dict[str, Any]:
        """Return the JSON object in the body; an empty body is {} if the body is `optional`."""
        if optional and not self.content.strip():
            return {}
        return _as_object(strict_json.loads(self.text(), max_nesting=self.max_nesting))

    def as_model(self, model: type[M], *, optional: bool = False) -> M:
        """Return the body as a model; raises InvalidRequest that names the invalid field."""
        try:
            return model.model_validate(self.value(optional=optional))
        except ValidationError as error:
            raise invalid(error) from error


def _as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_type")
    return value


def _not_utf8(error: UnicodeDecodeError) -> InvalidRequest:
    return InvalidRequest(
        f"The body is not UTF-8: byte {error.start} is invalid.", code="invalid_json"
    )


async def _body(content: Annotated[bytes, Depends(_read)], service: ServiceState) -> JsonBody:
    return JsonBody(content, service.settings.max_nesting)


RequestBody = Annotated[JsonBody, Depends(_body)]


async def _attempt(
    request: Request,
    access: Access,
    content: Annotated[bytes, Depends(_read)],
    idempotency_key: Annotated[
        str | None,
        Header(
            description="A request with the key and body of an earlier one returns its response and"
            " stores nothing."
        ),
    ] = None,
    x_stainless_retry_count: Annotated[
        str | None, Header(description="OpenAI's clients send it when they repeat a request.")
    ] = None,
) -> Attempt:
    if idempotency_key is not None and not 0 < len(idempotency_key) <= MAX_IDEMPOTENCY_KEY_CHARS:
        raise InvalidRequest(
            f"Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY_CHARS} characters.",
            param="Idempotency-Key",
        )
    signature = b"\n".join((request.method.encode(), request.url.path.encode(), content))
    retries = x_stainless_retry_count or "0"
    return Attempt(
        key=_users_key(access.user, idempotency_key),
        request_hash=hashlib.sha256(signature).digest(),
        is_retry=retries.isascii() and retries.isdigit() and int(retries[:9]) > 0,
    )


def _users_key(user: str | None, key: str | None) -> str | None:
    """Return an Idempotency-Key that no other user of the project shares."""
    if user is None or key is None:
        return key
    return hashlib.sha256(f"{user}\n{key}".encode("utf-8", "surrogatepass")).hexdigest()


RequestAttempt = Annotated[Attempt, Depends(_attempt)]


def documented(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Return the OpenAPI documentation of a body.

    FastAPI cannot derive it: the routes read the body themselves, to keep its exact bytes.
    """
    schema = model.model_json_schema()
    return {
        "requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}
    }
