"""The turn log on SQLite: durable connections, one writer at a time, snapshots, unique keys."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from memory_service.core.errors import StartupError
from memory_service.core.settings import Settings
from memory_service.service import Service
from memory_service.turn_log.log import TransactionBatch, TurnLog
from memory_service.turn_log.sqlite import BUSY_TIMEOUT_MS, open_engine
from tests.support.storing import append, create, project_key

WRITERS = 16
CLI = (sys.executable, "-m", "memory_service")


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("secure_delete", 1),
        ("foreign_keys", 1),
        ("busy_timeout", BUSY_TIMEOUT_MS),
        ("temp_store", 2),
    ],
)
def test_connections_have_all_pragmas(tmp_path: Path, pragma: str, value: object) -> None:
    engine = open_engine(tmp_path / "log.sqlite3")
    connections = [engine.connect() for _ in range(20)]
    values = {connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() for connection in connections}
    for connection in connections:
        connection.close()
    engine.dispose()
    assert values == {value}


def test_checkpoint_restores_busy_timeout(tmp_path: Path) -> None:
    log = TurnLog.open(tmp_path)
    assert log.checkpoint()
    with log.read() as snapshot:
        timeout = snapshot._connection.exec_driver_sql("PRAGMA busy_timeout").scalar()  # noqa: SLF001
    log.close()
    assert timeout == BUSY_TIMEOUT_MS


class _LazyCursor(sqlite3.Cursor):
    """A cursor that sets synchronous = NORMAL where FULL is requested."""

    def execute(self, sql: str, *parameters: Any) -> _LazyCursor:
        lazy = sql.replace("synchronous = FULL", "synchronous = NORMAL")
        super().execute(lazy, *parameters)
        return self


class _LazyConnection(sqlite3.Connection):
    def cursor(self, _factory: Any = None) -> Any:
        return super().cursor(_LazyCursor)


def test_connection_without_full_synchronous_is_refused(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "log.sqlite3")
    lazy = sqlite3.connect(tmp_path / "log.sqlite3", factory=_LazyConnection)
    event.listen(engine, "do_connect", lambda *_: lazy)
    with pytest.raises(StartupError, match="synchronous=FULL"):
        engine.connect()
    lazy.close()
    engine.dispose()


def test_sixteen_writers_store_all_turns_without_gap(service: Service) -> None:
    create(service, "shared")
    for number in range(WRITERS):
        create(service, f"own-{number}")
    barrier = threading.Barrier(WRITERS)

    def write(number: int) -> None:
        barrier.wait()
        for step in range(12):
            append(service, "shared", f"writer {number} says {step}")
            append(service, f"own-{number}", f"writer {number} notes {step}")

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    assert seqs(service, "shared") == list(range(1, WRITERS * 12 + 1))
    assert all(seqs(service, f"own-{n}") == list(range(1, 13)) for n in range(WRITERS))


def seqs(service: Service, conversation_id: str) -> list[int]:
    """Return the numbers of a conversation's turns."""
    project = project_key(service)
    with service.log.read() as snapshot:
        conversation = snapshot.conversations.get(project, conversation_id)
        assert conversation is not None
        return [turn.seq for turn in snapshot.turns.all(conversation.key)]


def test_other_process_creates_key_during_writes(service: Service) -> None:
    create(service, "c")
    done = threading.Event()

    def write(number: int) -> None:
        while not done.is_set():
            append(service, "c", f"writer {number}")

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, number) for number in range(4)]
        folder = str(service.settings.data_dir)
        command = [*CLI, "keys", "create", "--project", "acme", "--data-dir", folder]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        done.set()
    assert result.returncode == 0, result.stderr
    assert [future.exception() for future in writing] == [None] * 4
    with service.log.read() as snapshot:
        access = snapshot.api_keys.access_of(result.stdout.splitlines()[-1])
        assert access is not None
        assert (access.project_key, access.user) == (snapshot.projects.key_of("acme"), None)


def test_snapshot_does_not_change(service: Service, project: int) -> None:
    (first,) = create(service, "c", "before")
    with service.log.read() as snapshot:
        assert len(list(snapshot.turns.all(first.conversation_key))) == 1
        append(service, "c", "while it reads")
        service.deletions.delete_item(project, "c", first.id)
        assert [turn.text for turn in snapshot.turns.all(first.conversation_key)] == ["before"]
    with service.log.read() as snapshot:
        assert [turn.text for turn in snapshot.turns.all(first.conversation_key)] == [
            "while it reads"
        ]


def test_keys_are_never_reused(settings: Settings) -> None:
    used: set[tuple[str, int]] = set()
    for _ in range(3):
        with Service.open(settings, purpose="tests") as service:
            turns = create(service, "c", "one", "two", "three", user="u")
            with service.log.read() as snapshot:
                passages = snapshot.passages.of_turns(turn.key for turn in turns)
            keys = {("turn", turn.key) for turn in turns}
            keys |= {("passage", passage.key) for passage in passages}
            keys.add(("conversation", turns[0].conversation_key))
            assert not keys & used
            used |= keys
            service.deletions.delete_user(project_key(service), "u")


def test_failed_transaction_is_rolled_back(service: Service, project: int) -> None:
    create(service, "c", "kept")

    def fail_half_way() -> None:
        with service.log.write() as transaction:
            transaction.projects.ensure("other", 0)
            conversation = transaction.conversations.get(project, "c")
            assert conversation is not None
            transaction.deletions.delete_conversation(conversation)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    with service.log.read() as snapshot:
        assert snapshot.projects.key_of("other") is None
    assert seqs(service, "c") == [1]


def test_second_writer_waits_for_first(service: Service) -> None:
    create(service, "c")
    inside = threading.Event()

    def write() -> list[int]:
        inside.set()
        return [turn.seq for turn in append(service, "c", "second")]

    with ThreadPoolExecutor(1) as pool:
        with service.log.write() as transaction:
            second = pool.submit(write)
            assert inside.wait(30)
            transaction.properties.set("held", "yes")
            assert not second.done()
        assert second.result(30) == [1]


def test_batch_is_durable_at_once_and_undone_transaction_by_transaction(tmp_path: Path) -> None:
    log = TurnLog.open(tmp_path)
    with log.batch() as batch:
        with batch.write() as transaction:
            transaction.properties.set("kept", "1")
        with pytest.raises(ZeroDivisionError):
            _fail_in_transaction(batch)
        with batch.read() as snapshot:
            assert (snapshot.properties.get("kept"), snapshot.properties.get("undone")) == (
                "1",
                None,
            )
        assert _property(log, "kept") is None
    assert (_property(log, "kept"), _property(log, "undone")) == ("1", None)
    log.close()


def _fail_in_transaction(log: TransactionBatch) -> None:
    with log.write() as transaction:
        transaction.properties.set("undone", str(1))
        transaction.properties.set("undone", str(1 // 0))


def _property(log: TurnLog, name: str) -> str | None:
    with log.read() as snapshot:
        return snapshot.properties.get(name)
