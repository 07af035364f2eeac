"""What of the evidence stands in a prompt of so many tokens: the curve that users pay for.

Every system fills the same prompt, made by the product's own assembly: the question, and before it
the block of quoted turns, in a budget that counts the whole prompt. A gold turn is in it if it is
quoted, of a long one the passage that the system found. A short gold answer is in it if it stands
there as words (case, accents of typography and punctuation folded), and not in the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.datasets import Question, Turn
from eval.metrics.short_answers import folded, stands_in
from eval.systems import Found
from memory_service.core import models
from memory_service.items.chat_messages import Message
from memory_service.prompts.budget import Budget, fixed_parts
from memory_service.prompts.recalled_block import choose_recalled, recalled_block, with_recalled
from memory_service.tokens.counting import PRIMING_TOKENS, TokenCounter, count_message

BUDGETS = (250, 500, 1_000, 2_000, 4_000)
DEPTH = 200
"""Turns asked of a system to fill a prompt: more short ones than 4,000 tokens hold."""
SHORT_ANSWER_WORDS = 5


@dataclass(frozen=True, slots=True)
class Filled:
    """A prompt: which turns are quoted in it, its messages, and its tokens."""

    turn_ids: Sequence[str]
    messages: Sequence[Message]
    block: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one prompt: the share of gold turns (None without gold), whether the answer is there.

    `answer` is None where there is no short answer, or the question has it already.
    """

    gold: float | None
    answer: float | None
    turns: int
    tokens: int


def fits(question: Question, budget: int, counter: TokenCounter) -> bool:
    """Return whether the question alone stays within the budget."""
    return _count([{"role": "user", "content": question.text}], counter) <= budget


def as_hits(found: Sequence[Found]) -> list[models.Hit]:
    """Return what the assembly quotes; turns of one time are quoted as they were found."""
    places = list(dict.fromkeys(one.turn.conversation for one in found))
    return [
        _as_hit(one, key, places.index(one.turn.conversation))
        for key, one in enumerate(found, start=1)
    ]


def fill(
    question: Question,
    hits: Sequence[models.Hit],
    budget: int,
    counter: TokenCounter,
    system: str | None = None,
) -> Filled:
    """Return the prompt of at most `budget` tokens that a system's hits fill, best first."""
    before = [] if system is None else [{"role": "system", "content": system}]
    said = [{"role": "user", "content": question.text}]
    fixed = fixed_parts(before, said, [], Budget(budget, 0), counter)
    chosen = list(choose_recalled(hits, budget - fixed.tokens, counter).hits)
    while True:
        messages = [*before, *with_recalled(said, chosen)]
        tokens = _count(messages, counter)
        if tokens <= budget or not chosen:
            break
        # The parts were counted one by one; joined, they can take a token or two more.
        chosen.pop()
    ids = [hit.turn.id for hit in chosen]
    return Filled(ids, messages, recalled_block(chosen) if chosen else "", tokens)


def _count(messages: Sequence[Message], counter: TokenCounter) -> int:
    return PRIMING_TOKENS + sum(count_message(message, counter) for message in messages)


def evidence(question: Question, filled: Filled) -> Evidence:
    """Return what of the question's evidence stands in a prompt."""
    gold = None
    if question.gold:
        gold = len(set(question.gold).intersection(filled.turn_ids)) / len(question.gold)
    answer = short_answer(question)
    found = None if answer is None else float(stands_in(answer, filled.block))
    return Evidence(gold, found, len(filled.turn_ids), filled.tokens)


def short_answer(question: Question) -> str | None:
    """Return the words to look for; None if there is no gold, no short answer, or it is given."""
    written = question.answer_in or question.answer
    if not question.gold or written is None:
        return None
    words = len(written.split()) if folded(written) else 0
    if not 0 < words <= SHORT_ANSWER_WORDS or stands_in(written, question.text):
        return None
    return written


def _as_hit(found: Found, key: int, place: int) -> models.Hit:
    """Return what the assembly quotes; `key` orders turns of one time as they were found."""
    return models.Hit(
        turn=_as_record(found.turn, key, place),
        start=found.start,
        end=found.end,
        conversation_id=found.turn.conversation,
        user_id=None,
        score=found.score,
        features={},
        rank=key,
    )


def _as_record(turn: Turn, key: int, place: int) -> models.Turn:
    moment = round(turn.time.timestamp() * models.MICROSECONDS)
    offset = turn.time.utcoffset()
    return models.Turn(
        key=key,
        id=turn.id,
        conversation_key=place,
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
        created_at=moment,
        utc_offset_minutes=None if offset is None else round(offset.total_seconds() / 60),
        stored_at=moment,
        content_hash=b"",
    )
