"""Relay an answer: pass it on as it arrives, collect it, and store it when it is complete."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

import anyio
import anyio.to_thread
import structlog

from memory_service.core.errors import ServiceError, UpstreamDown
from memory_service.core.protocols import UpstreamAnswer
from memory_service.gateway.answers import AnswerCollector
from memory_service.gateway.event_stream import EventStreamReader, StreamPiece
from memory_service.gateway.input_turns import (
    AnswerableRequest,
    UnstoredConversationRequest,
    stop_waiting,
)
from memory_service.gateway.upstream_prompts import PromptFailure, UpstreamPrompt
from memory_service.items.strict_json import dumps

logger = structlog.get_logger(__name__)

A = TypeVar("A", bound=UpstreamAnswer)

_EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class MemoryOutcome:
    """What memory did for a response; `milliseconds` passed before the upstream was asked."""

    request: AnswerableRequest
    prompt: UpstreamPrompt | PromptFailure
    milliseconds: float
    answer_error: str | None = None
    warning: str | None = None

    @property
    def error(self) -> str | None:
        """The code of what failed last; None if nothing failed."""
        failure = self.prompt.code if isinstance(self.prompt, PromptFailure) else None
        return self.answer_error or failure

    def headers(self) -> dict[str, str]:
        """Return the headers that describe it."""
        headers = {"x-memory-ms": f"{self.milliseconds:.1f}"}
        if not isinstance(self.request, UnstoredConversationRequest):
            headers["x-conversation-id"] = self.request.conversation.id
        if self.error is not None:
            headers["x-memory-error"] = self.error
        if self.warning is not None:
            headers["x-memory-warning"] = self.warning
        if isinstance(self.prompt, UpstreamPrompt):
            headers |= _prompt_headers(self.prompt)
        return headers


@dataclass(frozen=True, slots=True)
class SkippedMemory:
    """A request that memory could not take; it was forwarded as it is. `error` is the code."""

    error: str

    def headers(self) -> dict[str, str]:
        """Return the headers that describe it."""
        return {"x-memory-error": self.error}


def _prompt_headers(built: UpstreamPrompt) -> dict[str, str]:
    prompt = built.prompt
    headers = {
        "x-memory-tokens-before": str(built.tokens_before),
        "x-memory-tokens-after": str(built.tokens_after),
        "x-memory-recalled": str(len(prompt.recalled)),
        "x-memory-dropped": str(len(prompt.dropped)),
        "x-memory-trace-id": prompt.trace_id,
        "x-memory-prefix-tokens": str(built.prefix_tokens),
    }
    if prompt.degraded is not None:
        headers["x-memory-degraded"] = prompt.degraded
    return headers


@dataclass(frozen=True, slots=True)
class Exchange(Generic[A]):
    """An answer of the upstream to one prompt.

    `refusal` is the body of an answer with an error status, which was read already. `outcome` is
    None for a request that was forwarded without memory; `skipped` is set if memory could not take
    it.
    """

    answer: A
    refusal: bytes
    outcome: MemoryOutcome | None
    skipped: SkippedMemory | None = None


class StoredAnswer(NamedTuple):
    """What storing an answer and learning from it resulted in, as codes."""

    error: str | None = None
    warning: str | None = None


class AnswerRelay:
    """The upstream's answer to one request, passed on to the caller; it must always be closed.

    `store` is called once, when the answer ends. `retry` gets the error of an answer with status
    200 of which nothing was passed on yet, and returns the exchange that takes its place, if any.
    """

    def __init__(
        self,
        exchange: Exchange[UpstreamAnswer],
        store: Callable[[MemoryOutcome | None, AnswerCollector], StoredAnswer],
        retry: Callable[[MemoryOutcome | None, bytes], Awaitable[Exchange[UpstreamAnswer] | None]],
        collector: AnswerCollector | None = None,
    ) -> None:
        self._answer = exchange.answer
        self._refusal = exchange.refusal
        self._outcome = exchange.outcome
        self._skipped = exchange.skipped
        self._store_answer = store
        self._retry = retry
        self._reader = EventStreamReader()
        self._collector = AnswerCollector() if collector is None else collector
        self._is_stored = False

    @property
    def status(self) -> int:
        """The status of the upstream's answer."""
        return self._answer.status

    @property
    def is_stream(self) -> bool:
        """Whether the body is an event stream."""
        return _is_stream(self._answer)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        memory = self._outcome or self._skipped
        return {**self._answer.headers, **({} if memory is None else memory.headers())}

    async def read(self) -> bytes:
        """Return the body, after storing its answer."""
        if self.status >= 400:
            return self._refusal
        content = await self._answer.read()
        if _may_be_error(content) and await self._is_replaced(content):
            return await self.read()
        self._collector.take_body(content)
        await self._store()
        return content

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body as it arrives; the end of the stream only after storing the answer."""
        try:
            async with aclosing(self._pieces()) as pieces:
                async for piece in pieces:
                    if piece.before_end:
                        yield piece.before_end
                    self._collector.add_events(piece.events)
                    if piece.end:
                        await self._store()
                        yield piece.end
            rest = self._reader.finish()
            self._collector.add_events(rest.events)
            await self._store()
            if rest.before_end or rest.end:
                yield rest.before_end + rest.end
        except UpstreamDown as error:
            logger.warning("the upstream closed the connection early", error=error.message)
            self._collector.add_events(self._reader.finish().events)
            await self._store()
            yield _error_event(error)

    async def _pieces(self) -> AsyncGenerator[StreamPiece]:
        """Yield the pieces of the stream; one that begins with a refusal is replaced, once."""
        is_first = True
        async with aclosing(self._answer.chunks()) as chunks:
            async for chunk in chunks:
                piece = self._reader.feed(chunk)
                first, is_first = is_first, False
                error = piece.events[0] if first and piece.events else b""
                if _may_be_error(error) and await self._is_replaced(error):
                    break
                yield piece
            else:
                return
        self._reader = EventStreamReader()
        async with aclosing(self._answer.chunks()) as chunks:
            async for chunk in chunks:
                yield self._reader.feed(chunk)

    async def _is_replaced(self, error: bytes) -> bool:
        """Return whether another answer has taken the place of one that is an error."""
        exchange = await self._retry(self._outcome, error)
        if exchange is None:
            return False
        if self.is_stream and not _is_stream(exchange.answer):
            await exchange.answer.close()
            return False
        await self._answer.close()
        self._answer = exchange.answer
        self._refusal = exchange.refusal
        self._outcome = exchange.outcome
        return True

    async def close(self) -> None:
        """Close the connection; the received part of a stream is stored if the caller has gone."""
        with anyio.CancelScope(shield=True):
            await self._answer.close()
            if self.is_stream:
                self._collector.add_events(self._reader.finish().events)
                await self._store()
            if self._outcome is not None:
                stop_waiting(self._outcome.request)

    async def _store(self) -> None:
        if self._is_stored:
            return
        self._is_stored = True
        stored = await anyio.to_thread.run_sync(self._store_answer, self._outcome, self._collector)
        if self._outcome is not None:
            self._outcome = replace(
                self._outcome,
                answer_error=stored.error,
                warning=stored.warning or self._outcome.warning,
            )


def _is_stream(answer: UpstreamAnswer) -> bool:
    content_type = answer.headers.get("content-type", "").lower()
    return answer.status < 400 and content_type.startswith(_EVENT_STREAM)


def _may_be_error(content: bytes) -> bool:
    """Return whether a body or an event may be an error; answers are not parsed to find out."""
    return b'"error"' in content and b'"choices"' not in content


def _error_event(error: ServiceError) -> bytes:
    """Return an error as an event, in OpenAI's form: the status was sent already."""
    content = {"message": error.message, "type": error.type, "param": None, "code": error.code}
    return f"data: {dumps({'error': content})}\n\n".encode()
