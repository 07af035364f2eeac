"""Relay a response: pass it on as it arrives, collect it, and store it before its last event."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import anyio
import anyio.to_thread
import structlog

from memory_service.core.errors import UpstreamDown
from memory_service.gateway.input_turns import stop_waiting
from memory_service.gateway.relay import MemoryOutcome
from memory_service.items.fields import new_id
from memory_service.items.strict_json import dumps
from memory_service.responses.events import TERMINAL, Event, encoded
from memory_service.responses.objects import new_response
from memory_service.responses.output import OutputCollector
from memory_service.responses.sources import ResponseSource

logger = structlog.get_logger(__name__)

_BROKE_OFF = "The model's server ended the stream before the response was complete."


@dataclass(frozen=True, slots=True)
class ResponsePlan:
    """What a response says of its request; `is_kept` is whether it can be retrieved later.

    A response that is not kept has the id that the upstream gave it.
    """

    id: str
    created_at: int
    body: Mapping[str, Any]
    is_kept: bool

    def begun(self) -> dict[str, Any]:
        """Return the response that has just begun."""
        return self.own(new_response(self.body, self.id, self.created_at))

    def own(self, response: Mapping[str, Any]) -> dict[str, Any]:
        """Return a response of the upstream as one of this service."""
        own = {"previous_response_id": self.body.get("previous_response_id")}
        conversation = self.body.get("conversation")
        if conversation is not None:
            is_object = isinstance(conversation, Mapping)
            own["conversation"] = conversation if is_object else {"id": conversation}
        if isinstance(self.body.get("metadata"), Mapping):
            own["metadata"] = self.body["metadata"]
        own["store"] = self.is_kept
        response_id = self.id if self.is_kept else response.get("id") or self.id
        return {**response, **own, "id": response_id}


class ResponseRelay:
    """The response to one request, passed on to the caller; it must always be closed.

    `refusal` is the body of an answer with an error status, which was read already. `store` is
    called once, when the response ends, and returns the code of its error, if any. `discard` is
    called instead if there is no response.
    """

    def __init__(
        self,
        source: ResponseSource,
        refusal: bytes,
        outcome: MemoryOutcome | None,
        plan: ResponsePlan,
        store: Callable[[OutputCollector], str | None],
        discard: Callable[[], None],
    ) -> None:
        self._source = source
        self._refusal = refusal
        self._outcome = outcome
        self._plan = plan
        self._store_output = store
        self._discard = discard
        self._collector = OutputCollector()
        self._is_stored = False
        self._events = 0

    @property
    def status(self) -> int:
        """The status of the response."""
        return self._source.status

    @property
    def is_stream(self) -> bool:
        """Whether the body is an event stream."""
        return self.status < 400 and bool(self._plan.body.get("stream"))

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        memory_headers = {} if self._outcome is None else self._outcome.headers()
        form = "text/event-stream" if self.is_stream else "application/json"
        content_type = self._source.content_type if self.status >= 400 else form
        return {**self._source.headers, **memory_headers, "content-type": content_type}

    async def read(self) -> bytes:
        """Return the body, after storing its output."""
        if self.status >= 400:
            return self._refusal
        response = self._plan.own(await self._source.response())
        self._collector.take(response)
        await self._store()
        return dumps(response).encode("utf-8", "replace")

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the events as they arrive; the last one only after storing the output."""
        try:
            async with aclosing(self._source.events()) as events:
                async for event in events:
                    own = self._own(event)
                    self._collector.add(own)
                    if own["type"] in TERMINAL:
                        await self._store()
                    yield encoded(own)
            self._check_end()
            await self._store()
        except UpstreamDown as error:
            logger.warning("the upstream closed the connection early", error=error.message)
            await self._store()
            fields = {"code": error.code, "message": error.message, "param": None}
            yield encoded(self._own({"type": "error", **fields}))

    async def close(self) -> None:
        """Close the connection; the received part of a stream is stored if the caller has gone."""
        with anyio.CancelScope(shield=True):
            await self._source.close()
            if self.is_stream:
                await self._store()
            if not self._is_stored:
                await anyio.to_thread.run_sync(self._discard)
            if self._outcome is not None:
                stop_waiting(self._outcome.request)

    def _own(self, event: Event) -> Event:
        """Return an event of the upstream as one of this service."""
        own = {**event, "sequence_number": self._events}
        if isinstance(event.get("response"), Mapping):
            own["response"] = self._plan.own(event["response"])
        self._events += 1
        return own

    def _check_end(self) -> None:
        if not (self._collector.has_ended or self._collector.has_failed):
            raise UpstreamDown(_BROKE_OFF, code="upstream_broke_off")

    async def _store(self) -> None:
        if self._is_stored:
            return
        self._is_stored = True
        error = await anyio.to_thread.run_sync(self._store_output, self._collector)
        if self._outcome is not None and error is not None:
            self._outcome = replace(self._outcome, answer_error=error)


def new_plan(body: Mapping[str, Any], created_at: int, *, is_kept: bool) -> ResponsePlan:
    """Return the plan of a response with a new id."""
    return ResponsePlan(new_id("resp"), created_at, body, is_kept)
