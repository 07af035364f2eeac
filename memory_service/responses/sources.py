"""What the upstream answered, as a response or as its events, whichever API it has."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any

from memory_service.core.errors import UpstreamDown
from memory_service.core.protocols import UpstreamAnswer
from memory_service.gateway.event_stream import EventStreamReader
from memory_service.responses.chat.answer import response_of_completion
from memory_service.responses.chat.stream import ChatStreamTranslator
from memory_service.responses.events import Event, replay

_EVENT_STREAM = "text/event-stream"


class ResponseSource:
    """An answer whose status and headers have arrived; this class reads that of a Responses API."""

    def __init__(self, answer: UpstreamAnswer) -> None:
        self._answer = answer

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that concern the caller, without those of the body's form."""
        return {k: v for k, v in self._answer.headers.items() if k != "content-type"}

    @property
    def content_type(self) -> str:
        """The form of the body."""
        return self._answer.headers.get("content-type", "application/json")

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body's bytes as they come; raises UpstreamDown if it breaks off."""
        async with aclosing(self._answer.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk

    async def read(self) -> bytes:
        """Return the whole body; raises UpstreamDown if it breaks off."""
        return await self._answer.read()

    async def close(self) -> None:
        """Release the connection; an unfinished answer is cancelled."""
        await self._answer.close()

    async def response(self) -> Mapping[str, Any]:
        """Return the response; raises UpstreamDown if the body is none."""
        return _object(await self.read())

    async def events(self) -> AsyncGenerator[Event]:
        """Yield the events of the response; raises UpstreamDown if it breaks off."""
        if not self.content_type.lower().startswith(_EVENT_STREAM):
            for event in replay(await self.response()):
                yield event
            return
        async with aclosing(self._data()) as data:
            async for content in data:
                for event in self._translated([content]):
                    yield event
        for event in self._end():
            yield event

    def _translated(self, data: Iterable[bytes]) -> Iterable[Event]:
        """Return the events of the data of the stream's events."""
        values = (_parsed(content) for content in data)
        return [dict(value) for value in values if isinstance(value.get("type"), str)]

    def _end(self) -> Iterable[Event]:
        """Return the events after the last of the stream."""
        return ()

    async def _data(self) -> AsyncGenerator[bytes]:
        reader = EventStreamReader()
        async for chunk in self.chunks():
            for content in reader.feed(chunk).events:
                yield content
        for content in reader.finish().events:
            yield content


class ChatSource(ResponseSource):
    """An answer of chat completions; `begun` makes the response that has just begun."""

    def __init__(
        self,
        answer: UpstreamAnswer,
        begun: Callable[[], Mapping[str, Any]],
        custom_tools: frozenset[str],
    ) -> None:
        super().__init__(answer)
        self._begun = begun
        self._custom_tools = custom_tools
        self._translator = ChatStreamTranslator(begun(), custom_tools)

    async def response(self) -> Mapping[str, Any]:
        """Return the response; raises UpstreamDown if the body is no completion."""
        completion = _object(await self.read())
        return response_of_completion(completion, self._begun(), self._custom_tools)

    def _translated(self, data: Iterable[bytes]) -> Iterable[Event]:
        return self._translator.feed(data)

    def _end(self) -> Iterable[Event]:
        return self._translator.finish() if self._translator.is_complete else ()


def _object(content: bytes) -> Mapping[str, Any]:
    value = _parsed(content)
    if not value:
        raise UpstreamDown("The model's server answered without JSON.", code="upstream_broke_off")
    return value


def _parsed(content: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, Mapping) else {}
