"""Migrations: the schema that they produce, old logs with rows, logs of newer versions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import memory_service.turn_log.migrate as migrations
from memory_service.core.errors import StartupError
from memory_service.core.models import Turn
from memory_service.items.message_hash import message_hash
from memory_service.turn_log.log import FILE_NAME, TurnLog
from memory_service.turn_log.migrate import migrate
from memory_service.turn_log.schema import metadata
from memory_service.turn_log.sqlite import open_engine

FIRST = "0001"
BEFORE_HISTORY_INDEX = "0006"
FIRST_ROWS = {
    "projects": {"id": 1, "name": "acme", "created_at": 5},
    "users": {"id": 1, "project_id": 1, "external_id": "ana", "created_at": 5, "last_seen_at": 6},
    "conversations": {
        "id": 1,
        "project_id": 1,
        "external_id": "c",
        "user_id": 1,
        "title": "Old",
        "metadata": '{"a":"b"}',
        "created_at": 5,
        "stored_at": 5,
        "head_id": 1,
        "next_seq": 2,
        "language": "english",
    },
    "turns": {
        "id": 1,
        "project_id": 1,
        "conversation_id": 1,
        "external_id": "i",
        "seq": 1,
        "parent_id": None,
        "unit_id": None,
        "live": True,
        "gap_before": False,
        "kind": "message",
        "role": "user",
        "name": "Ana",
        "text": "hello",
        "raw": '{"role":"user","content":"hello"}',
        "metadata": None,
        "created_at": 5,
        "utc_offset_minutes": 60,
        "stored_at": 6,
        "content_hash": b"x" * 32,
    },
    "receipts": {
        "id": 1,
        "project_id": 1,
        "external_id": "rcpt_1",
        "kind": "item",
        "counts": '{"turns":1}',
        "created_at": 7,
    },
}
"""One row per table, in the columns of the first revision: not edited when the schema changes."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Return an engine on an empty file."""
    opened = open_engine(tmp_path / FILE_NAME)
    yield opened
    opened.dispose()


def test_migrations_produce_declared_schema(engine: sa.Engine) -> None:
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_sqlite_schemas_are_equal(engine: sa.Engine, tmp_path: Path) -> None:
    declared = open_engine(tmp_path / "declared.sqlite3")
    migrate(engine)
    metadata.create_all(declared)
    for table in metadata.tables:
        assert _description(engine, table) == _description(declared, table)
    declared.dispose()


def _description(engine: sa.Engine, table: str) -> dict[str, Any]:
    """Return SQLite's description of a table: columns, keys, indices, and whether it has rowids."""
    with engine.connect() as connection:
        indices = connection.exec_driver_sql(f"PRAGMA index_list({table})").all()
        return {
            "columns": connection.exec_driver_sql(f"PRAGMA table_xinfo({table})").all(),
            "foreign keys": {
                tuple(row)[2:]
                for row in connection.exec_driver_sql(f"PRAGMA foreign_key_list({table})")
            },
            "indices": {
                (
                    *tuple(index)[1:],
                    *map(tuple, connection.exec_driver_sql(f"PRAGMA index_xinfo({index.name})")),
                )
                for index in indices
            },
            "table": connection.exec_driver_sql(
                "SELECT wr, strict FROM pragma_table_list WHERE name = ?", (table,)
            ).all(),
        }


def test_revisions_are_numbered_without_gap_or_branch() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent / "migrations"))
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert sorted(revisions) == [f"{number:04}" for number in range(1, len(revisions) + 1)]
    assert len(scripts.get_heads()) == 1


