"""Deleted data is in no table, no index and no file of the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from memory_service.core.errors import NotFound
from memory_service.core.settings import Settings
from memory_service.service import Service
from memory_service.text.terms import terms
from memory_service.turn_log.log import FILE_NAME
from tests.support.factories import function_call, function_output, message
from tests.support.storing import append, create, eventually, findings, idle_service, project_key
from tests.support.summarising import remarks, summaries, summarise, summarising

KEPT = "the kettle whistles every morning"
DELETED = "xylophagous quokkaberries wandered through brumbleforths"
RARE = ["xylophagous", "quokkaberries", "brumbleforths"]
TABLES = (
    *("turns", "tool_calls", "passages", "postings", "index_queue", "idempotency"),
    *("summaries", "summary_queue", "history_index"),
)


def needles(words: Iterable[str]) -> set[bytes]:
    """Return words and their stems in the encodings of databases."""
    forms = {form for word in words for form in (word, *terms(word, "en"))}
    encodings = ("utf-8", "utf-16-le", "utf-16-be")
    return {form.encode(encoding) for form in forms for encoding in encodings}


def left_in(folder: Path, words: Iterable[str]) -> set[bytes]:
    """Return the words that are in a file of the log."""
    files = [path for path in folder.iterdir() if path.is_file()]
    assert folder / FILE_NAME in files
    content = b"\x00".join(path.read_bytes() for path in files)
    return {needle for needle in needles(words) if needle in content}


def rows(folder: Path, statement: str) -> list[Any]:
    """Return the rows that a statement selects in the log."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        return connection.execute(statement).fetchall()


def vectors(service: Service) -> set[int]:
    """Return the passages that have a vector in the index, when its queue is empty."""
    eventually(lambda: service.index_status().lag == 0)
    with service.log.read() as snapshot:
        collections = snapshot.collections.all()
    return {key for collection in collections for key in service.index.keys(collection.key)}


def passages(service: Service) -> set[int]:
    """Return the passages in the log."""
    service.log.checkpoint()
    return {row[0] for row in rows(service.settings.data_dir, "SELECT key FROM passages")}


def deleted_message(item_id: str = "i-bandicootish") -> dict[str, Any]:
    """Return a message that a test deletes."""
    metadata = {"mood": "quokkaberries"}
    return message(DELETED, id=item_id, name="Brumbleforths", metadata=metadata)


def test_deleted_item_is_in_no_file(settings: Settings) -> None:
    folder = settings.data_dir
    with Service.open(settings, purpose="tests") as service:
        create(service, "c", KEPT, deleted_message(), KEPT)
        service.log.checkpoint()
        assert len(left_in(folder, [*RARE, "bandicootish"])) >= len(RARE)
        service.deletions.delete_item(project_key(service), "c", "i-bandicootish")
        assert findings(service) == []
    assert left_in(folder, [*RARE, "bandicootish"]) == set()
    assert left_in(folder, ["kettle"])


def test_deleted_conversation_is_in_no_file(settings: Settings) -> None:
    words = [*RARE, "numbatlikeconv", "bandicootish", "idempotoroo"]
    with Service.open(settings, purpose="tests") as service:
        create(service, "c", KEPT)
        create(service, "numbatlikeconv", KEPT, deleted_message(), key="idempotoroo")
        service.deletions.delete_conversation(project_key(service), "numbatlikeconv")
        assert findings(service) == []
    assert left_in(settings.data_dir, words) == set()


def test_deleted_user_is_in_no_file(settings: Settings) -> None:
    words = [*RARE, "numbatlikeuser", "bandicootish", "pademelonconv"]
    with Service.open(settings, purpose="tests") as service:
        create(service, "c", KEPT, user="kept-user")
        create(service, "pademelonconv", deleted_message(), user="numbatlikeuser")
        create(service, "secondpademelon", DELETED, user="numbatlikeuser")
        service.deletions.delete_user(project_key(service), "numbatlikeuser")
        assert findings(service) == []
        with service.log.read() as snapshot:
            page = snapshot.users.page(project_key(service), None, 10, "asc")
    assert [user.id for user in page.data] == ["kept-user"]
    assert left_in(settings.data_dir, words) == set()


def test_deletion_while_service_runs_cleans_open_files(
    service: Service,
) -> None:
    create(service, "c", KEPT, deleted_message())
    service.deletions.delete_item(project_key(service), "c", "i-bandicootish")
    eventually(lambda: not left_in(service.settings.data_dir, RARE))


@pytest.mark.parametrize("victim", ["call", "result-1", "result-2"])
def test_delete_item_deletes_whole_tool_group(settings: Settings, victim: str) -> None:
    folder = settings.data_dir
    call = function_call(id="call", arguments='{"berry":"quokkaberries"}')
    with Service.open(settings, purpose="tests") as service:
        create(service, "c", KEPT, call)
        append(service, "c", {**function_output(output="xylophagous"), "id": "result-1"})
        append(service, "c", {**function_output(output="brumbleforths"), "id": "result-2"}, KEPT)
        _, receipt = service.deletions.delete_item(project_key(service), "c", victim)
    assert receipt.counts["turns"] == 3
    assert left_in(folder, RARE) == set()
    assert [row[0] for row in rows(folder, "SELECT text FROM turns ORDER BY seq")] == [KEPT, KEPT]


