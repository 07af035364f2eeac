"""Conversations whose recent window is cut, for tests of summaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from memory_service.core.models import Conversation, Prompt, Summary, Turn
from memory_service.core.protocols import ChatModel, Embedder
from memory_service.core.settings import Settings
from memory_service.prompts.request import PromptRequest
from memory_service.service import Service
from memory_service.summaries.worker import Summarizer
from memory_service.testing import RepeatingModel
from memory_service.turn_log.transactions import ReadTransaction
from tests.support.factories import message
from tests.support.storing import append, create, idle_service, project_key

MODEL = "stand-in"


@contextmanager
def summarising(
    settings: Settings,
    model: ChatModel | None = None,
    embedder: Embedder | None = None,
    **changes: Any,
) -> Iterator[Service]:
    """Return a service that summarises only on call, with a fake unless a model is given."""
    chosen = settings.model_copy(update={"summary_tokens": 40, **changes})
    chat_model = model or RepeatingModel()
    with idle_service(chosen, embedder=embedder, chat_model=chat_model) as service:
        yield service


def remarks(count: int, first: int = 1) -> list[dict[str, Any]]:
    """Return alternating messages of user and assistant; each has a unique word."""
    return [
        message(f"remark {number} about walrus{number}", ("assistant", "user")[number % 2])
        for number in range(first, first + count)
    ]


def build_prompt(
    service: Service,
    conversation: str = "c",
    new: str | Sequence[Mapping[str, Any]] = "And then, what was it that came after?",
    *,
    recent_turns: int = 4,
    **fields: Any,
) -> Prompt:
    """Build a prompt, which cuts the window if it has grown too long; its state is written."""
    request = PromptRequest(
        **{
            "input": [message(new)] if isinstance(new, str) else new,
            "model": MODEL,
            "token_budget": 4_000,
            "max_output_tokens": 100,
            "recent_turns": recent_turns,
            "top_k": 0,
            "scope": "conversation",
            **fields,
        }
    )
    prompt = service.prompts.build(project_key(service), conversation, request)
    service.deferred_writer.flush()
    return prompt


def summarizer(service: Service) -> Summarizer:
    """Return the summarizer; `build_prompt` queues its tasks."""
    assert service.summarizer is not None
    return service.summarizer


def summarise(service: Service, conversation: str = "c", **fields: Any) -> Prompt:
    """Build a prompt and write all due summaries."""
    prompt = build_prompt(service, conversation, **fields)
    summarizer(service).drain()
    return prompt


def deep_conversation(service: Service) -> None:
    """Make a conversation whose summaries have two levels."""
    create(service, "c", *remarks(8))
    for number in range(1, 8):
        append(service, "c", *remarks(8, first=1 + number * 8))
        summarise(service)


def summaries(service: Service, conversation: str = "c") -> list[Summary]:
    """Return the summaries of the active branch, in the order they were made."""
    with service.log.read() as snapshot:
        key = _conversation(snapshot, service, conversation).key
        return list(snapshot.summaries.page(key, None, 10_000, "asc").data)


def levels(service: Service, conversation: str = "c") -> set[int]:
    """Return the levels of the summaries of the active branch."""
    return {summary.level for summary in summaries(service, conversation)}


def ranges(service: Service, level: int = 1, conversation: str = "c") -> list[tuple[int, int]]:
    """Return the first and last `seq` of a level's summaries, in order."""
    return sorted(
        (summary.first_seq, summary.last_seq)
        for summary in summaries(service, conversation)
        if summary.level == level
    )


def active_branch(service: Service, conversation: str = "c") -> list[Turn]:
    """Return the turns of the active branch."""
    with service.log.read() as snapshot:
        key = _conversation(snapshot, service, conversation).key
        return list(snapshot.turns.page(key, None, 10_000, "asc").data)


def _conversation(
    snapshot: ReadTransaction, service: Service, conversation_id: str
) -> Conversation:
    conversation = snapshot.conversations.get(project_key(service), conversation_id)
    assert conversation is not None
    return conversation
