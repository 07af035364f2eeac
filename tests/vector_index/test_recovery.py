"""The vector index can be lost at any time: the log has everything that is in it."""

from __future__ import annotations

import os
import shutil
import signal

from memory_service.chroma.process import ChromaProcess
from memory_service.core.settings import Settings
from memory_service.recall.query import Query
from memory_service.service import Service
from tests.support.storing import create, eventually, project_key

SAID = ("the locker is 8314", "we had soup", "the train was late")


def vectors(service: Service) -> int:
    """Return how many vectors the index holds of the collections that the log knows."""
    with service.log.read() as snapshot:
        collections = snapshot.collections.all()
    return sum(len(service.index.keys(one.key)) for one in collections)


def test_a_lost_folder_is_built_again_at_the_next_start(settings: Settings) -> None:
    with Service.open(settings, purpose="tests") as service:
        create(service, "c", *SAID)
        eventually(lambda: service.index_status().lag == 0)
    shutil.rmtree(settings.data_dir / "chroma")
    with Service.open(settings, purpose="tests") as service:
        eventually(lambda: service.index_status().lag == 0)
        assert vectors(service) == len(SAID)


def test_a_child_that_was_killed_is_replaced_and_nothing_is_lost(settings: Settings) -> None:
    asking = settings.model_copy(update={"exact_scan_max": 0})
    with Service.open(asking, purpose="tests") as service:
        create(service, "c", *SAID)
        eventually(lambda: service.index_status().lag == 0)
        assert isinstance(service.index, ChromaProcess)
        os.kill(service.index.child_pid or 0, signal.SIGKILL)
        create(service, "d", "the bakery closes at noon")
        eventually(lambda: service.index_status().lag == 0)
        assert vectors(service) == len(SAID) + 1
        found = service.recaller.in_conversation(
            project_key(service), "c", Query("which locker", top_k=1)
        )
        assert found.degraded is None
        assert found.hits[0].turn.text == SAID[0]


def test_a_child_that_has_taken_in_enough_is_replaced_and_nothing_is_lost(
    settings: Settings,
) -> None:
    resting = settings.model_copy(update={"index_restart_vectors": 5, "index_batch": 2})
    children: set[int | None] = set()
    with Service.open(resting, purpose="tests") as service:
        assert isinstance(service.index, ChromaProcess)
        for number in range(4):
            create(service, f"c{number}", *SAID)
            eventually(lambda: service.index_status().lag == 0)
            children.add(service.index.child_pid)
        assert vectors(service) == 4 * len(SAID)
    assert len(children) > 1
