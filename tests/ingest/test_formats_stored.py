"""Files of every format ingested into a server, again and in later versions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ingest.cli import app
from memory_service.commands.main import app as service_app
from memory_service.core.settings import Settings
from tests.support.reading import EXPORTS, read

Json = dict[str, Any]
Ingest = Callable[..., Json]
Stored = Callable[[], list[Json]]


@pytest.fixture
def ingest(address: str) -> Ingest:
    """Return a function that runs the command into a server and returns its report."""

    def run(*arguments: object) -> Json:
        options = ["--url", address, "--json"]
        result = CliRunner().invoke(app, [*map(str, arguments), *options])
        assert result.exit_code in (0, 1), result.output
        report: Json = json.loads(result.stdout.splitlines()[-1])
        return report

    return run


@pytest.fixture
def stored(settings: Settings) -> Stored:
    """Return a function that exports the conversations of the server's folder."""

    def conversations() -> list[Json]:
        command = ["export", "--data-dir", str(settings.data_dir)]
        result = CliRunner().invoke(service_app, command)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    return conversations


def active_texts(conversation: Json) -> list[str]:
    """Return the texts of the active branch, oldest first."""
    by_id = {item["id"]: item for item in conversation["items"]}
    item_id, texts = conversation["head"], []
    while item_id is not None:
        texts.append(_text(json.loads(by_id[item_id]["raw"])))
        item_id = by_id[item_id]["parent"]
    return texts[::-1]


def _text(item: Json) -> str:
    content = item.get("content") or item.get("summary") or item.get("tool_calls")
    return content if isinstance(content, str) else json.dumps(content)


def test_every_turn_is_stored_or_counted_once(ingest: Ingest, stored: Stored) -> None:
    formats = ("claude_code", "codex", "messages", "sharegpt", "slack", "whatsapp", "dialogue")
    files = [
        path
        for name in formats
        for path in sorted((EXPORTS / name).iterdir())
        if path.suffix != ".golden"
    ]
    everything = ("--branches", "all", "--reasoning", "--sidechains")
    first = ingest(*files, *everything)
    turns = first["turns"]
    assert turns["already_there"] == 0
    assert turns["read"] == turns["stored"] + sum(turns["skipped"].values())
    before = stored()
    assert sum(len(conversation["items"]) for conversation in before) == turns["stored"]
    again = ingest(*files, *everything)
    assert (again["turns"]["stored"], again["conversations"]["grown"]) == (0, 0)
    assert again["turns"]["already_there"] == turns["stored"]
    assert stored() == before


def test_growing_session(tmp_path: Path, ingest: Ingest, stored: Stored) -> None:
    lines = (EXPORTS / "claude_code/session.jsonl").read_text("utf-8").splitlines(keepends=True)
    path = tmp_path / "session.jsonl"
    for count in (3, 6, 8, 17, len(lines)):
        path.write_text("".join(lines[:count]), "utf-8")
        ingest(path)
    (grown,) = stored()
    at_its_end = [_text(json.loads(item.raw)) for item in read(path, "claude_code").items]
    assert active_texts(grown) == at_its_end


def test_reasoning_added_later_is_in_place(ingest: Ingest, stored: Stored) -> None:
    path = EXPORTS / "claude_code/session.jsonl"
    ingest(path)
    (before,) = stored()
    ingest(path, "--reasoning")
    (after,) = stored()
    assert [
        text for text in active_texts(after) if "Two files to read." not in text
    ] == active_texts(before)
    assert "Two files to read." in active_texts(after)[1]


CHAT = """05.03.24, 10:00 - Ann: Where do we meet?
05.03.24, 10:01 - Ben: At the station.
05.03.24, 10:02 - Ann: Good.
"""


def test_changed_message_begins_branch(tmp_path: Path, ingest: Ingest, stored: Stored) -> None:
    path = tmp_path / "chat.txt"
    path.write_text(CHAT)
    ingest(path, "--date-order", "dmy")
    path.write_text(CHAT.replace("station", "harbour"))
    ingest(path, "--date-order", "dmy")
    (chat,) = stored()
    assert active_texts(chat) == ["Where do we meet?", "At the harbour.", "Good."]
    assert "At the station." in [_text(json.loads(item["raw"])) for item in chat["items"]]


def _workspace(folder: Path, days: list[str], texts: list[str]) -> Path:
    channel = folder / "kitchen"
    shutil.rmtree(channel, ignore_errors=True)
    channel.mkdir(parents=True)
    (folder / "channels.json").write_text('[{"id": "C1", "name": "kitchen"}]')
    for day, text in zip(days, texts, strict=True):
        stamp = f"17092800{day}.000100"
        message = {"type": "message", "user": "U1", "ts": stamp, "text": text}
        (channel / f"2024-03-{day}.json").write_text(json.dumps([message]))
    return folder


def test_overlapping_channel_exports_join(tmp_path: Path, ingest: Ingest, stored: Stored) -> None:
    ingest(_workspace(tmp_path / "slack", ["01", "02", "03"], ["a", "b", "c"]))
    report = ingest(_workspace(tmp_path / "slack", ["02", "03", "04"], ["b", "c", "d"]))
    (channel,) = stored()
    assert active_texts(channel) == ["a", "b", "c", "d"]
    assert report["turns"]["stored"] == 1


def test_edited_channel_message_is_active(tmp_path: Path, ingest: Ingest, stored: Stored) -> None:
    ingest(_workspace(tmp_path / "slack", ["01", "02", "03"], ["a", "b", "c"]))
    ingest(_workspace(tmp_path / "slack", ["01", "02", "03", "04"], ["a", "b!", "c", "d"]))
    (channel,) = stored()
    assert active_texts(channel) == ["a", "b!", "c", "d"]
    again = ingest(_workspace(tmp_path / "slack", ["01", "02", "03", "04"], ["a", "b!", "c", "d"]))
    assert again["turns"]["stored"] == 0
