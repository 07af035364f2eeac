"""`verify` finds changes that were made without the service, and exits with 1 then."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from memory_service.chroma.index import ChromaIndex
from memory_service.commands import main
from memory_service.composition.data_folder import open_log
from memory_service.core.errors import StartupError
from memory_service.core.models import Finding
from memory_service.core.settings import Settings
from memory_service.embedders.local import LocalEmbedder
from memory_service.maintenance.verify import Verifier
from memory_service.server import running
from memory_service.service import Service
from memory_service.turn_log.log import FILE_NAME
from tests.support.factories import function_call, function_output
from tests.support.storing import append, create, eventually, project_key


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a closed service with turns, tool calls, a branch and two users."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("template"))
    with Service.open(settings, purpose="tests") as service:
        create(service, "c", "The kettle whistles every morning.", "Let us paint the fence green.")
        append(service, "c", function_call(), function_output(), "What a long story. " * 100)
        append(service, "c", "A second beginning.", below=_first(service))
        create(service, "other", "This conversation is not changed.", user="ana")
        eventually(lambda: service.index_status().lag == 0)
    return settings.data_dir


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """Return a copy of the template that a test may damage."""
    return shutil.copytree(template, tmp_path / "data")


def _first(service: Service) -> str:
    """Return the id of the first turn of `c`."""
    with service.log.read() as snapshot:
        conversation = snapshot.conversations.get(project_key(service), "c")
        assert conversation is not None
        return next(snapshot.turns.all(conversation.key)).id


def verify(folder: Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(main.app, ["verify", "--data-dir", str(folder)])


class _InThisProcess(ChromaIndex):
    """Chroma in this process: faster to open; `reset` is not needed."""

    def reset(self) -> None:
        raise NotImplementedError


def findings_of(folder: Path) -> Sequence[Finding]:
    """Return the findings that the command shows, without running the command."""
    with chroma(folder) as index:
        log = open_log(folder)
        try:
            settings, embedder = Settings(data_dir=folder), LocalEmbedder()
            return (
                Verifier(
                    log,
                    embedder,
                    index,
                    dimension=embedder.dimension,
                    passage_words=settings.passage_words,
                    passage_overlap_words=settings.passage_overlap_words,
                )
                .run()
                .findings
            )
        finally:
            log.close()


def tamper(folder: Path, *statements: str) -> None:
    """Change the log's file with SQL statements."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection, connection:
        for statement in statements:
            changed = connection.execute(statement).rowcount
            assert changed > 0, f"changed nothing: {statement}"


@contextmanager
def chroma(folder: Path) -> Iterator[_InThisProcess]:
    """Open the index without a service."""
    embedder = LocalEmbedder()
    opened = _InThisProcess(folder / "chroma", embedder=embedder.name, dimension=embedder.dimension)
    yield opened
    opened.close()


def test_consistent_folder_exits_with_0(folder: Path) -> None:
    result = verify(folder)
    assert result.exit_code == 0, result.output
    assert "Everything agrees." in result.output
    assert "2 conversations" in result.output


def test_empty_folder_exits_with_0(tmp_path: Path) -> None:
    assert verify(tmp_path / "new").exit_code == 0


