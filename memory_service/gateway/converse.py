"""The use case of a chat completion: store what is new, build the prompt, ask, store the answer.

Only what waits for the upstream is async; everything else runs in worker threads. A turn is stored
before the upstream is asked. A prompt that cannot be built does not stop the conversation: what the
client sent is forwarded as it is, unless recall is strict.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
import structlog

from memory_service.echo import as_metadata, echoes
from memory_service.errors import NoUpstream, RecallFailed, ServiceError, UpstreamDown
from memory_service.gateway.answers import Answers, before_done, incomplete
from memory_service.gateway.corrections import Corrections
from memory_service.gateway.intake import Intake, Question
from memory_service.gateway.prompting import Prepared, Prompting, is_too_long
from memory_service.gateway.request import ChatRequest
from memory_service.interfaces import Upstream, UpstreamAnswer
from memory_service.items import ItemLimits, new_id, parse_item
from memory_service.messages import Message
from memory_service.records import NewTurn
from memory_service.remember import Remember
from memory_service.strict_json import dumps

log_line = structlog.get_logger(__name__)

_EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """How long a prompt may take, in seconds, and whether one that fails stops the request."""

    recall_timeout_seconds: float
    strict_recall: bool


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
        found = {
            "x-conversation-id": self.question.conversation.id,
            "x-memory-ms": f"{self.milliseconds:.1f}",
        }
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


class Gateway:
    """Chat completions with a memory."""

    def __init__(
        self,
        upstream: Upstream | None,
        intake: Intake,
        prompting: Prompting,
        remember: Remember,
        corrections: Corrections,
        item_limits: ItemLimits,
        options: GatewayOptions,
    ) -> None:
        self._upstream = upstream
        self._intake = intake
        self._prompting = prompting
        self._remember = remember
        self._corrections = corrections
        self._item_limits = item_limits
        self._options = options

    @property
    def upstream(self) -> Upstream:
        """The model's server; raises NoUpstream if none is configured."""
        if self._upstream is None:
            raise NoUpstream(
                "No model's server is configured: set MEMORY_UPSTREAM_BASE_URL, such as "
                "https://api.openai.com/v1 or http://127.0.0.1:11434/v1."
            )
        return self._upstream

    async def close(self) -> None:
        """Close the connections to the upstream."""
        if self._upstream is not None:
            await self._upstream.close()

    async def complete(self, project_key: int, request: ChatRequest) -> Exchange:
        """Answer a chat completion; raises a ServiceError where the upstream was not asked."""
        upstream, memory = self.upstream, Memory()
        started = time.perf_counter()
        memory.question = await anyio.to_thread.run_sync(self._accept, project_key, request)
        if memory.question is not None:
            await self._prepare(memory, memory.question, request)
        memory.milliseconds = (time.perf_counter() - started) * 1000
        content = request.content(memory.prepared.messages if memory.prepared else None)
        answer = await upstream.complete(content, request.authorization, request.forwarded_headers)
        exchange = Exchange(self, request, memory, answer)
        if answer.status >= 400:
            await exchange.read_refusal()
            if is_too_long(answer.status, exchange.refusal):
                return await self._again(upstream, exchange)
        return exchange

    def _accept(self, project_key: int, request: ChatRequest) -> Question | None:
        """Store what is new, unless it could never be part of a prompt."""
        if request.has_memory:
            self._prompting.check(request)
        return self._intake.accept(project_key, request)

    async def _prepare(self, memory: Memory, question: Question, request: ChatRequest) -> None:
        """Build the prompt; what fails, or takes too long, is told in a header."""
        seconds = self._options.recall_timeout_seconds
        with anyio.move_on_after(seconds) as waiting:
            memory.prepared, memory.error = await anyio.to_thread.run_sync(
                self._prepared, question, request, abandon_on_cancel=True
            )
        if waiting.cancelled_caught:
            log_line.warning("recall was too slow", seconds=seconds)
            memory.error = "timeout"
        if memory.error is not None and self._options.strict_recall:
            raise RecallFailed(
                f"The prompt could not be built ({memory.error}), and MEMORY_STRICT_RECALL is set."
            )

    def _prepared(
        self, question: Question, request: ChatRequest
    ) -> tuple[Prepared | None, str | None]:
        """Return the prompt, or what went wrong; the caller's own mistakes are raised."""
        try:
            return self._prompting.prepare(question, request), None
        except ServiceError as error:
            if error.status < 500:
                raise
            log_line.warning("recall failed", error=error.message, code=error.code)
            return None, error.code
        except Exception:
            # A bug in recall must not stop a conversation that would go on without it.
            log_line.exception("recall met a bug")
            return None, "internal_error"

    async def _again(self, upstream: Upstream, exchange: Exchange) -> Exchange:
        """Ask once more with a shorter prompt, if it is ours to shorten."""
        memory, request = exchange.memory, exchange.request
        if memory.question is None or memory.prepared is None:
            return exchange
        log_line.info("the upstream found the prompt too long", tokens=memory.prepared.after)
        memory.prepared = await anyio.to_thread.run_sync(
            self._prompting.shrink,
            memory.question,
            request,
            memory.prepared,
            exchange.refusal,
        )
        content = request.content(memory.prepared.messages)
        answer = await upstream.complete(content, request.authorization, request.forwarded_headers)
        again = Exchange(self, request, memory, answer)
        if answer.status >= 400:
            await again.read_refusal()
        return again

    def store(self, memory: Memory, request: ChatRequest, answers: Answers) -> None:
        """Store an answer below its question, and learn how the upstream counts."""
        if memory.prepared is not None:
            counted = memory.prepared.prompt.tokens.total
            self._corrections.learn(request.model, counted, answers.prompt_tokens)
        question = memory.question
        messages = answers.messages()
        if question is None or not question.is_stored or not messages:
            return
        if not answers.is_complete:
            messages = [incomplete(message) for message in messages]
        try:
            turns = [self._turn(message, memory) for message in messages]
            self._remember.append_answers(
                question.project_key, question.conversation.id, question.turn.id, turns
            )
        except ServiceError as error:
            # The caller has the answer already, or is about to get it.
            log_line.warning("an answer was not stored", error=error.message, code=error.code)
            memory.error = "answer_not_stored"

    def _turn(self, message: Message, memory: Memory) -> NewTurn:
        recalled = memory.prepared.prompt.recalled if memory.prepared else ()
        quoted = [hit.turn.text[hit.start : hit.end] for hit in recalled]
        turn = parse_item(message, dumps(message), {}, self._item_limits, "answer")
        marks = as_metadata(echoes(turn.text, quoted))
        if not marks:
            return turn
        stored_as = {"id": new_id("msg"), "metadata": marks}
        return parse_item(message, turn.raw, stored_as, self._item_limits, "answer")


@dataclass(slots=True)
class Exchange:
    """One request's answer on its way back; `close` it in any case."""

    gateway: Gateway
    request: ChatRequest
    memory: Memory
    answer: UpstreamAnswer
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
            log_line.warning("the upstream broke off", error=error.message)
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
            await anyio.to_thread.run_sync(
                self.gateway.store, self.memory, self.request, self._answers
            )


def _error_event(error: ServiceError) -> bytes:
    """Return an error as OpenAI's streams tell it: the status has left already."""
    told = {"message": error.message, "type": error.type, "param": None, "code": error.code}
    return f"data: {dumps({'error': told})}\n\n".encode()
