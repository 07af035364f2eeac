"""ChatGPT exports that are ingested again: unchanged, grown, edited, or in part."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
from typer.testing import CliRunner

from ingest.cli import app
from ingest.pipeline.ingestion import Ingestion
from ingest.pipeline.selection import TranscriptSelection
from ingest.sinks.local import LocalSink
from ingest.transcripts import FormatOptions
from memory_service.commands.main import app as service_app
from memory_service.core.settings import Settings

Json = dict[str, Any]


class Ingest(Protocol):
    """Ingests a file for a user."""

    def __call__(
        self, path: Path, *, user: str = "me", branches: Literal["active", "all"] = "active"
    ) -> Json:
        """Return the report, with the exit code in it."""


@pytest.fixture
def ingest(settings: Settings) -> Iterator[Ingest]:
    """Return a function that ingests as the command does, into a folder that stays open."""
    with LocalSink(settings, "local") as sink:

        def run(
            path: Path, *, user: str = "me", branches: Literal["active", "all"] = "active"
        ) -> Json:
            ingestion = Ingestion(
                sink,
                options=FormatOptions(branches=branches),
                selection=TranscriptSelection(),
                user=user,
                settings=settings,
            )
            ingestion.run([path], None, lambda *_: True)
            return {**ingestion.report.as_dict(), "exit_code": ingestion.report.exit_code}

        yield run


def dry_run(path: Path, folder: Path, *options: str) -> Json:
    arguments = [str(path), "--data-dir", str(folder), "--dry-run", "--json", *options]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report: Json = json.loads(result.stdout.splitlines()[-1])
    return report


def exported(folder: Path) -> list[Json]:
    """Return the conversations of a folder, which may be open."""
    result = CliRunner().invoke(service_app, ["export", "--data-dir", str(folder)])
    return [json.loads(line) for line in result.stdout.splitlines()]


def active_texts(conversation: Json) -> list[str]:
    """Return the texts of the active branch of an exported conversation."""
    items = {item["id"]: item for item in conversation["items"]}
    item_id, texts = conversation["head"], []
    while item_id is not None:
        texts.append(json.loads(items[item_id]["raw"])["content"])
        item_id = items[item_id]["parent"]
    return texts[::-1]


def chat(*texts: str, title: str = "Fence", begin: float = 1_714_550_400.0) -> Json:
    """Return a conversation in which user and assistant take turns."""
    mapping: Json = {}
    for number, text in enumerate(texts):
        role = "assistant" if number % 2 else "user"
        mapping[f"m{number}"] = {
            "id": f"m{number}",
            "parent": f"m{number - 1}" if number else None,
            "children": [],
            "message": {
                "id": f"m{number}",
                "author": {"role": role},
                "create_time": begin + 60 * number,
                "content": {"content_type": "text", "parts": [text]},
                "metadata": {},
            },
        }
    current = f"m{len(texts) - 1}"
    fields = {"conversation_id": title.lower(), "create_time": begin, "current_node": current}
    return {"title": title, "mapping": mapping, **fields}


def write(path: Path, *conversations: Any) -> Path:
    path.write_text(json.dumps(conversations))
    return path


def test_unchanged_grown_and_edited_conversation(ingest: Ingest, tmp_path: Path) -> None:
    path = tmp_path / "conversations.json"
    first = ingest(write(path, chat("One?", "Two.")))
    assert first["turns"] == {"read": 2, "stored": 2, "already_there": 0, "skipped": {}}
    again = ingest(path)
    assert again["conversations"] == {"read": 1, "stored": 0, "grown": 0, "unchanged": 1}
    grown = ingest(write(path, chat("One?", "Two.", "Three?", "Four.")))
    assert grown["conversations"]["grown"] == 1
    assert grown["turns"] | {"skipped": {}} == {
        "read": 4,
        "stored": 2,
        "already_there": 2,
        "skipped": {},
    }
    for stored in (3, 0):  # The edited message and its reply are a branch, stored once.
        edited = ingest(write(path, chat("One?", "Deux.", "Three?", "Four.")))
        assert edited["turns"]["stored"] == stored
    (conversation,) = exported(tmp_path / "data")
    assert active_texts(conversation) == ["One?", "Deux.", "Three?", "Four."]
    assert len(conversation["items"]) == 7


def test_too_long_message_is_skipped_and_children_reattached(
    ingest: Ingest, tmp_path: Path
) -> None:
    long = chat("One?", "x" * 50_000_000, "Three?", "Four.", "y" * 1_000_001)
    path = write(tmp_path / "conversations.json", long, chat("Five?", "Six.", title="Other"))
    report = ingest(path)
    assert report["exit_code"] == 1
    assert report["turns"]["stored"] == 5
    assert report["turns"]["skipped"] == {"invalid": 2}
    assert "50,000,000 bytes" in report["warnings"][0]["message"]
    assert "1,000,001 characters" in report["warnings"][1]["message"]
    assert active_texts(exported(tmp_path / "data")[0]) == ["One?", "Three?", "Four."]


@pytest.mark.parametrize("kind", ["zip", "folder", "shards"])
def test_zip_folder_and_shards(kind: str, ingest: Ingest, tmp_path: Path) -> None:
    talks = [chat("One?", "Two."), chat("Three?", "Four.", title="Other")]
    folder = tmp_path / "export"
    folder.mkdir()
    write(folder / "user.json", {"id": "user-1"})
    if kind == "shards":
        for number, talk in enumerate(talks):
            write(folder / f"conversations-00{number}.json", talk)
    else:
        write(folder / "conversations.json", *talks)
    path = folder
    if kind == "zip":
        path = tmp_path / "export.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in folder.iterdir():
                archive.write(file, f"export/{file.name}")
            archive.writestr("__MACOSX/export/._conversations.json", b"\x00")
            archive.writestr("../conversations.json", b"[]")
    report = ingest(path)
    assert report["turns"]["stored"] == 4
    assert len(report["warnings"]) == (kind == "zip")
    assert not (tmp_path.parent / "conversations.json").exists()


def test_selection_and_dry_run(tmp_path: Path) -> None:
    days = [1_714_550_400.0 + 86_400 * number for number in range(4)]  # from 2024-05-01 on
    talks = [chat("Hi", title=f"Day {n}", begin=day) for n, day in enumerate(days, start=1)]
    path, folder = write(tmp_path / "conversations.json", *talks), tmp_path / "data"
    for options, stored in (
        (["--since", "2024-05-02", "--until", "2024-05-03"], 2),
        (["--title-matches", "day [34]"], 2),
        (["--limit", "3"], 3),
    ):
        report = dry_run(path, folder, *options)
        assert report["conversations"]["stored"] == stored
        assert sum(report["turns"]["skipped"].values()) == report["turns"]["read"] - stored
    assert not folder.exists()


def test_dry_run_counts_repeated_conversations(ingest: Ingest, tmp_path: Path) -> None:
    talk = chat("One?", "Two.")
    grown = chat("One?", "Two.", "Three?")
    path = write(tmp_path / "conversations.json", talk, talk, grown, chat("Other?", title="Other"))
    predicted, stored = dry_run(path, tmp_path / "nothing"), ingest(path)
    for part in ("conversations", "turns"):
        assert predicted[part] == stored[part]
    assert predicted["conversations"] == {"read": 4, "stored": 2, "grown": 1, "unchanged": 1}


def test_conversation_of_other_user_is_refused(ingest: Ingest, tmp_path: Path) -> None:
    path = write(tmp_path / "conversations.json", chat("One?", "Two."))
    ingest(path)
    report = ingest(path, user="someone-else")
    assert report["exit_code"] == 1
    assert report["turns"]["skipped"] == {"refused": 2}
    assert "'me'" in report["warnings"][0]["message"]


def test_report_fields(ingest: Ingest, tmp_path: Path) -> None:
    path = write(tmp_path / "conversations.json", chat("One?", "Two."), {"title": "Broken"}, None)
    report = ingest(path)
    assert report.pop("exit_code") == 1
    assert report == {
        "format": "chatgpt",
        "conversations": {"read": 1, "stored": 1, "grown": 0, "unchanged": 0},
        "turns": {"read": 2, "stored": 2, "already_there": 0, "skipped": {}},
        "warnings": [
            {
                "file": "conversations.json",
                "record": record,
                "message": "is not a conversation: it has no 'mapping' of messages",
            }
            for record in (2, 3)
        ],
        "first": "2024-05-01T08:00:00+00:00",
        "last": "2024-05-01T08:01:00+00:00",
        "tokens": report["tokens"],
    }
    assert report["tokens"] > 0


def test_all_branches_keep_active_branch(ingest: Ingest, tmp_path: Path) -> None:
    talk = chat("One?", "Two.", "Three?")
    aside = deepcopy(talk["mapping"]["m1"])
    aside["id"] = aside["message"]["id"] = "aside"
    aside["message"]["content"]["parts"] = ["Another two."]
    talk["mapping"]["aside"] = aside
    path = write(tmp_path / "conversations.json", talk)
    assert ingest(path)["turns"]["skipped"] == {"not on the active branch": 1}
    assert ingest(path, branches="all")["turns"]["stored"] == 1
    (conversation,) = exported(tmp_path / "data")
    assert active_texts(conversation) == ["One?", "Two.", "Three?"]
    assert len(conversation["items"]) == 4
