"""The use case of a chat completion: store what is new, build the prompt, ask, store the answer.

Only what waits for the upstream is async; everything else runs in worker threads. A turn is stored
before the upstream is asked. A prompt that cannot be built does not stop the conversation: what the
client sent is forwarded as it is, unless recall is strict.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import anyio
import anyio.to_thread
import structlog

from memory_service.conversations.echo import as_metadata, echoes
from memory_service.conversations.writer import ConversationWriter
from memory_service.core.errors import NoUpstream, RecallFailed, ServiceError
from memory_service.core.models import NewTurn
from memory_service.core.protocols import Upstream
from memory_service.gateway.answers import Answers, incomplete
from memory_service.gateway.intake import Intake, Question
from memory_service.gateway.prompting import Prepared, Prompting, is_too_long
from memory_service.gateway.relay import Exchange, Memory
from memory_service.gateway.request import ChatRequest
from memory_service.gateway.token_corrections import Corrections
from memory_service.items.chat_messages import Message
from memory_service.items.conversation_items import ItemLimits, parse_item
from memory_service.items.fields import new_id
from memory_service.items.strict_json import dumps

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """How long a prompt may take, in seconds, and whether one that fails stops the request."""

    recall_timeout_seconds: float
    strict_recall: bool


class Gateway:
    """Chat completions with a memory."""

    def __init__(
        self,
        upstream: Upstream | None,
        intake: Intake,
        prompting: Prompting,
        remember: ConversationWriter,
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
        exchange = Exchange(memory, answer, partial(self._store, memory, request))
        if answer.status >= 400:
            await exchange.read_refusal()
            if is_too_long(answer.status, exchange.refusal):
                return await self._again(upstream, request, exchange)
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
            logger.warning("recall was too slow", seconds=seconds)
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
            logger.warning("recall failed", error=error.message, code=error.code)
            return None, error.code
        except Exception:
            # A bug in recall must not stop a conversation that would go on without it.
            logger.exception("recall met a bug")
            return None, "internal_error"

    async def _again(
        self, upstream: Upstream, request: ChatRequest, exchange: Exchange
    ) -> Exchange:
        """Ask once more with a shorter prompt, if it is ours to shorten."""
        memory = exchange.memory
        if memory.question is None or memory.prepared is None:
            return exchange
        logger.info("the upstream found the prompt too long", tokens=memory.prepared.after)
        memory.prepared = await anyio.to_thread.run_sync(
            self._prompting.shrink,
            memory.question,
            request,
            memory.prepared,
            exchange.refusal,
        )
        content = request.content(memory.prepared.messages)
        answer = await upstream.complete(content, request.authorization, request.forwarded_headers)
        again = Exchange(memory, answer, exchange.store)
        if answer.status >= 400:
            await again.read_refusal()
        return again

    def _store(self, memory: Memory, request: ChatRequest, answers: Answers) -> None:
        """Store an answer below its question, and learn how the upstream counts."""
        question, messages = memory.question, answers.messages()
        if question is None:
            return
        try:
            if memory.prepared is not None:
                counted = memory.prepared.prompt.tokens.total
                self._corrections.learn(request.model, counted, answers.prompt_tokens)
            if question.is_stored and messages:
                turns = [self._turn(one, answers, memory) for one in messages]
                self._remember.append_answers(
                    question.project_key, question.conversation.id, question.turn.id, turns
                )
        except ServiceError as error:
            # The caller has the answer already, or is about to get it.
            logger.warning("an answer was not stored", error=error.message, code=error.code)
            memory.error = "answer_not_stored"

    def _turn(self, said: Message, answers: Answers, memory: Memory) -> NewTurn:
        message = said if answers.is_complete else incomplete(said)
        recalled = memory.prepared.prompt.recalled if memory.prepared else ()
        quoted = [hit.turn.text[hit.start : hit.end] for hit in recalled]
        turn = parse_item(message, dumps(message), {}, self._item_limits, "answer")
        marks = as_metadata(echoes(turn.text, quoted))
        if not marks:
            return turn
        stored_as = {"id": new_id("msg"), "metadata": marks}
        return parse_item(message, turn.raw, stored_as, self._item_limits, "answer")
