"""The command `memory-ingest`: stored turns, reports, and resuming."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import openai
import pytest
from openai._types import RequestOptions
from rich.console import Console
from typer.testing import CliRunner, Result

from ingest.cli import app
from ingest.progress import show_progress
from memory_service.commands.main import app as service_app
from memory_service.core.errors import StartupError
from memory_service.core.settings import Settings
from memory_service.server import running
from tests.support.chatgpt_export import write_export

JSON_BODY: RequestOptions = {"headers": {"content-type": "application/json"}}


def ingest(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def report(result: Result) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = json.loads(result.stdout.splitlines()[-1])
    return counts


def export(folder: Path) -> str:
    result = CliRunner().invoke(service_app, ["export", "--data-dir", str(folder)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_messages_file_is_recognised_and_stored(history: Path, tmp_path: Path) -> None:
    result = ingest(history, "--data-dir", tmp_path / "data", "--json")
    assert result.exit_code == 0, result.output
    assert report(result)["conversations"]["stored"] == 2
    assert report(result)["turns"]["stored"] == 5


def test_second_run_stores_nothing(history: Path, tmp_path: Path) -> None:
    ingest(history, "--data-dir", tmp_path / "data")
    before = export(tmp_path / "data")
    result = ingest(history, "--data-dir", tmp_path / "data", "--json")
    assert report(result)["conversations"] == {"read": 2, "stored": 0, "grown": 0, "unchanged": 2}
    assert export(tmp_path / "data") == before


def test_grown_conversation_gets_new_turns_only(history: Path, tmp_path: Path) -> None:
    ingest(history, "--data-dir", tmp_path / "data")
    first, second = history.read_text().splitlines()
    grown = json.loads(second)
    grown["messages"].append({"role": "user", "content": "And with cheese?"})
    history.write_text(f"{first}\n{json.dumps(grown)}\n")
    result = ingest(history, "--data-dir", tmp_path / "data", "--json")
    assert report(result)["conversations"]["grown"] == 1
    assert report(result)["turns"]["stored"] == 1


def test_invalid_record_is_warning_and_rest_is_stored(history: Path, tmp_path: Path) -> None:
    history.write_text("{broken\n" + history.read_text() + '{"messages": 3}\n')
    result = ingest(history, "--format", "messages", "--data-dir", tmp_path / "data", "--json")
    assert result.exit_code == 1
    warnings = json.loads(result.stdout.splitlines()[-1])["warnings"]
    assert [warning["record"] for warning in warnings] == [1, 4]
    assert report(result)["conversations"]["stored"] == 2


def test_json_report_without_usable_files(tmp_path: Path) -> None:
    path = tmp_path / "notes.bin"
    path.write_bytes(b"\x00\x01 no transcript")
    command = [sys.executable, "-m", "ingest", str(path), "--data-dir", str(tmp_path), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "none of the known formats" in result.stderr
    assert "Traceback" not in result.stderr
    counts = json.loads(result.stdout.splitlines()[-1])
    assert counts["conversations"] == {"read": 0, "stored": 0, "grown": 0, "unchanged": 0}


def test_invalid_message_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    messages = [{"role": "user", "content": "Hi"}, {"role": "wizard", "content": "Abracadabra"}]
    path.write_text(json.dumps({"messages": messages}))
    result = ingest(path, "--data-dir", tmp_path / "data", "--json")
    assert report(result)["turns"] == {
        "read": 2,
        "stored": 1,
        "already_there": 0,
        "skipped": {"invalid": 1},
    }


@pytest.mark.parametrize("content", ["", "just some words\n", "\x00\xff", '{"a": 1}\n'])
def test_unknown_format_names_known_formats(content: str, tmp_path: Path) -> None:
    path = tmp_path / "what.txt"
    path.write_text(content, encoding="latin-1")
    result = ingest(path, "--data-dir", tmp_path / "data")
    assert result.exit_code != 0
    assert "messages" in str(result.exception)


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize("text", ["yesterday", "2024-02-30", "0000-01-01", "99999-01-01"])
def test_invalid_time_is_startup_error(history: Path, option: str, text: str) -> None:
    result = ingest(history, option, text)
    assert isinstance(result.exception, StartupError)
    assert option in str(result.exception)


def test_until_last_day_of_calendar_is_startup_error(history: Path) -> None:
    assert isinstance(ingest(history, "--until", "9999-12-31").exception, StartupError)


def test_non_utf8_line_is_skipped(history: Path, tmp_path: Path) -> None:
    bad = b'{"messages": [{"role": "user", "content": "\xff"}]}\n'
    history.write_bytes(history.read_bytes() + bad)
    result = ingest(history, "--data-dir", tmp_path / "data", "--json")
    assert result.exit_code == 1
    assert report(result)["conversations"]["stored"] == 2


def test_folder_held_by_server(history: Path, tmp_path: Path, address: str) -> None:
    assert address
    result = ingest(history, "--data-dir", tmp_path / "data")
    assert "--url" in str(result.exception)


def test_ingestion_into_server(history: Path, client: openai.OpenAI, address: str) -> None:
    result = ingest(history, "--url", address, "--user", "mara", "--json")
    assert result.exit_code == 0, result.output
    again = ingest(history, "--url", address, "--user", "mara", "--json")
    assert report(again)["conversations"]["unchanged"] == 2
    page = client.get("/conversations", cast_to=dict[str, object], options={"params": {}})
    assert len(page["data"]) == 2  # type: ignore[arg-type]


def _store_two_branches(client: openai.OpenAI) -> None:
    """Store a conversation with unusual JSON, times, a deletion and two branches."""
    path = "/conversations/tree/items"
    client.conversations.create(extra_body={"id": "tree", "user": "mara", "title": "Tree"})
    for raw in (
        """{"items": [ {"role":"user" , "content":"caf\\u00e9 \\n", "id":"a",
          "created_at":"2024-05-06T07:08:09.25+05:30"},
          {"role":"assistant","content":"b","id":"b"}]}""",
        """{"items": [{"role":"user","content":"c","id":"c","metadata":{"k":"v"},"name":"Ann"}]}""",
        """{"items": [{"role":"user","content":"d","id":"d"}], "parent": "a"}""",
        """{"items": [{"role":"user","content":"e","id":"e"}], "parent": null}""",
    ):
        client.post(path, cast_to=dict[str, object], content=raw.encode(), options=JSON_BODY)
    client.post("/conversations/tree", cast_to=dict[str, object], body={"head": "c"})
    client.conversations.items.delete("b", conversation_id="tree")


@pytest.fixture(params=["folder", "server"])
def ingest_elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Path], str]:
    def into_folder(path: Path) -> str:
        assert ingest(path, "--data-dir", tmp_path / "other").exit_code == 0
        return export(tmp_path / "other")

    def into_server(path: Path) -> str:
        from_settings = Settings(data_dir=tmp_path / "other", port=0, log_level="warning")
        with running(from_settings, "tests") as url:
            result = ingest(path, "--url", url)
            assert result.exit_code == 0, result.output
        return export(tmp_path / "other")

    return into_folder if request.param == "folder" else into_server


def test_export_survives_ingestion(
    client: openai.OpenAI, tmp_path: Path, ingest_elsewhere: Callable[[Path], str]
) -> None:
    _store_two_branches(client)
    before = export(tmp_path / "data")
    assert "caf\\\\u00e9 \\\\n" in before
    path = tmp_path / "export.jsonl"
    path.write_text(before)
    assert ingest_elsewhere(path) == before


def test_two_items_with_one_id_keep_their_texts(history: Path, tmp_path: Path) -> None:
    ingest(history, "--data-dir", tmp_path / "data")
    talk = json.loads(export(tmp_path / "data").splitlines()[0])
    first, _, last = talk["items"]
    last["id"] = talk["head"] = first["id"]
    path, folder = tmp_path / "export.jsonl", tmp_path / "other"
    path.write_text(json.dumps(talk) + "\n")
    result = ingest(path, "--data-dir", folder, "--json")
    assert report(result)["turns"]["stored"] == 3
    verified = CliRunner().invoke(service_app, ["verify", "--data-dir", str(folder)])
    assert verified.exit_code == 0, verified.output


def test_copy_under_other_id_verifies(history: Path, tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy.jsonl"
    ingest(history, "--data-dir", data)
    copy.write_text(export(data).replace('"conv_', '"copy_'))
    result = ingest(copy, "--data-dir", data, "--json")
    assert report(result)["turns"]["stored"] == 5
    verified = CliRunner().invoke(service_app, ["verify", "--data-dir", str(data)])
    assert verified.exit_code == 0, verified.output


def test_ctrl_c_and_resume(tmp_path: Path) -> None:
    path, folder = tmp_path / "conversations.json", tmp_path / "data"
    turns = write_export(path, 3)
    command = [sys.executable, "-m", "ingest", str(path), "--data-dir", str(folder), "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (folder / "turn_log.sqlite3-wal").exists():
        assert time.monotonic() < deadline
        signal.sigtimedwait([], 0.01)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert "Run the same command again to continue." in errors
    stopped = json.loads(out.splitlines()[-1])["turns"]["stored"]
    assert stopped < turns
    again = report(ingest(path, "--data-dir", folder, "--json"))["turns"]
    assert again["already_there"] == stopped
    assert again["stored"] == turns - stopped


def test_progress_without_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter([0.0, 1.0, 11.0, 12.0, 22.0])
    with show_progress(Console(stderr=True), quiet=False, clock=lambda: next(now)) as display:
        display.reading(1, 100, 10)
        display.reading(50, 100, 2_200)
        display.indexing(500)
        display.indexing(400)
    assert capsys.readouterr().err.splitlines() == [
        "2,200 turns stored, 200 turns/s, about 11 s left",
        "Indexing, 400 vectors left",
    ]
