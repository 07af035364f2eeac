"""Bodies of routes that are passed on: streamed upwards, and read as far as the model's name.

Most bodies are not read at all. The name is needed where several upstreams may serve a model, or
where the model is a part of the upstream's path.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio.to_thread
from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

from memory_service.core.errors import InvalidRequest, RequestTooLarge
from memory_service.items.strict_json import with_member

MAX_MODEL_BYTES = 512
"""The longest name of a model that is read from a form."""


class PassedBody:
    """The body of one request. `limit` is its largest size in bytes.

    At most `read_limit` bytes are kept in memory, while the model's name is read. `begin` comes
    first.
    """

    def __init__(self, request: Request, *, limit: int, read_limit: int) -> None:
        self._request = request
        self._read_limit = read_limit
        self._chunks = _limited(request, limit)
        self._kept: list[bytes] = []
        self._json: dict[str, Any] | None = None
        self._form_model: str | None = None
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)

    async def begin(self) -> None:
        """Wait for the first bytes, or the end of an empty body."""
        async for chunk in self._chunks:
            self._kept.append(chunk)
            return

    @property
    def is_empty(self) -> bool:
        """Whether there is no body; known after `begin`."""
        return not self._kept

    async def model(self) -> str | None:
        """Return the model that the body names; None if it names none in JSON or a form."""
        content_type, options = parse_options_header(self._request.headers.get("content-type"))
        if self.is_empty or "content-encoding" in self._request.headers:
            return None
        if content_type == b"application/json":
            return await self._model_of_json()
        boundary = options.get(b"boundary")
        if content_type == b"multipart/form-data" and boundary:
            return await self._model_of_form(boundary)
        return None

    def content(
        self, model: str | None, *, is_renamed: bool
    ) -> bytes | AsyncIterator[bytes] | None:
        """Return the body for the upstream, which knows the model by this name.

        Raises InvalidRequest if the name `is_renamed` in a form, which is not rewritten.
        """
        if self.is_empty:
            return None
        if self._json is not None and model is not None and self._json.get("model") != model:
            return _renamed(b"".join(self._kept), model)
        if self._form_model is not None and is_renamed:
            raise InvalidRequest(
                "A form cannot name its upstream before the model: send the header"
                " x-memory-upstream.",
                param="model",
            )
        return self._all_chunks()

    async def _model_of_json(self) -> str | None:
        size = sum(map(len, self._kept))
        async for chunk in self._chunks:
            size += len(chunk)
            if size > self._read_limit:
                raise _too_large(self._read_limit)
            self._kept.append(chunk)
        # Parsing a large body takes milliseconds, which would stop all streams in the event loop.
        self._json = await anyio.to_thread.run_sync(_object, b"".join(self._kept))
        model = None if self._json is None else self._json.get("model")
        return model if isinstance(model, str) else None

    async def _model_of_form(self, boundary: bytes) -> str | None:
        reader, size = FormModelReader(boundary), 0
        async for chunk in self._read_chunks():
            size += len(chunk)
            reader.feed(chunk)
            if reader.has_ended or size > self._read_limit:
                break
        self._form_model = reader.model
        return reader.model

    async def _read_chunks(self) -> AsyncIterator[bytes]:
        """Yield the chunks that are kept, and then the others, which are kept from then on."""
        for chunk in self._kept:
            yield chunk
        async for chunk in self._chunks:
            self._kept.append(chunk)
            yield chunk

    async def _all_chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._kept:
            yield chunk
        async for chunk in self._chunks:
            yield chunk


class FormModelReader:
    """Reads the field `model` of a form (multipart/form-data) that arrives in chunks."""

    def __init__(self, boundary: bytes) -> None:
        self.model: str | None = None
        self.has_ended = False
        self._header = [b"", b""]
        self._is_model = False
        self._value = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_to_header(0),
                "on_header_value": self._add_to_header(1),
                "on_header_end": self._end_header,
                "on_part_data": self._add_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes; a malformed form has no model."""
        try:
            self._parser.write(chunk)
        except MultipartParseError:
            self.has_ended = True

    def _begin_part(self) -> None:
        self._is_model, self._value = False, b""

    def _add_to_header(self, position: int) -> Any:
        def add(data: bytes, start: int, end: int) -> None:
            self._header[position] += data[start:end]

        return add

    def _end_header(self) -> None:
        name, value = self._header
        self._header = [b"", b""]
        if name.lower() == b"content-disposition":
            _, options = parse_options_header(value)
            self._is_model = options.get(b"name") == b"model" and b"filename" not in options

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_model and len(self._value) <= MAX_MODEL_BYTES:
            self._value += data[start:end]

    def _end_part(self) -> None:
        if self._is_model and self.model is None and len(self._value) <= MAX_MODEL_BYTES:
            self.model = self._value.decode(errors="replace").strip()
            self.has_ended = True

    def _end(self) -> None:
        self.has_ended = True


async def _limited(request: Request, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        if chunk:
            yield chunk


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _renamed(content: bytes, model: str) -> bytes:
    """Return a JSON object with another model, otherwise byte for byte."""
    try:
        return with_member(content.decode(), "model", model).encode()
    except ValueError as error:
        raise InvalidRequest("The body is not valid JSON.", code="invalid_json") from error


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The body is larger than {limit:,} bytes.")
