"""Ask the upstream, and once more with another prompt if it refuses one.

A prompt that is too long is shortened. A field of another vendor in a stored turn is left out.

What a refusal states is learned, also of requests without memory, which are not changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Generic, TypeVar

import anyio.to_thread
import structlog

from memory_service.core.protocols import UpstreamAnswer
from memory_service.gateway.relay import Exchange, MemoryOutcome
from memory_service.gateway.upstream_prompts import UpstreamPrompt, UpstreamPromptBuilder
from memory_service.upstreams.learner import UpstreamLearner
from memory_service.upstreams.refusals import Refusal, refusal_of
from memory_service.upstreams.windows import ModelKey

logger = structlog.get_logger(__name__)


A = TypeVar("A", bound=UpstreamAnswer)


class UpstreamAttempts(Generic[A]):
    """The attempts to get an answer to one request: the first, and at most one of each remedy.

    `ask` sends the request with a prompt, or as the client sent it if there is none.
    """

    def __init__(
        self,
        key: ModelKey,
        ask: Callable[[MemoryOutcome | None], Awaitable[A]],
        prompts: UpstreamPromptBuilder,
        learner: UpstreamLearner,
    ) -> None:
        self._key = key
        self._ask = ask
        self._prompts = prompts
        self._learner = learner
        self._has_retried = False

    async def first(self, outcome: MemoryOutcome | None) -> Exchange[A]:
        """Ask with the prompt, and again if it is refused for its length or another's fields."""
        exchange = await self._without_vendor_fields(await self._exchange(outcome))
        status = exchange.answer.status
        if status < 400:
            return exchange
        return await self._after(exchange.outcome, status, exchange.refusal) or exchange

    async def again(self, outcome: MemoryOutcome | None, error: bytes) -> Exchange[A] | None:
        """Ask again after an answer with status 200 that is an error; None if it is another."""
        return await self._after(outcome, 200, error)

    async def _without_vendor_fields(self, exchange: Exchange[A]) -> Exchange[A]:
        """Ask again without the vendors' fields of stored turns if the upstream refuses one."""
        outcome, status = exchange.outcome, exchange.answer.status
        if outcome is None or not isinstance(outcome.prompt, UpstreamPrompt) or status < 400:
            return exchange
        prompt = await anyio.to_thread.run_sync(
            self._prompts.without_vendor_fields,
            outcome.request,
            outcome.prompt,
            status,
            exchange.refusal,
        )
        if prompt is None:
            return exchange
        logger.info("the upstream refused a field of another vendor", model=self._key.model)
        again = await self._exchange(replace(outcome, prompt=prompt))
        if again.answer.status < 400:
            self._prompts.expect_refusal(outcome.request.chat.model)
        return again

    async def _after(
        self, outcome: MemoryOutcome | None, status: int, content: bytes
    ) -> Exchange[A] | None:
        """Ask with a shorter prompt after a refusal for length; None if there can be none."""
        refusal = refusal_of(status, content)
        if refusal is None:
            return None
        logger.info(
            "the upstream refused the prompt as too long",
            model=self._key.model,
            window=refusal.window,
            counted_upstream=refusal.prompt,
        )
        shorter = await anyio.to_thread.run_sync(self._learned, outcome, refusal)
        if outcome is None or shorter is None or self._has_retried:
            return None
        self._has_retried = True
        exchange = await self._exchange(replace(outcome, prompt=shorter))
        if exchange.answer.status < 400 and refusal.window is None:
            total = shorter.tokens_after + shorter.prompt.tokens.reserved_output
            await anyio.to_thread.run_sync(self._learner.learn_limit, self._key, total)
        return exchange

    def _learned(self, outcome: MemoryOutcome | None, refusal: Refusal) -> UpstreamPrompt | None:
        """Learn from a refusal; return a shorter prompt, None if there can be none."""
        prompt = None if outcome is None else outcome.prompt
        if outcome is None or not isinstance(prompt, UpstreamPrompt):
            self._learner.learn_refusal(self._key, refusal, counted=None)
            return None
        self._learner.learn_refusal(
            self._key,
            refusal,
            counted=prompt.prompt.tokens.total,
            reserved=prompt.prompt.tokens.reserved_output,
            has_media=prompt.has_media,
        )
        return self._prompts.shrink(outcome.request, prompt, refusal)

    async def _exchange(self, outcome: MemoryOutcome | None) -> Exchange[A]:
        answer = await self._ask(outcome)
        return Exchange(answer, await _refusal(answer), outcome)


async def _refusal(answer: UpstreamAnswer) -> bytes:
    """Return the body of an answer with an error status, and close it; else nothing."""
    if answer.status < 400:
        return b""
    try:
        return await answer.read()
    finally:
        await answer.close()
