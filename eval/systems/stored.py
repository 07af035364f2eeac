"""A set in the real service: SQLite, Chroma and the embedder, in this process and a fresh folder.

The service is told what a real one would be: who said what and when; no set's numbering of
sessions. Ids of a set become legal ones and come back as they were.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress

from eval.datasets import Dataset, Question, Turn
from memory_service.conversations.idempotency import UNIDENTIFIED
from memory_service.conversations.requests import NewConversation
from memory_service.core.clock import parse_time
from memory_service.core.models import NewTurn, Recall
from memory_service.core.settings import Settings
from memory_service.items.conversation_items import parse_item
from memory_service.items.fields import check_id
from memory_service.items.strict_json import dumps
from memory_service.recall.query import Query
from memory_service.recall.recaller import Recaller
from memory_service.service import Service

PRIVATE = {
    "data_dir",
    "tiktoken_cache_dir",
    "embedder_base_url",
    "embedder_api_key",
    "embedder_config",
    "upstream_base_url",
    "upstream_api_key",
}
"""Settings that say where things are on this machine, and what may hold a key."""

_BATCH = 1_000
_STALLED_SECONDS = 300.0
_POLL_SECONDS = 0.2
_UNUSUAL = re.compile(rb"[^A-Za-z0-9-]")
_ESCAPED = re.compile(rb"_([0-9a-f]{2})")


class MeasurementError(Exception):
    """The service did not do what is measured; the message says what."""


@contextmanager
def stored(dataset: Dataset, settings: Settings, progress: Progress) -> Iterator[Service]:
    """Store a set in a service of its own, indexed to the last vector; all is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="eval-") as folder:
        # Without a model: summaries of a set would cost money, and are not what is measured.
        private = {"data_dir": Path(folder) / "data", "upstream_base_url": None}
        there = settings.model_copy(update=private)
        with Service.open(there, purpose="eval") as service:
            store(service, service.local_project(), dataset, progress)
            wait_for_index(service, progress)
            yield service


def legal_id(own: str) -> str:
    """Return an id that the service takes; `own_id` undoes it.

    Raises InvalidRequest for an id that gets too long by it.
    """
    # The pattern leaves ASCII only. `_` begins an escape, so it is itself escaped.
    escaped = _UNUSUAL.sub(lambda found: b"_%02x" % ord(found[0]), own.encode())
    return check_id(escaped.decode("ascii"), own)


def own_id(legal: str) -> str:
    """Return the set's own id of a `legal_id`."""
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), legal.encode()).decode()


def store(service: Service, project: int, dataset: Dataset, progress: Progress) -> None:
    """Store the conversations of their users, with the times and speakers of their turns."""
    task = progress.add_task("store", total=dataset.turns)
    for name, turns in dataset.conversations.items():
        conversation, user = legal_id(name), dataset.users.get(name)
        made = NewConversation(conversation, None if user is None else legal_id(user), None, {})
        service.writer.create_conversation(project, made, [], UNIDENTIFIED)
        append(service, project, conversation, turns, lambda count: progress.advance(task, count))


def append(
    service: Service,
    project: int,
    conversation: str,
    turns: Sequence[Turn],
    on_stored: Callable[[int], None],
) -> None:
    """Append turns to a conversation that is there, and say after each call how many they were."""
    for start in range(0, len(turns), _BATCH):
        new = [_as_new(turn, service) for turn in turns[start : start + _BATCH]]
        service.writer.append(project, conversation, new, UNIDENTIFIED)
        on_stored(len(new))


def _as_new(turn: Turn, service: Service) -> NewTurn:
    item = {"role": turn.role, "content": turn.text}
    stored_as = {
        "id": legal_id(turn.id),
        "name": turn.speaker,
        "created_at": turn.time.isoformat(),
    }
    return parse_item(item, dumps(item), stored_as, service.item_limits, turn.id)


def wait_for_index(service: Service, progress: Progress) -> None:
    """Wait until Chroma has every vector; raises MeasurementError if it gets no further."""
    waiting = least = service.index_status().lag
    task = progress.add_task("wait for the index", total=waiting)
    deadline = time.monotonic() + _STALLED_SECONDS
    while (status := service.index_status()).lag:
        if status.lag < least:
            least, deadline = status.lag, time.monotonic() + _STALLED_SECONDS
        if status.parked or time.monotonic() > deadline:
            raise MeasurementError(
                f"the index is {status.lag} passages behind and does not catch up: {status.error}"
            )
        progress.update(task, completed=waiting - status.lag)
        time.sleep(_POLL_SECONDS)
    progress.update(task, completed=waiting)


def recall(
    recaller: Recaller, project: int, question: Question, top_k: int, *, relevant_only: bool = False
) -> Recall:
    """Ask where the question looks; raises MeasurementError if a channel was down."""
    now, offset = parse_time(question.now.isoformat(), question.id)
    query = Query(
        text=question.text,
        top_k=top_k,
        relevant_only=relevant_only,
        now=now,
        utc_offset_minutes=offset,
    )
    if question.conversation is not None:
        found = recaller.in_conversation(project, legal_id(question.conversation), query)
    else:
        found = recaller.of_user(project, legal_id(str(question.user)), query)
    if found.degraded is not None:
        raise MeasurementError(f"{question.id}: a recall went on without {found.degraded}")
    return found
