"""Reuse: the tokens of a prompt that a provider's cache has from the previous prompt.

A conversation of made texts grows exchange by exchange. Each size builds the prompt of every user
message. A provider can reuse the messages at the beginning that equal the previous prompt's.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from rich.progress import Progress

from eval.benchmarks import workloads
from eval.benchmarks.windows.sizes import PromptSize, builder_of
from memory_service.conversations.idempotency import UNIDENTIFIED
from memory_service.conversations.requests import NewConversation
from memory_service.core.models import NewTurn, Prompt
from memory_service.gateway.prefix_reuse import PromptPrefixes
from memory_service.items.chat_messages import Message
from memory_service.items.conversation_items import parse_item
from memory_service.items.strict_json import dumps
from memory_service.prompts.builder import PromptBuilder
from memory_service.prompts.request import PromptRequest
from memory_service.service import Service
from memory_service.tokens.counting import TokenCounter, count_message

CACHED_PRICE = 0.1
"""The price of a token that the provider reuses, of one that it reads."""

SETTLING_SHARE = 0.25
"""The share of the exchanges, at the beginning, that is not counted: the window is not full."""

_ONE_CONVERSATION = 0


@dataclass(frozen=True, slots=True)
class ReuseMeasurement:
    """Mean tokens of a prompt in a conversation whose turns have a number of words.

    `not_reused` are tokens that the previous prompt did not have at the same place. `unavoidable`
    are those of them that were never sent before: the last answer, the new message and its recalled
    block. `cost` is in tokens at full price.
    """

    size: PromptSize
    words: int
    exchanges: int
    tokens: float
    not_reused: float
    unavoidable: float

    @property
    def reused_share(self) -> float:
        """The share of a prompt's tokens that a provider reuses."""
        return 1 - self.not_reused / self.tokens

    @property
    def cost(self) -> float:
        """The tokens of a prompt at full price that cost the same."""
        return self.not_reused + CACHED_PRICE * (self.tokens - self.not_reused)


@dataclass(slots=True)
class _Replay:
    """The prompts of one size so far; `counts` are (tokens, not reused, unavoidable)."""

    size: PromptSize
    builder: PromptBuilder
    prefixes: PromptPrefixes = field(default_factory=PromptPrefixes)
    counts: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, prompt: Prompt, answer_tokens: int, counter: TokenCounter) -> None:
        """Count the next prompt; `answer_tokens` are those of the answer to the previous one."""
        reused = self.prefixes.shared_tokens(_ONE_CONVERSATION, prompt.messages, counter)
        new = answer_tokens + prompt.tokens.input + prompt.tokens.recalled
        self.counts.append((prompt.tokens.total, prompt.tokens.total - reused, new))


def measure_reuse(
    service: Service,
    sizes: Sequence[PromptSize],
    *,
    words: int,
    exchanges: int,
    seed: int,
    progress: Progress,
) -> list[ReuseMeasurement]:
    """Replay a conversation whose turns have about `words` words in every size."""
    task = progress.add_task(f"talk of {words} words", total=exchanges)
    project, name, counter = service.local_project(), f"talk-{words}", service.counter(None)
    service.writer.create_conversation(
        project, NewConversation(name, None, None, {}), [], UNIDENTIFIED
    )
    replays = [_Replay(size, builder_of(service, size)) for size in sizes]
    texts, answer_tokens = _texts(words, seed), 0
    for _ in range(exchanges):
        question = {"role": "user", "content": next(texts)}
        for replay in replays:
            prompt = replay.builder.build(project, name, PromptRequest([question]))
            replay.add(prompt, answer_tokens, counter)
        answer = {"role": "assistant", "content": next(texts)}
        answer_tokens = count_message(answer, counter)
        turns = [_turn(message, service) for message in (question, answer)]
        service.writer.append(project, name, turns, UNIDENTIFIED)
        progress.advance(task)
    return [_measurement(replay, words) for replay in replays]


def _measurement(replay: _Replay, words: int) -> ReuseMeasurement:
    settled = replay.counts[round(SETTLING_SHARE * len(replay.counts)) :]
    tokens, not_reused, unavoidable = (fmean(column) for column in zip(*settled, strict=True))
    return ReuseMeasurement(replay.size, words, len(settled), tokens, not_reused, unavoidable)


def _texts(words: int, seed: int) -> Iterator[str]:
    """Yield texts of about `words` words, without end."""
    made = workloads.made_texts(random.Random(seed))
    while True:
        all_words = itertools.chain.from_iterable(text.split() for text in made)
        yield " ".join(itertools.islice(all_words, words))


def _turn(message: Message, service: Service) -> NewTurn:
    return parse_item(message, dumps(message), {}, service.item_limits, "talk")
