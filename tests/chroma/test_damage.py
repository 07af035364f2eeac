"""Chroma's traps: whatever happens to its files or its process, the log makes the index again."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import structlog

from memory_service.chroma.process import ChromaProcess
from memory_service.core.errors import VectorIndexDown
from memory_service.core.settings import Settings
from memory_service.recall.query import Query
from memory_service.service import Service
from tests.support.damage import TO_A_COLLECTION, TO_THE_FOLDER, collection_of, folder_of
from tests.support.environment import LONG
from tests.support.storing import append, create, eventually, findings, project_key

TURNS = 120
"""So many that Chroma has written the collection out."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a closed service with a collection for each kind of damage."""
    settings = asking_chroma(Settings(data_dir=tmp_path_factory.mktemp("template")))
    with Service.open(settings, purpose="tests") as service:
        for name in (*TO_A_COLLECTION, "whole"):
            create(service, name, *(f"{name}, turn {number}" for number in range(TURNS)))
        eventually(lambda: service.index_status().lag == 0)
    return settings.data_dir


@pytest.fixture
def copied(template: Path, tmp_path: Path) -> Settings:
    """Return the settings of a copy that a test may spoil."""
    return asking_chroma(Settings(data_dir=shutil.copytree(template, tmp_path / "copy")))


def asking_chroma(settings: Settings) -> Settings:
    """Return settings under which Chroma answers everything, in small collections."""
    return settings.model_copy(update={"exact_scan_max": 0, "collection_vectors": 200})


def child(service: Service) -> int:
    """Return the process that owns Chroma's folder."""
    assert isinstance(service.index, ChromaProcess)
    assert service.index.child_pid is not None
    return service.index.child_pid


def is_replaced(service: Service, before: int) -> bool:
    """Return whether another process owns Chroma's folder."""
    assert isinstance(service.index, ChromaProcess)
    return service.index.child_pid not in {None, before}


def is_whole(service: Service) -> bool:
    """Return whether queue, log and index agree to the last vector."""
    return service.index_status().lag == 0 and findings(service, with_index=True) == []


def assert_found(service: Service, conversation: str, text: str) -> None:
    """Check that a turn is found by its vector."""
    found = service.recaller.in_conversation(
        project_key(service), conversation, Query(text, top_k=1)
    )
    assert found.degraded is None
    assert found.hits[0].turn.text == text
    assert found.hits[0].features["vector"] > 0


def test_every_damaged_collection_is_made_again_at_the_next_start(copied: Settings) -> None:
    with structlog.testing.capture_logs() as lines:
        with Service.open(copied, purpose="tests") as service:
            chroma = copied.data_dir / "chroma"
            folders = {
                name: folder_of(chroma, collection_of(service, name)) for name in TO_A_COLLECTION
            }
        for name, damage in TO_A_COLLECTION.items():
            damage(folders[name])
        with Service.open(copied, purpose="tests") as service:
            eventually(lambda: is_whole(service), 120)
            for name in (*TO_A_COLLECTION, "whole"):
                assert_found(service, name, f"{name}, turn 7")
    rebuilt = [line["vectors"] for line in lines if line["event"].startswith("vectors were lost")]
    assert rebuilt == [TURNS] * len(TO_A_COLLECTION)


@pytest.mark.parametrize("damage", TO_THE_FOLDER if LONG else ["database garbled"])
def test_an_unreadable_folder_is_made_again_with_one_warning(copied: Settings, damage: str) -> None:
    TO_THE_FOLDER[damage](copied.data_dir / "chroma")
    with structlog.testing.capture_logs() as lines, Service.open(copied, purpose="tests") as again:
        eventually(lambda: again.index_status().lag == 0, 120)
        assert findings(again, with_index=True) == []
        assert_found(again, "whole", "whole, turn 7")
    rebuilt = [line["vectors"] for line in lines if line["event"].startswith("vectors were lost")]
    assert rebuilt == [TURNS * (len(TO_A_COLLECTION) + 1)]


