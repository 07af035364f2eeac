"""A data set in the real service: SQLite, Chroma, the embedder, in this process and a new folder.

The service gets the same data as in production: speakers, texts and times. It does not get a set's
numbering of sessions. Everything that the evaluation does with an open service is in this file.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress

from eval.datasets.models import Dataset, DatasetTurn, Question
from eval.errors import MeasurementError
from eval.systems.ids import dataset_id, service_id
from memory_service.conversations.idempotency import Attempt
from memory_service.conversations.requests import NewConversation
from memory_service.core.clock import parse_time
from memory_service.core.models import NewTurn, Recall
from memory_service.core.settings import Settings
from memory_service.items.conversation_items import parse_item
from memory_service.items.strict_json import dumps
from memory_service.recall.query import Query
from memory_service.recall.recaller import Recaller
from memory_service.service import Service

_BATCH = 1_000
_STALLED_SECONDS = 300.0
_POLL_SECONDS = 0.2
_FIRST_ATTEMPT = Attempt(None, b"", is_retry=False)


@contextmanager
def stored(dataset: Dataset, settings: Settings, progress: Progress) -> Iterator[Service]:
    """Yield a service that holds a data set, indexed to the last vector; deletes it at the end."""
    with tempfile.TemporaryDirectory(prefix="eval-") as folder:
        # Without a model: summaries of a set would cost money, and are not measured.
        changes = {"data_dir": Path(folder) / "data", "upstream_base_url": None}
        with Service.open(settings.model_copy(update=changes), purpose="eval") as service:
            store(service, dataset, progress)
            wait_for_index(service, progress)
            yield service


def store(service: Service, dataset: Dataset, progress: Progress) -> None:
    """Store the conversations of their users, with the times and speakers of their turns."""
    task = progress.add_task("store", total=dataset.turn_count)
    for name, turns in dataset.conversations.items():
        create_conversation(service, name, dataset.users.get(name))
        append(service, name, turns, lambda count: progress.advance(task, count))


def create_conversation(service: Service, name: str, user: str | None) -> None:
    """Create a conversation, of a user if one is named."""
    new = NewConversation(service_id(name), None if user is None else service_id(user), None, {})
    service.writer.create_conversation(service.local_project(), new, [], _FIRST_ATTEMPT)


def append(
    service: Service,
    name: str,
    turns: Sequence[DatasetTurn],
    on_stored: Callable[[int], None] = lambda _: None,
) -> None:
    """Append turns to an existing conversation; calls `on_stored` with the size of each batch."""
    for start in range(0, len(turns), _BATCH):
        new = [_new_turn(turn, service) for turn in turns[start : start + _BATCH]]
        service.writer.append(service.local_project(), service_id(name), new, _FIRST_ATTEMPT)
        on_stored(len(new))


def _new_turn(turn: DatasetTurn, service: Service) -> NewTurn:
    item = {"role": turn.role, "content": turn.text}
    metadata = {
        "id": service_id(turn.id),
        "name": turn.speaker,
        "created_at": turn.time.isoformat(),
    }
    return parse_item(item, dumps(item), metadata, service.item_limits, turn.id)


def wait_for_index(service: Service, progress: Progress) -> None:
    """Wait until Chroma has every vector; raises MeasurementError if it stops making progress."""
    initial = least = service.index_status().lag
    task = progress.add_task("wait for the index", total=initial)
    deadline = time.monotonic() + _STALLED_SECONDS
    while (status := service.index_status()).lag:
        if status.lag < least:
            least, deadline = status.lag, time.monotonic() + _STALLED_SECONDS
        if status.parked or time.monotonic() > deadline:
            raise MeasurementError(
                f"the index is {status.lag} passages behind and does not catch up: {status.error}"
            )
        progress.update(task, completed=initial - status.lag)
        time.sleep(_POLL_SECONDS)
    progress.update(task, completed=initial)


def recall(
    service: Service,
    question: Question,
    top_k: int,
    *,
    recaller: Recaller | None = None,
    relevant_only: bool = False,
) -> Recall:
    """Recall in the question's scope, with the service's recaller or another one.

    Raises MeasurementError if the recall was degraded.
    """
    chosen, project = recaller or service.recaller, service.local_project()
    now, offset = parse_time(question.now.isoformat(), question.id)
    query = Query(
        text=question.text,
        top_k=top_k,
        relevant_only=relevant_only,
        now=now,
        utc_offset_minutes=offset,
    )
    if question.conversation is not None:
        result = chosen.in_conversation(project, service_id(question.conversation), query)
    else:
        result = chosen.of_user(project, service_id(str(question.user)), query)
    if result.degraded is not None:
        raise MeasurementError(f"{question.id}: a recall went on without {result.degraded}")
    return result


def turn_keys(service: Service, turn_ids: Sequence[str]) -> set[int]:
    """Return the keys of turns."""
    with service.log.read() as snapshot:
        turns = snapshot.turns.by_ids(service.local_project(), map(service_id, turn_ids))
    return {turn.key for turn in turns.values()}


def recent_turn_ids(
    service: Service, name: str, first_seq: int | None, last_seq: int | None
) -> set[str]:
    """Return the ids, as in the data set, of a conversation's active turns in a range of `seq`."""
    if first_seq is None or last_seq is None:
        return set()
    with service.log.read() as snapshot:
        conversation = snapshot.conversations.get(service.local_project(), service_id(name))
        if conversation is None:
            return set()
        count = last_seq - first_seq + 1
        page = snapshot.turns.page(conversation.key, first_seq - 1, count, "asc")
    return {dataset_id(turn.id) for turn in page.data if turn.seq <= last_seq}


def count_turns(service: Service, name: str) -> int | None:
    """Return the number of turns of a conversation, or None if it does not exist."""
    with service.log.read() as snapshot:
        conversation = snapshot.conversations.get(service.local_project(), service_id(name))
    return None if conversation is None else conversation.next_seq - 1


def count_passages(service: Service, question: Question) -> int:
    """Return the number of passages in a question's scope."""
    project = service.local_project()
    with service.log.read() as snapshot:
        if question.conversation is not None:
            conversation = snapshot.conversations.get(project, service_id(question.conversation))
            return 0 if conversation is None else conversation.passages
        user = snapshot.users.key_of(project, service_id(str(question.user)))
        if user is None:
            return 0
        return snapshot.conversations.scope_of_user(project, user).statistics.passages