@pytest.mark.parametrize(
    ("check", "statements"),
    [
        ("postings", ["DELETE FROM postings WHERE term = 'kettl'"]),
        ("postings", ["UPDATE postings SET tf = tf + 1 WHERE term = 'kettl'"]),
        ("postings", ["UPDATE postings SET term = 'kettel' WHERE term = 'kettl'"]),
        ("postings", ["UPDATE passages SET length = length + 1 WHERE ordinal = 0"]),
        ("postings", ["INSERT INTO postings SELECT 1, 'ghost', 987654, 1, 1"]),
        ("turns", ["UPDATE turns SET text = 'The kettle sings.' WHERE key = 1"]),
        ("turns", ["UPDATE turns SET raw = '{' WHERE key = 1"]),
        ("turns", ["UPDATE turns SET raw = replace(raw, 'kettle', 'pan') WHERE key = 1"]),
        ("turns", ["UPDATE turns SET role = 'assistant' WHERE key = 1"]),
        ("turns", ["UPDATE turns SET content_hash = zeroblob(32) WHERE key = 1"]),
        ("history index", ["UPDATE history_index SET message_hash = zeroblob(16)"]),
        ("history index", ["DELETE FROM history_index WHERE turn_key = 1"]),
        ("tree", ["UPDATE conversations SET head_key = 2 WHERE id = 'c'"]),
        ("tree", ["UPDATE conversations SET head_key = NULL WHERE id = 'c'"]),
        ("tree", ["UPDATE conversations SET head_key = 987654 WHERE id = 'c'"]),
        ("tree", ["UPDATE conversations SET next_seq = 1 WHERE id = 'c'"]),
        ("tree", ["UPDATE turns SET parent_key = key WHERE seq = 1"]),
        ("tree", ["UPDATE turns SET active = NOT active WHERE seq = 3"]),
        ("vectors", ["UPDATE passages SET vector = zeroblob(512) WHERE key = 1"]),
        ("vectors", ["UPDATE passages SET vector = NULL WHERE key = 1"]),
        ("passages", ["DELETE FROM passages WHERE ordinal = 1"]),
        ("passages", ['UPDATE passages SET "end" = "end" - 1 WHERE ordinal = 1']),
        ("index", ["DELETE FROM passages WHERE ordinal = 1"]),
        ("index", ["UPDATE collections SET vectors = vectors + 1"]),
        ("index", ["UPDATE collections SET project_key = 987654"]),
        ("index", ["UPDATE collections SET conversation_key = 2"]),
        ("index", ["UPDATE placements SET collection_key = 987654"]),
        ("queue", ["INSERT INTO index_queue VALUES (1, 'upsert', 987654, 1, NULL, 0, NULL, NULL)"]),
        ("queue", ["INSERT INTO index_queue VALUES (1, 'delete', 1, NULL, 1, 0, NULL, NULL)"]),
        ("queue", ["DELETE FROM placements"]),
        ("passages", ["UPDATE conversations SET passages = passages + 1"]),
        ("passages", ["UPDATE conversations SET terms = terms - 1"]),
        ("tool groups", ["UPDATE turns SET tool_group_key = NULL WHERE kind = 'function_call'"]),
        (
            "tool groups",
            ["UPDATE turns SET tool_group_key = NULL WHERE kind = 'function_call_output'"],
        ),
        ("database", ["DELETE FROM projects"]),
    ],
)
def test_change_by_hand_is_found(folder: Path, check: str, statements: list[str]) -> None:
    tamper(folder, *statements)
    assert check in {finding.check for finding in findings_of(folder)}


def test_findings_are_shown_and_exit_with_1(folder: Path) -> None:
    tamper(folder, "UPDATE turns SET role = 'assistant' WHERE key = 1")
    result = verify(folder)
    assert result.exit_code == 1, result.output
    assert "turns" in {line.split()[1] for line in result.output.splitlines() if "│" in line}


def test_different_vector_is_found(folder: Path) -> None:
    with chroma(folder) as index:
        index.upsert(1, [2], [1], np.full((1, 256), 1 / 16, dtype=np.float32))
    assert [finding.message for finding in findings_of(folder)] == ["1 vectors differ from the log"]


def test_unknown_collection_is_found(folder: Path) -> None:
    with chroma(folder) as index:
        index.upsert(77, [2], [1], np.full((1, 256), 1 / 16, dtype=np.float32))
    assert [finding.message for finding in findings_of(folder)] == ["the log does not know it"]


def test_unreadable_index_is_finding(folder: Path) -> None:
    (folder / "chroma" / "chroma.sqlite3").write_bytes(b"nonsense" * 4_000)
    result = verify(folder)
    assert result.exit_code == 1
    assert "cannot be read" in result.output


def test_missing_vector_is_found(folder: Path) -> None:
    with chroma(folder) as index:
        index.delete(1, [min(index.keys(1))])
    assert [finding.message for finding in findings_of(folder)] == ["1 vectors missing"]


def test_extra_vector_is_found(folder: Path) -> None:
    with chroma(folder) as index:
        vector = np.full((1, 256), 1 / 16, dtype=np.float32)
        index.upsert(1, [987_654], [1], vector)
    assert [finding.message for finding in findings_of(folder)] == ["1 vectors too many"]


def test_deleted_collection_is_found(folder: Path) -> None:
    with chroma(folder) as index:
        index.drop(1)
    assert any("vectors missing" in finding.message for finding in findings_of(folder))


def test_verify_changes_nothing(folder: Path) -> None:
    assert verify(folder).exit_code == 0
    before = (folder / FILE_NAME).read_bytes()
    assert verify(folder).exit_code == 0
    assert (folder / FILE_NAME).read_bytes() == before


def test_folder_held_by_server_is_refused_with_its_address(settings: Settings) -> None:
    with running(settings, "memory-service serve on http://127.0.0.1:8123"):
        result = verify(settings.data_dir)
    assert isinstance(result.exception, StartupError)
    assert "memory-service serve on http://127.0.0.1:8123" in result.exception.message
    assert str(settings.data_dir) in result.exception.message


def test_folder_is_usable_after_server_stop(settings: Settings) -> None:
    with running(settings, "tests"):
        pass
    assert verify(settings.data_dir).exit_code == 0
