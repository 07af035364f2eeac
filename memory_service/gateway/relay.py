"""An answer on its way back: passed on as it comes, read beside, stored when its end is here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
import structlog

from memory_service.core.errors import ServiceError, UpstreamDown
from memory_service.core.protocols import UpstreamAnswer
from memory_service.gateway.answers import Answers, before_done
from memory_service.gateway.intake import Question
from memory_service.gateway.prompting import Prepared
from memory_service.items.strict_json import dumps

logger = structlog.get_logger(__name__)

_EVENT_STREAM = "text/event-stream"


@dataclass(slots=True)
class Memory:
    """What memory has done for a request: nothing, if it has no question."""

    question: Question | None = None
    prepared: Prepared | None = None
    error: str | None = None
    milliseconds: float = 0.0

    def headers(self) -> dict[str, str]:
        """Return what the response says about it."""
        if self.question is None:
            return {}
        found = {"x-memory-ms": f"{self.milliseconds:.1f}"}
        if self.question.before is None:
            found["x-conversation-id"] = self.question.conversation.id
        if self.error is not None:
            found["x-memory-error"] = self.error
        if self.prepared is not None:
            prompt = self.prepared.prompt
            found |= {
                "x-memory-tokens-before": str(self.prepared.before),
                "x-memory-tokens-after": str(self.prepared.after),
                "x-memory-recalled": str(len(prompt.recalled)),
                "x-memory-dropped": str(len(prompt.dropped)),
                "x-memory-trace-id": prompt.trace_id,
                "x-memory-prefix-tokens": str(self.prepared.shared),
            }
            if prompt.degraded is not None:
                found["x-memory-degraded"] = prompt.degraded
        return found


@dataclass(slots=True)
class Exchange:
    """One request's answer on its way back; `close` it in any case."""

    memory: Memory
    answer: UpstreamAnswer
    store: Callable[[Answers], None]
    refusal: bytes = b""
    _answers: Answers = field(default_factory=Answers)
    _stored: bool = False

    @property
    def status(self) -> int:
        """The upstream's status."""
        return self.answer.status

    @property
    def is_stream(self) -> bool:
        """Whether the body comes in events."""
        kind = self.answer.headers.get("content-type", "")
        return self.status < 400 and kind.startswith(_EVENT_STREAM)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        return {**self.answer.headers, **self.memory.headers()}

    async def read_refusal(self) -> None:
        """Read the body of an upstream that refuses, and give the connection back."""
        try:
            self.refusal = await self.answer.read()
        finally:
            await self.answer.close()

    async def read(self) -> bytes:
        """Return the whole body, its answer stored."""
        if self.status >= 400:
            return self.refusal
        content = await self.answer.read()
        self._answers.whole(content)
        await self._store()
        return content

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body as it comes; its end is not told before the answer is stored."""
        try:
            async with aclosing(self.answer.chunks()) as chunks:
                async for chunk in chunks:
                    said, end = before_done(chunk)
                    if said:
                        yield said
                    self._answers.feed(chunk)
                    if end:
                        await self._store()
                        yield end
            await self._store()
        except UpstreamDown as error:
            logger.warning("the upstream broke off", error=error.message)
            await self._store()
            yield _error_event(error)

    async def close(self) -> None:
        """Store what has come, though the caller or the upstream is gone; close the connection."""
        with anyio.CancelScope(shield=True):
            await self.answer.close()
            if self.is_stream:
                await self._store()

    async def _store(self) -> None:
        if not self._stored:
            self._stored = True
            await anyio.to_thread.run_sync(self.store, self._answers)


def _error_event(error: ServiceError) -> bytes:
    """Return an error as OpenAI's streams tell it: the status has left already."""
    told = {"message": error.message, "type": error.type, "param": None, "code": error.code}
    return f"data: {dumps({'error': told})}\n\n".encode()
