"""Create responses with memory.

A request is resolved (`ResponseRequest`), stored and prompted by the stages of the gateway, and
sent to the upstream: to its Responses API, or to its chat completions if it has only those. The
answer is relayed to the caller (`ResponseRelay`) and stored below the input.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial

import anyio.to_thread
import structlog

from memory_service.conversations.deletion import DeletionService
from memory_service.core import clock
from memory_service.core.errors import InvalidRequest, NotFound, ServiceError
from memory_service.core.protocols import Upstream, UpstreamAnswer
from memory_service.gateway.chat_completions import Gateway
from memory_service.gateway.input_turns import StoredRequest, stop_waiting
from memory_service.gateway.relay import MemoryOutcome
from memory_service.gateway.request import ChatRequest
from memory_service.gateway.upstream_prompts import UpstreamPrompt
from memory_service.items.strict_json import dumps, encoded
from memory_service.responses.chat.messages import strict_messages
from memory_service.responses.chat.request import chat_body
from memory_service.responses.chat.tools import custom_tool_names
from memory_service.responses.continuation import Continuations
from memory_service.responses.native import native_body, native_input, prompt_items
from memory_service.responses.output import OutputCollector
from memory_service.responses.relay import ResponsePlan, ResponseRelay, new_plan
from memory_service.responses.request import ResponseRequest, check_body
from memory_service.responses.sources import ChatSource, ResponseSource
from memory_service.responses.storing import FinishedResponse, ResponseStorer
from memory_service.responses.upstream_api import UpstreamApis
from memory_service.turn_log.log import TurnLog

logger = structlog.get_logger(__name__)


class ResponseGateway:
    """Creates responses with memory."""

    def __init__(
        self,
        gateway: Gateway,
        continuations: Continuations,
        storer: ResponseStorer,
        apis: UpstreamApis,
        deletions: DeletionService,
        log: TurnLog,
    ) -> None:
        self._gateway = gateway
        self._continuations = continuations
        self._storer = storer
        self._apis = apis
        self._deletions = deletions
        self._log = log

    async def create(self, project_key: int, chat: ChatRequest) -> ResponseRelay:
        """Create a response; raises a ServiceError if the upstream was not asked."""
        check_body(chat.body)
        upstream, chat = await self._gateway.routed(chat)
        if not self._apis.may_have_responses(upstream.name, chat.model):
            chat_body(chat.body, ())  # Raises before anything is stored.
        is_kept = (
            chat.headers.mode == "on"
            and chat.body.get("store") is not False
            and chat.identity.skipped is None
        )
        request = await anyio.to_thread.run_sync(
            partial(self._continuations.resolve, project_key, chat, stores=is_kept)
        )
        plan = new_plan(chat.body, int(clock.to_unix(clock.now())), is_kept=is_kept)
        discard = partial(self._discard, project_key, request)
        try:
            exchange = await self._gateway.exchange(
                project_key, request, partial(self._ask, upstream, request, plan)
            )
        except ServiceError:
            await anyio.to_thread.run_sync(discard)
            raise
        outcome = exchange.outcome
        if outcome is None or not isinstance(outcome.request, StoredRequest):
            plan = replace(plan, is_kept=False)
        store = partial(self._store, request, plan, outcome)
        return ResponseRelay(exchange.answer, exchange.refusal, outcome, plan, store, discard)

    def _discard(self, project_key: int, request: ResponseRequest) -> None:
        """Delete the conversation of a request without a response, if nobody knows its name."""
        if request.begins_unnamed and request.named_conversation is not None:
            with suppress(NotFound):
                self._deletions.delete_conversation(project_key, request.named_conversation)

    async def _ask(
        self,
        upstream: Upstream,
        request: ResponseRequest,
        plan: ResponsePlan,
        outcome: MemoryOutcome | None,
    ) -> ResponseSource:
        """Send a request with its prompt, or as it is without one."""
        sent = (request.authorization, request.forwarded_headers)
        if self._apis.may_have_responses(upstream.name, request.model):
            content = await anyio.to_thread.run_sync(self._native_content, request, outcome)
            answer = await upstream.respond(content, *sent, model=request.model)
            if not await self._refuses_route(answer, upstream.name, request.model):
                return ResponseSource(answer)
        content = await anyio.to_thread.run_sync(self._chat_content, request, outcome)
        return ChatSource(
            await upstream.complete(content, *sent, model=request.model),
            plan.begun,
            custom_tool_names(request.body),
        )

    async def _refuses_route(
        self, answer: UpstreamAnswer, upstream: str, model: str | None
    ) -> bool:
        is_whole = "json" in answer.headers.get("content-type", "")
        if answer.status < 400 and not is_whole:
            return False
        refuses = self._apis.refuses_route(answer, await answer.read(), upstream, model)
        if refuses:
            await answer.close()
        return refuses

    def _native_content(self, request: ResponseRequest, outcome: MemoryOutcome | None) -> bytes:
        if outcome is None or not isinstance(outcome.prompt, UpstreamPrompt):
            return native_body(request, None)
        items = native_input(self._log, outcome.request, request, outcome.prompt)
        return native_body(request, items)

    def _chat_content(self, request: ResponseRequest, outcome: MemoryOutcome | None) -> bytes:
        if request.headers.mode == "off" and request.body.get("previous_response_id"):
            raise InvalidRequest(
                "With 'x-memory: off' no earlier response can be continued, because the model's "
                "server has only chat completions.",
                param="previous_response_id",
            )
        if outcome is None or not isinstance(outcome.prompt, UpstreamPrompt):
            messages, items = request.chat_messages, request.items
        else:
            messages = outcome.prompt.messages
            is_tool_loop = messages[-1]["role"] == "tool"
            items = prompt_items(self._log, outcome.request, outcome.prompt) if is_tool_loop else ()
        return encoded(dumps(chat_body(request.body, strict_messages(messages, items))))

    def _store(
        self,
        request: ResponseRequest,
        plan: ResponsePlan,
        outcome: MemoryOutcome | None,
        collector: OutputCollector,
    ) -> str | None:
        """Store a response and learn how the upstream counts; returns the code of an error."""
        if outcome is None:
            return None
        try:
            self._gateway.learn_tokens(outcome, collector.input_tokens)
            if isinstance(outcome.request, StoredRequest):
                self._storer.store(outcome.request, request, _finished(plan, outcome, collector))
        except ServiceError as error:
            # The caller has the response already, or is about to get it.
            logger.warning("a response was not stored", error=error.message, code=error.code)
            return "answer_not_stored"
        finally:
            stop_waiting(outcome.request)
        return None


def _finished(
    plan: ResponsePlan, outcome: MemoryOutcome, collector: OutputCollector
) -> FinishedResponse:
    response = plan.begun() if collector.response is None else collector.response
    if not collector.has_ended:
        response = {**response, "status": "incomplete"}
    prompt = outcome.prompt
    return FinishedResponse(
        response=response,
        output=collector.items,
        recalled=prompt.recalled_texts if isinstance(prompt, UpstreamPrompt) else (),
        is_kept=plan.is_kept,
    )