@pytest.fixture
def asked(settings: Settings) -> Iterator[Service]:
    """Return a running service that asks Chroma, with a conversation that is written out."""
    with Service.open(asking_chroma(settings), purpose="tests") as service:
        create(service, "c", *(f"turn {number}" for number in range(TURNS)))
        eventually(lambda: service.index_status().lag == 0)
        yield service


def test_a_collection_that_breaks_while_the_service_runs_is_made_again(asked: Service) -> None:
    chroma = asked.settings.data_dir / "chroma"
    TO_A_COLLECTION["metadata half written"](folder_of(chroma, collection_of(asked, "c")))
    os.kill(child(asked), signal.SIGKILL)
    append(asked, "c", "the locker is 8314")
    eventually(lambda: is_whole(asked))
    assert_found(asked, "c", "the locker is 8314")


def test_a_database_that_breaks_while_the_service_runs_is_made_again(asked: Service) -> None:
    TO_THE_FOLDER["database garbled"](asked.settings.data_dir / "chroma")
    append(asked, "c", "the locker is 8314")
    eventually(lambda: is_whole(asked))
    assert_found(asked, "c", "the locker is 8314")
    assert asked.index_status().parked == 0


def test_an_index_that_cannot_write_parks_nothing_and_goes_on_when_it_can(asked: Service) -> None:
    append(asked, "c", "we had soup")
    for _ in range(3):
        # A full disk: from here on the system refuses this child every write to a file.
        limited = child(asked)
        _, hard = resource.prlimit(limited, resource.RLIMIT_FSIZE)
        resource.prlimit(limited, resource.RLIMIT_FSIZE, (0, hard))
        append(asked, "c", *(f"the locker is {number}" for number in range(8_000, 8_150)))
        eventually(partial(is_replaced, asked, limited))
        assert asked.index_status().parked == 0
    eventually(lambda: is_whole(asked))
    assert_found(asked, "c", "we had soup")


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[ChromaProcess]:
    """Return an index that waits a second for each answer, with one vector in it."""
    index = ChromaProcess(
        tmp_path / "chroma", embedder="t", dimension=4, read_seconds=1, write_seconds=1
    )
    index.upsert(1, [1], [1], np.eye(1, 4, dtype=np.float32))
    yield index
    index.close()


@pytest.mark.parametrize("vectors", [1, 20_000], ids=["small", "larger-than-a-pipe"])
def test_a_child_that_hangs_in_a_write_is_replaced(hasty: ChromaProcess, vectors: int) -> None:
    before = hasty.child_pid
    os.kill(before or 0, signal.SIGSTOP)
    with pytest.raises(VectorIndexDown, match="did not answer in 1 s"):
        hasty.upsert(1, range(vectors), [1] * vectors, np.ones((vectors, 4), dtype=np.float32))
    assert hasty.keys(1) == {1}
    assert hasty.child_pid != before


def test_a_child_that_hangs_in_a_query_is_replaced(hasty: ChromaProcess) -> None:
    before = hasty.child_pid
    os.kill(before or 0, signal.SIGSTOP)
    with pytest.raises(VectorIndexDown, match="did not answer in 1 s"):
        hasty.query(1, np.ones(4, dtype=np.float32), None, 1)
    assert hasty.keys(1) == {1}
    assert hasty.child_pid != before


def test_a_successor_waits_until_an_orphan_has_left_the_folder(
    hasty: ChromaProcess, tmp_path: Path
) -> None:
    orphan = hasty.child_pid or 0
    os.kill(orphan, signal.SIGSTOP)
    opened: list[ChromaProcess] = []
    opening = threading.Thread(
        target=lambda: opened.append(ChromaProcess(tmp_path / "chroma", embedder="t", dimension=4))
    )
    opening.start()
    opening.join(3)
    assert opening.is_alive()
    os.kill(orphan, signal.SIGKILL)
    opening.join(60)
    assert opened[0].keys(1) == {1}
    opened[0].close()


def test_a_damaged_file_cannot_take_all_memory(hasty: ChromaProcess) -> None:
    limits = Path(f"/proc/{hasty.child_pid}/limits").read_text("ascii")
    (allowed,) = [line.split()[3] for line in limits.splitlines() if line.startswith("Max data")]
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < int(allowed) <= machine / 2
