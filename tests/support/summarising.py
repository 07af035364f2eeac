"""Conversations whose window is cut, for tests of what becomes of the turns that leave it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from memory_service.core.models import Prompt, Summary, SummaryRange, Turn
from memory_service.core.protocols import ChatModel, Embedder
from memory_service.core.settings import Settings
from memory_service.prompts.request import PromptRequest
from memory_service.service import Service
from memory_service.summaries.worker import Summarizer
from memory_service.testing import RepeatingModel
from tests.support.factories import message
from tests.support.storing import idle_service, project_key

MODEL = "stand-in"


@contextmanager
def summarising(
    settings: Settings,
    model: ChatModel | None = None,
    embedder: Embedder | None = None,
    **changes: Any,
) -> Iterator[Service]:
    """Return a service that summarises when it is told to, by a fake unless a model is given."""
    changed = settings.model_copy(update={"summary_tokens": 40, **changes})
    chat_model = model or RepeatingModel()
    with idle_service(changed, embedder=embedder, chat_model=chat_model) as service:
        yield service


def remarks(count: int, first: int = 1) -> list[dict[str, Any]]:
    """Return messages of both sides in turn; each has words of its own."""
    return [
        message(f"remark {number} about walrus{number}", ("assistant", "user")[number % 2])
        for number in range(first, first + count)
    ]


def prompt(
    service: Service,
    conversation: str = "c",
    new: str | Sequence[Mapping[str, Any]] = "And then, what was it that came after?",
    *,
    recent_turns: int = 4,
    **fields: Any,
) -> Prompt:
    """Build a prompt, which cuts the window if it has grown too long; all of it is written."""
    asked = [message(new)] if isinstance(new, str) else new
    request = PromptRequest(
        **{
            "input": asked,
            "instructions": None,
            "model": MODEL,
            "token_budget": 4_000,
            "max_output_tokens": 100,
            "tools": (),
            "recent_turns": recent_turns,
            "top_k": 0,
            "scope": "conversation",
            **fields,
        }
    )
    built = service.prompts.build(project_key(service), conversation, request)
    service.deferred_writer.flush()
    return built


def worker(service: Service) -> Summarizer:
    """Return what writes summaries; `prompt` leaves it something to do."""
    assert service.summarizer is not None
    return service.summarizer


def fold(service: Service, conversation: str = "c", **fields: Any) -> Prompt:
    """Build a prompt and write all summaries that there are to write."""
    built = prompt(service, conversation, **fields)
    worker(service).drain()
    return built


def summaries(service: Service, conversation: str = "c") -> list[Summary]:
    """Return the summaries of the live path, in the order they were made."""
    with service.log.read() as snapshot:
        found = snapshot.conversations.get(project_key(service), conversation)
        assert found is not None
        return list(snapshot.summaries.page(found.key, None, 10_000, "asc").data)


def places(service: Service, conversation: str = "c") -> list[SummaryRange]:
    """Return what the summaries of the live path cover."""
    return [
        SummaryRange(one.key, one.level, one.first_seq, one.last_seq)
        for one in summaries(service, conversation)
    ]


def ranges(service: Service, level: int = 1, conversation: str = "c") -> list[tuple[int, int]]:
    """Return the ranges of a level's summaries, from left to right."""
    found = places(service, conversation)
    return sorted((one.first_seq, one.last_seq) for one in found if one.level == level)


def path(service: Service, conversation: str = "c") -> list[Turn]:
    """Return the live path."""
    with service.log.read() as snapshot:
        found = snapshot.conversations.get(project_key(service), conversation)
        assert found is not None
        return list(snapshot.turns.page(found.key, None, 10_000, "asc").data)