def test_log_of_first_revision_keeps_its_rows(engine: sa.Engine, tmp_path: Path) -> None:
    migrate(engine, to=FIRST)
    with engine.begin() as connection:
        for table, row in FIRST_ROWS.items():
            columns = ", ".join(row)
            marks = ", ".join(f":{column}" for column in row)
            connection.execute(sa.text(f"INSERT INTO {table} ({columns}) VALUES ({marks})"), row)  # noqa: S608
    engine.dispose()
    log = TurnLog.open(tmp_path)
    with log.read() as snapshot:
        assert snapshot.integrity_problems() == []
        conversation = snapshot.conversations.get(1, "c")
        assert conversation is not None
        assert (conversation.title, conversation.user) == ("Old", "ana")
        (turn,) = snapshot.turns.all(conversation.key)
        assert _as_stored(turn) == {key: FIRST_ROWS["turns"][key] for key in _as_stored(turn)}
        (point,) = snapshot.history_index.tree_points(conversation.key, 10)
        assert point.message_hash == message_hash({"role": "user", "content": "hello"})
        keys = snapshot.history_index.conversations_with(1, [point.message_hash], 10)
        assert keys == [conversation.key]
        receipt = snapshot.receipts.get(1, "rcpt_1")
        assert receipt is not None
        assert receipt.counts == {"turns": 1}
        # Deletions at that revision left residues in the file; they are now due for erasure.
        assert [residue.place for residue in snapshot.residues.erased()] == ["log"]
    log.close()


def _as_stored(turn: Turn) -> dict[str, Any]:
    names = ("seq", "kind", "role", "name", "text", "raw", "created_at", "utc_offset_minutes")
    return {name: getattr(turn, name) for name in (*names, "stored_at", "content_hash")}


def test_log_of_newer_revision_is_refused_unchanged(tmp_path: Path) -> None:
    TurnLog.open(tmp_path).close()
    engine = open_engine(tmp_path / FILE_NAME)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(StartupError, match="'9999', which this version does not know"):
        TurnLog.open(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_opening_current_log_changes_nothing(tmp_path: Path) -> None:
    TurnLog.open(tmp_path).close()
    before = (tmp_path / FILE_NAME).read_bytes()
    TurnLog.open(tmp_path).close()
    assert (tmp_path / FILE_NAME).read_bytes() == before


OPENER = """
import sys
from pathlib import Path
from memory_service.turn_log.log import TurnLog
print("ready", flush=True)
for line in sys.stdin:
    log = TurnLog.open(Path(line.strip()))
    with log.write() as transaction:
        transaction.projects.ensure("local", 0)
    log.close()
    print("opened", flush=True)
"""


def test_several_processes_open_new_folder_at_once(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(12)]
    for folder in folders:
        folder.mkdir()
    with ExitStack() as stack:
        openers = [_opener(stack) for _ in range(3)]
        assert [_line(opener) for opener in openers] == ["ready"] * 3
        for folder in folders:
            for opener in openers:
                assert opener.stdin is not None
                opener.stdin.write(f"{folder}\n")
                opener.stdin.flush()
            assert [_line(opener) for opener in openers] == ["opened"] * 3


def _opener(stack: ExitStack) -> subprocess.Popen[str]:
    return stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-c", OPENER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_history_index_of_old_log_tells_answers_from_sent_messages(
    engine: sa.Engine, tmp_path: Path
) -> None:
    migrate(engine, to=BEFORE_HISTORY_INDEX)
    rows = [(1, "assistant", 5), (2, "user", 5), (3, "assistant", 6), (4, "user", 7)]
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO projects VALUES (1, 'acme', 5)")
        connection.exec_driver_sql(
            "INSERT INTO conversations (key, project_key, id, metadata, created_at, stored_at,"
            " head_key, next_seq) VALUES (7, 1, 'c', '{}', 5, 5, 4, 5)"
        )
        for key, role, stored_at in rows:
            connection.exec_driver_sql(
                "INSERT INTO turns (key, project_key, conversation_key, id, seq, parent_key, active"
                ", gap_before, kind, role, text, raw, created_at, stored_at, content_hash)"
                " VALUES (?, 1, 7, ?, ?, ?, 1, 0, 'message', ?, '', '{', 5, ?, x'00')",
                (key, f"i{key}", key, key - 1 or None, role, stored_at),
            )
    engine.dispose()
    log = TurnLog.open(tmp_path)
    with log.read() as snapshot:
        points = snapshot.history_index.tree_points(7, 10)
        assert {point.key: point.from_request for point in points} == {
            1: True,
            2: False,
            3: False,
            4: False,
        }
        assert snapshot.history_index.last_match(-7, 7, [points[0].message_hash]) == 4
    log.close()
