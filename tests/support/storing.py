"""Helpers that store without HTTP, for tests of the packages below the API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from memory_service.composition.data_folder import open_log
from memory_service.conversations.idempotency import Attempt
from memory_service.conversations.requests import Below, NewConversation
from memory_service.core.models import Turn
from memory_service.core.protocols import ChatModel, Embedder, VectorIndex
from memory_service.core.settings import Settings
from memory_service.maintenance.verify import Verifier
from memory_service.service import LOCAL_PROJECT, Service
from memory_service.testing import HashingEmbedder, MemoryIndex
from tests.support.factories import message, new_turn


def attempt(key: str | None = None) -> Attempt:
    """Return the attempt of a new request."""
    return Attempt(key, (key or "").encode(), is_retry=False)


@contextmanager
def idle_service(
    settings: Settings,
    index: VectorIndex | None = None,
    embedder: Embedder | None = None,
    chat_model: ChatModel | None = None,
) -> Iterator[Service]:
    """Return a service on fakes without background work."""
    log = open_log(settings.data_dir)
    service = Service(
        settings,
        log=log,
        index=index or MemoryIndex(),
        embedder=embedder or HashingEmbedder(),
        chat_model=chat_model,
    )
    try:
        yield service
    finally:
        service.indexer.stop()
        service.deletions.close()
        log.close()


def create(
    service: Service,
    conversation_id: str,
    *texts: str | Mapping[str, Any],
    user: str | None = None,
    project: str = LOCAL_PROJECT,
    key: str | None = None,
) -> list[Turn]:
    """Create a conversation with items; a text is a message of the user."""
    turns = [_new_turn(text) for text in texts]
    request = NewConversation(conversation_id, user=user, title=None, metadata={})
    stored = service.writer.create_conversation(
        project_key(service, project), request, turns, attempt(key)
    )
    return list(stored.turns)


def append(
    service: Service,
    conversation_id: str,
    *texts: str | Mapping[str, Any],
    below: str | Below = Below.HEAD,
    project: str = LOCAL_PROJECT,
    key: str | None = None,
) -> list[Turn]:
    """Append items; a text is a message of the user."""
    turns = [_new_turn(text) for text in texts]
    stored = service.writer.append(
        project_key(service, project), conversation_id, turns, attempt(key), below=below
    )
    return list(stored.turns)


def project_key(service: Service, name: str = LOCAL_PROJECT) -> int:
    """Return the key of a project; an unknown one is created."""
    with service.log.read() as snapshot:
        key = snapshot.projects.key_of(name)
    if key is not None:
        return key
    with service.log.write() as transaction:
        return transaction.projects.ensure(name, 0)


def findings(service: Service, *, with_index: bool = False) -> list[str]:
    """Return the findings of `verify` in the log, and in the index if asked."""
    verifier = Verifier(
        service.log,
        service.embedder,
        service.index if with_index else None,
        dimension=service.indexer.dimension,
        passage_words=service.settings.passage_words,
        passage_overlap_words=service.settings.passage_overlap_words,
    )
    return [
        f"{finding.check} {finding.subject}: {finding.message}"
        for finding in verifier.run().findings
    ]


def eventually(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until a condition holds; fail after some seconds."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        pause.wait(0.02)


def _new_turn(item: str | Mapping[str, Any]) -> Any:
    return new_turn(message(item) if isinstance(item, str) else item)
