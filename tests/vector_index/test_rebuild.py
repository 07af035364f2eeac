"""`rebuild-index` rebuilds the vector index from the log, without an embedder, and resumes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from memory_service.commands import main
from memory_service.core.errors import StartupError
from memory_service.core.models import Matrix
from memory_service.core.settings import Settings
from memory_service.server import running
from memory_service.service import Service
from memory_service.testing import MemoryIndex
from memory_service.vector_index.rebuild import Rebuild
from tests.support.storing import create, eventually, findings, idle_service

TURNS = 30


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a closed service with two conversations."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("template"))
    with Service.open(settings, purpose="tests") as service:
        for name in ("c", "d"):
            create(service, name, *(f"{name} says {number}" for number in range(TURNS)))
        eventually(lambda: service.index_status().lag == 0)
    return settings.data_dir


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """Return a copy of the template that a test may damage."""
    return shutil.copytree(template, tmp_path / "data")


def command(name: str, folder: Path) -> Result:
    """Run a command on a folder."""
    return CliRunner().invoke(main.app, [name, "--data-dir", str(folder)])


def test_damaged_index_is_rebuilt_from_log(folder: Path) -> None:
    (folder / "chroma" / "chroma.sqlite3").write_bytes(b"nonsense" * 4_000)
    result = command("rebuild-index", folder)
    assert result.exit_code == 0, result.output
    assert f"{2 * TURNS} vectors in 1 collections" in result.output
    assert "Everything agrees." in command("verify", folder).output


def test_rebuild_needs_no_embedder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_EMBEDDER", "openai")
    monkeypatch.setenv("MEMORY_EMBEDDER_BASE_URL", "http://127.0.0.1:1/v1")
    assert command("rebuild-index", folder).exit_code == 0
    assert command("verify", folder).exit_code == 0


def test_folder_held_by_server_is_refused(settings: Settings) -> None:
    with running(settings, "memory-service serve"):
        result = command("rebuild-index", settings.data_dir)
    assert isinstance(result.exception, StartupError)
    assert "is in use by process" in result.exception.message


def test_rebuild_of_empty_folder(tmp_path: Path) -> None:
    result = command("rebuild-index", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert "0 vectors" in result.output


class _KilledIndex(MemoryIndex):
    """An index whose process is killed while it is filled."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left = 4
        self.written = 0

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        if not self.writes_left:
            raise KeyboardInterrupt
        self.writes_left -= 1
        self.written += len(keys)
        super().upsert(collection, keys, groups, vectors)


def test_killed_rebuild_is_resumed(settings: Settings) -> None:
    index = _KilledIndex()
    index.writes_left = 100
    with idle_service(settings, index) as service:
        create(service, "c", *(f"turn {number}" for number in range(TURNS)))
        service.indexer.drain()
        index.writes_left, index.written = 4, 0
        with pytest.raises(KeyboardInterrupt):
            Rebuild(service.log, index, batch=3).run()
        index.writes_left = 100
        progress: list[tuple[int, int]] = []
        result = Rebuild(service.log, index, batch=3).run(lambda *counts: progress.append(counts))
        assert (result.resumed, result.vectors, index.written) == (True, TURNS, TURNS)
        assert (progress[0], progress[-1]) == ((12, TURNS), (TURNS, TURNS))
        assert findings(service, with_index=True) == []


def test_rebuild_after_finished_rebuild_is_not_resumed(settings: Settings) -> None:
    with idle_service(settings) as service:
        create(service, "c", *(f"turn {number}" for number in range(TURNS)))
        service.indexer.drain()
        for _ in range(2):
            assert not Rebuild(service.log, service.index, batch=8).run().resumed
        assert findings(service, with_index=True) == []


def test_service_start_completes_killed_rebuild(folder: Path) -> None:
    settings = Settings(data_dir=folder)
    index = _KilledIndex()
    with idle_service(settings, index) as service, pytest.raises(KeyboardInterrupt):
        Rebuild(service.log, index, batch=3).run()
    shutil.rmtree(folder / "chroma")
    with Service.open(settings, purpose="tests") as service:
        eventually(lambda: service.index_status().lag == 0)
        assert findings(service, with_index=True) == []
    assert "going on" not in command("rebuild-index", folder).output
