"""The prompt that a system fills: the question, and before it the recalled block, in a budget.

Every system fills the same prompt, made by the product's own assembly. The budget counts the whole
prompt. Of a long turn the passage that the system found is quoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.datasets.models import DatasetTurn, Question
from eval.systems.system import RetrievedTurn
from memory_service.core import models
from memory_service.items.chat_messages import Message
from memory_service.prompts.budget import Budget, check_fixed_parts, fixed_parts
from memory_service.prompts.recalled_block import choose_recalled, recalled_block, with_recalled
from memory_service.tokens.counting import PRIMING_TOKENS, TokenCounter, count_message


@dataclass(frozen=True, slots=True)
class FilledPrompt:
    """A prompt: the ids of the quoted turns, its messages, the recalled block, and its tokens."""

    turn_ids: Sequence[str]
    messages: Sequence[Message]
    recalled_block: str
    tokens: int


def fits(question: Question, budget: int, counter: TokenCounter) -> bool:
    """Return whether the question alone stays within a budget."""
    return count_messages([{"role": "user", "content": question.text}], counter) <= budget


def count_messages(messages: Sequence[Message], counter: TokenCounter) -> int:
    """Return the tokens of a prompt."""
    return PRIMING_TOKENS + sum(count_message(message, counter) for message in messages)


def fill(
    question: Question,
    hits: Sequence[models.Hit],
    budget: int,
    counter: TokenCounter,
    system: str | None = None,
) -> FilledPrompt:
    """Return the prompt of at most `budget` tokens that the hits fill, best first.

    `system` is the text of a system message in front.
    """
    head = [] if system is None else [{"role": "system", "content": system}]
    input_ = [{"role": "user", "content": question.text}]
    fixed = fixed_parts(head, input_, [], counter)
    check_fixed_parts(fixed, Budget(budget, 0))
    chosen, _ = choose_recalled(hits, budget - fixed.tokens, counter)
    # The parts were counted separately; joined, they can take one or two tokens more.
    for number in range(len(chosen), -1, -1):
        kept = chosen[:number]
        messages = [*head, *with_recalled(input_, kept)]
        tokens = count_messages(messages, counter)
        if tokens <= budget or not kept:
            break
    turn_ids = [hit.turn.id for hit in kept]
    return FilledPrompt(turn_ids, messages, recalled_block(kept) if kept else "", tokens)


def as_hits(retrieved: Sequence[RetrievedTurn]) -> list[models.Hit]:
    """Return what the assembly quotes; turns of one time are quoted in the order given."""
    conversations = list(dict.fromkeys(hit.turn.conversation for hit in retrieved))
    return [
        models.Hit(
            turn=_as_turn(hit.turn, rank, conversations.index(hit.turn.conversation)),
            start=hit.start,
            end=hit.end,
            conversation_id=hit.turn.conversation,
            user_id=None,
            score=hit.score,
            features={},
            rank=rank,
        )
        for rank, hit in enumerate(retrieved, start=1)
    ]


def _as_turn(turn: DatasetTurn, key: int, conversation_key: int) -> models.Turn:
    """Return a stored turn; `key` and `seq` order turns of one time."""
    microseconds = round(turn.time.timestamp() * models.MICROSECONDS)
    offset = turn.time.utcoffset()
    return models.Turn(
        key=key,
        id=turn.id,
        conversation_key=conversation_key,
        seq=key,
        parent_key=None,
        tool_group_key=None,
        active=True,
        gap_before=False,
        kind="message",
        role=turn.role,
        name=turn.speaker,
        text=turn.text,
        raw="",
        metadata=None,
        created_at=microseconds,
        utc_offset_minutes=None if offset is None else round(offset.total_seconds() / 60),
        stored_at=microseconds,
        content_hash=b"",
    )
