"""Damage to Chroma's files: the index is rebuilt from the turn log."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import structlog

from memory_service.chroma.process import ChromaProcess
from memory_service.core.settings import Settings
from memory_service.recall.query import Query
from memory_service.service import Service
from tests.support.damage import TO_A_COLLECTION, TO_THE_FOLDER, collection_of, folder_of
from tests.support.environment import LONG
from tests.support.storing import append, create, eventually, findings, project_key

TURNS = 120
"""Enough for Chroma to have written the collection to its files."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a closed service with a collection for each kind of damage."""
    settings = with_chroma_queries(Settings(data_dir=tmp_path_factory.mktemp("template")))
    with Service.open(settings, purpose="tests") as service:
        for name in (*TO_A_COLLECTION, "whole"):
            create(service, name, *(f"{name}, turn {number}" for number in range(TURNS)))
        eventually(lambda: service.index_status().lag == 0)
    return settings.data_dir


@pytest.fixture
def damaged_copy(template: Path, tmp_path: Path) -> Settings:
    """Return the settings of a copy of the template that a test may damage."""
    return with_chroma_queries(Settings(data_dir=shutil.copytree(template, tmp_path / "copy")))


def with_chroma_queries(settings: Settings) -> Settings:
    """Return settings under which Chroma answers every query, in small collections."""
    return settings.model_copy(update={"exact_scan_max": 0, "collection_vectors": 200})


def child(service: Service) -> int:
    """Return the id of the process that owns Chroma's folder."""
    assert isinstance(service.index, ChromaProcess)
    assert service.index.child_pid is not None
    return service.index.child_pid


def is_replaced(service: Service, before: int) -> bool:
    """Return whether another process owns Chroma's folder."""
    assert isinstance(service.index, ChromaProcess)
    return service.index.child_pid not in {None, before}


def is_consistent(service: Service) -> bool:
    """Return whether the queue is empty and the log and the index agree."""
    return service.index_status().lag == 0 and findings(service, with_index=True) == []


def assert_found(service: Service, conversation: str, text: str) -> None:
    """Assert that a turn is recalled by its vector."""
    recall = service.recaller.in_conversation(
        project_key(service), conversation, Query(text, top_k=1)
    )
    assert recall.degraded is None
    assert recall.hits[0].turn.text == text
    assert recall.hits[0].features["vector"] > 0


def test_damaged_collections_are_rebuilt_at_the_next_start(damaged_copy: Settings) -> None:
    with structlog.testing.capture_logs() as lines:
        with Service.open(damaged_copy, purpose="tests") as service:
            chroma = damaged_copy.data_dir / "chroma"
            folders = {
                name: folder_of(chroma, collection_of(service, name)) for name in TO_A_COLLECTION
            }
        for name, damage in TO_A_COLLECTION.items():
            damage(folders[name])
        with Service.open(damaged_copy, purpose="tests") as service:
            eventually(lambda: is_consistent(service), 120)
            for name in (*TO_A_COLLECTION, "whole"):
                assert_found(service, name, f"{name}, turn 7")
    rebuilt = [line["vectors"] for line in lines if line["event"].startswith("vectors were lost")]
    assert rebuilt == [TURNS] * len(TO_A_COLLECTION)


@pytest.mark.parametrize("damage", TO_THE_FOLDER if LONG else ["database garbled"])
def test_unreadable_folder_is_rebuilt_with_one_warning(damaged_copy: Settings, damage: str) -> None:
    TO_THE_FOLDER[damage](damaged_copy.data_dir / "chroma")
    with (
        structlog.testing.capture_logs() as lines,
        Service.open(damaged_copy, purpose="tests") as again,
    ):
        eventually(lambda: again.index_status().lag == 0, 120)
        assert findings(again, with_index=True) == []
        assert_found(again, "whole", "whole, turn 7")
    rebuilt = [line["vectors"] for line in lines if line["event"].startswith("vectors were lost")]
    assert rebuilt == [TURNS * (len(TO_A_COLLECTION) + 1)]


@pytest.fixture
def running_service(settings: Settings) -> Iterator[Service]:
    """Return a running service that queries Chroma, with a conversation written to its files."""
    with Service.open(with_chroma_queries(settings), purpose="tests") as service:
        create(service, "c", *(f"turn {number}" for number in range(TURNS)))
        eventually(lambda: service.index_status().lag == 0)
        yield service


def test_collection_damaged_at_run_time_is_rebuilt(running_service: Service) -> None:
    chroma = running_service.settings.data_dir / "chroma"
    TO_A_COLLECTION["metadata half written"](folder_of(chroma, collection_of(running_service, "c")))
    os.kill(child(running_service), signal.SIGKILL)
    append(running_service, "c", "the locker is 8314")
    eventually(lambda: is_consistent(running_service))
    assert_found(running_service, "c", "the locker is 8314")


def test_database_damaged_at_run_time_is_rebuilt(running_service: Service) -> None:
    TO_THE_FOLDER["database garbled"](running_service.settings.data_dir / "chroma")
    append(running_service, "c", "the locker is 8314")
    eventually(lambda: is_consistent(running_service))
    assert_found(running_service, "c", "the locker is 8314")
    assert running_service.index_status().parked == 0


def test_index_that_cannot_write_parks_nothing_and_recovers(running_service: Service) -> None:
    append(running_service, "c", "we had soup")
    for _ in range(3):
        # A full disk: from here on the system refuses this child every write to a file.
        limited = child(running_service)
        _, hard = resource.prlimit(limited, resource.RLIMIT_FSIZE)
        resource.prlimit(limited, resource.RLIMIT_FSIZE, (0, hard))
        append(running_service, "c", *(f"the locker is {number}" for number in range(8_000, 8_150)))
        eventually(partial(is_replaced, running_service, limited))
        assert running_service.index_status().parked == 0
    eventually(lambda: is_consistent(running_service))
    assert_found(running_service, "c", "we had soup")