def test_delete_item_deletes_rows_vector_and_idempotency_key(
    service: Service,
) -> None:
    create(service, "c", KEPT)
    append(service, "c", deleted_message(), key="idem-deleted")
    append(service, "c", KEPT, key="idem-kept")
    assert len(vectors(service)) == 3
    before = {table: rows(service.settings.data_dir, f"SELECT * FROM {table}") for table in TABLES}  # noqa: S608
    _, receipt = service.deletions.delete_item(project_key(service), "c", "i-bandicootish")
    assert vectors(service) == passages(service)
    after = {table: rows(service.settings.data_dir, f"SELECT * FROM {table}") for table in TABLES}  # noqa: S608
    lost = {table: len(before[table]) - len(after[table]) for table in TABLES}
    assert lost["turns"] == lost["history_index"] == receipt.counts["turns"] == 1
    assert lost["passages"] == receipt.counts["passages"] == 1
    assert lost["postings"] == receipt.counts["postings"] >= len(RARE)
    assert lost["idempotency"] == receipt.counts["idempotency_keys"] == 1
    assert [row[1] for row in after["idempotency"]] == ["idem-kept"]


def test_delete_user_empties_tables_and_index(service: Service) -> None:
    for number in range(3):
        create(service, f"c{number}", KEPT, DELETED, user="ana", key=f"idem-{number}")
    assert len(vectors(service)) == 6
    receipt = service.deletions.delete_user(project_key(service), "ana")
    assert vectors(service) == set()
    service.log.checkpoint()
    for table in (*TABLES, "conversations", "placements", "users"):
        assert rows(service.settings.data_dir, f"SELECT * FROM {table}") == []  # noqa: S608
    counts = {name: receipt.counts[name] for name in ("users", "conversations", "turns")}
    assert counts == {"users": 1, "conversations": 3, "turns": 6}
    assert receipt.counts["idempotency_keys"] == 3


def test_receipt_has_counts_and_random_id_only(service: Service) -> None:
    create(service, "c", deleted_message(), user="ana")
    receipt = service.deletions.delete_user(project_key(service), "ana")
    service.log.checkpoint()
    ((receipt_id, kind, counts, created_at),) = rows(
        service.settings.data_dir, "SELECT id, kind, counts, created_at FROM receipts"
    )
    assert (receipt_id, kind, created_at) == (receipt.id, "user", receipt.created_at)
    assert set(receipt.counts) <= {
        *("users", "conversations", "turns", "passages", "postings", "idempotency_keys"),
        *("summaries", "responses"),
    }
    assert all(isinstance(count, int) for count in receipt.counts.values())
    assert not any(word in counts for word in ("ana", "bandicootish", *RARE))


def delete(service: Service, project: int, kind: str) -> None:
    """Delete the item, its conversation `c` or its user."""
    if kind == "item":
        service.deletions.delete_item(project, "c", "i-bandicootish")
    elif kind == "conversation":
        service.deletions.delete_conversation(project, "c")
    else:
        service.deletions.delete_user(project, "ana")


@pytest.mark.parametrize("kind", ["item", "conversation", "user"])
def test_second_deletion_raises_not_found(service: Service, kind: str) -> None:
    create(service, "c", deleted_message(), user="ana")
    delete(service, project_key(service), kind)
    with pytest.raises(NotFound):
        delete(service, project_key(service), kind)


@pytest.mark.parametrize("kind", ["item", "conversation", "user"])
def test_data_of_another_project_cannot_be_deleted(service: Service, kind: str) -> None:
    create(service, "c", deleted_message(), user="ana", project="theirs")
    with pytest.raises(NotFound):
        delete(service, project_key(service, "mine"), kind)
    service.log.checkpoint()
    assert len(rows(service.settings.data_dir, "SELECT * FROM turns")) == 1


@pytest.mark.parametrize("kind", ["item", "conversation", "user"])
def test_summaries_of_deleted_turns_are_in_no_file(settings: Settings, kind: str) -> None:
    with summarising(settings, summary_tokens=400) as service:
        create(service, "c", deleted_message(), *remarks(20), user="ana")
        summarise(service)
        append(service, "c", *remarks(20, first=21))
        assert summarise(service).summaries
        assert any(RARE[0] in summary.text for summary in summaries(service))
        delete(service, project_key(service), kind)
        assert findings(service) == []
    assert left_in(settings.data_dir, [*RARE, "bandicootish"]) == set()


def test_open_snapshot_delays_checkpoint(
    settings: Settings,
) -> None:
    wal = settings.data_dir / f"{FILE_NAME}-wal"
    with idle_service(settings) as service:
        create(service, "c", KEPT, deleted_message())
        with service.log.read() as snapshot:
            assert snapshot.conversations.get(project_key(service), "c") is not None
            service.deletions.delete_item(project_key(service), "c", "i-bandicootish")
            append(service, "c", "writers are not held up")
            assert not service.log.checkpoint()
            assert wal.stat().st_size > 0
        eventually(lambda: wal.stat().st_size == 0)
        assert left_in(settings.data_dir, RARE) == set()


def test_deletions_behind_one_snapshot_are_all_cleaned_up(settings: Settings) -> None:
    wal = settings.data_dir / f"{FILE_NAME}-wal"
    with idle_service(settings) as service:
        create(
            service,
            "c",
            KEPT,
            deleted_message("i-1"),
            deleted_message("i-2"),
            deleted_message("i-3"),
        )
        with service.log.read() as snapshot:
            assert snapshot.conversations.get(project_key(service), "c") is not None
            for item_id in ("i-1", "i-2", "i-3"):
                service.deletions.delete_item(project_key(service), "c", item_id)
        eventually(lambda: wal.stat().st_size == 0)
        create(service, "d", deleted_message("i-4"))
        service.deletions.delete_item(project_key(service), "d", "i-4")
        eventually(lambda: wal.stat().st_size == 0)
        assert left_in(settings.data_dir, RARE) == set()
