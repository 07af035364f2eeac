"""A lost vector index or a lost child process is restored from the log."""

from __future__ import annotations

import os
import shutil
import signal

from memory_service.chroma.process import ChromaProcess
from memory_service.core.settings import Settings
from memory_service.recall.query import Query
from memory_service.service import Service
from tests.support.storing import create, eventually, project_key

TEXTS = ("the locker is 8314", "we had soup", "the train was late")


def vectors(service: Service) -> int:
    """Return how many vectors the index holds in the collections of the log."""
    with service.log.read() as snapshot:
        collections = snapshot.collections.all()
    return sum(len(service.index.keys(collection.key)) for collection in collections)


def test_lost_folder_is_rebuilt_at_next_start(settings: Settings) -> None:
    with Service.open(settings, purpose="tests") as service:
        create(service, "c", *TEXTS)
        eventually(lambda: service.index_status().lag == 0)
    shutil.rmtree(settings.data_dir / "chroma")
    with Service.open(settings, purpose="tests") as service:
        eventually(lambda: service.index_status().lag == 0)
        assert vectors(service) == len(TEXTS)


def test_killed_child_is_replaced(settings: Settings) -> None:
    chosen = settings.model_copy(update={"exact_scan_max": 0})
    with Service.open(chosen, purpose="tests") as service:
        create(service, "c", *TEXTS)
        eventually(lambda: service.index_status().lag == 0)
        assert isinstance(service.index, ChromaProcess)
        os.kill(service.index.child_pid or 0, signal.SIGKILL)
        create(service, "d", "the bakery closes at noon")
        eventually(lambda: service.index_status().lag == 0)
        assert vectors(service) == len(TEXTS) + 1
        result = service.recaller.in_conversation(
            project_key(service), "c", Query("which locker", top_k=1)
        )
        assert result.degraded is None
        assert result.hits[0].turn.text == TEXTS[0]


def test_child_is_replaced_after_index_restart_vectors(
    settings: Settings,
) -> None:
    chosen = settings.model_copy(update={"index_restart_vectors": 5, "index_batch": 2})
    children: set[int | None] = set()
    with Service.open(chosen, purpose="tests") as service:
        assert isinstance(service.index, ChromaProcess)
        for number in range(4):
            create(service, f"c{number}", *TEXTS)
            eventually(lambda: service.index_status().lag == 0)
            children.add(service.index.child_pid)
        assert vectors(service) == 4 * len(TEXTS)
    assert len(children) > 1
