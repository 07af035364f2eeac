"""Transcripts in: what is stored, what is found again, and what is said about the rest."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._types import RequestOptions
from rich.console import Console
from typer.testing import CliRunner, Result

from ingest.cli import app
from ingest.progress import progress
from ingest.runs import Ready, runs
from memory_service.commands.main import app as service_app
from memory_service.core.errors import StartupError
from memory_service.core.settings import Settings
from memory_service.server import running
from tests.support.chatgpt_export import write_export
from tests.support.factories import message, new_turn

JSON_BODY: RequestOptions = {"headers": {"content-type": "application/json"}}


def ingest(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def report(result: Result) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = json.loads(result.stdout.splitlines()[-1])
    return found


def export(folder: Path) -> str:
    result = CliRunner().invoke(service_app, ["export", "--data-dir", str(folder)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "history.jsonl"
    talks = [
        [("system", "Be brief."), ("user", "My cat is called Pixel."), ("assistant", "Noted.")],
        [("user", "Which wine goes with carp?"), ("assistant", "A Riesling.")],
    ]
    path.write_text(
        "".join(
            json.dumps({"messages": [{"role": role, "content": said} for role, said in talk]})
            + "\n"
            for talk in talks
        )
    )
    return path


def test_a_messages_file_is_recognised_and_stored(history: Path, tmp_path: Path) -> None:
    result = ingest(history, "--data-dir", tmp_path / "data", "--json")
    assert result.exit_code == 0, result.output
    assert report(result)["conversations"]["stored"] == 2
    assert report(result)["turns"]["stored"] == 5


def test_running_twice_stores_nothing_new(history: Path, tmp_path: Path) -> None:
    ingest(history, "--data-dir", tmp_path / "data")
    before = export(tmp_path / "data")
    result = ingest(history, "--data-dir", tmp_path / "data", "--json")
    assert report(result)["conversations"] == {"read": 2, "stored": 0, "grown": 0, "unchanged": 2}
    assert export(tmp_path / "data") == before


def test_a_conversation_that_grew_gets_its_new_turns_only(history: Path, tmp_path: Path) -> None:
    ingest(history, "--data-dir", tmp_path / "data")
    first, second = history.read_text().splitlines()
    grown = json.loads(second)
    grown["messages"].append({"role": "user", "content": "And with cheese?"})
    history.write_text(f"{first}\n{json.dumps(grown)}\n")
    result = ingest(history, "--data-dir", tmp_path / "data", "--json")
    assert report(result)["conversations"]["grown"] == 1
    assert report(result)["turns"]["stored"] == 1


def test_a_bad_record_is_reported_and_the_rest_is_stored(history: Path, tmp_path: Path) -> None:
    history.write_text("{broken\n" + history.read_text() + '{"messages": 3}\n')
    result = ingest(history, "--format", "messages", "--data-dir", tmp_path / "data", "--json")
    assert result.exit_code == 1
    assert [one["record"] for one in json.loads(result.stdout.splitlines()[-1])["warnings"]] == [
        1,
        4,
    ]
    assert report(result)["conversations"]["stored"] == 2


def test_json_is_the_last_line_where_nothing_is_usable_too(tmp_path: Path) -> None:
    path = tmp_path / "notes.bin"
    path.write_bytes(b"\x00\x01 no transcript")
    command = [sys.executable, "-m", "ingest", str(path), "--data-dir", str(tmp_path), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "none of the known formats" in result.stderr
    assert "Traceback" not in result.stderr
    counts = json.loads(result.stdout.splitlines()[-1])
    assert counts["conversations"] == {"read": 0, "stored": 0, "grown": 0, "unchanged": 0}


def test_an_invalid_message_is_counted_as_skipped(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    said = [{"role": "user", "content": "Hello"}, {"role": "wizard", "content": "Abracadabra"}]
    path.write_text(json.dumps({"messages": said}))
    result = ingest(path, "--data-dir", tmp_path / "data", "--json")
    assert report(result)["turns"] == {
        "read": 2,
        "stored": 1,
        "already_there": 0,
        "skipped": {"invalid": 1},
    }


@pytest.mark.parametrize("content", ["", "just some words\n", "\x00\xff", '{"a": 1}\n'])
def test_what_is_no_known_format_exits_2_and_names_them(content: str, tmp_path: Path) -> None:
    path = tmp_path / "what.txt"
    path.write_text(content, encoding="latin-1")
    result = ingest(path, "--data-dir", tmp_path / "data")
    assert result.exit_code != 0
    assert "messages" in str(result.exception)


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize("text", ["yesterday", "2024-02-30", "0000-01-01", "99999-01-01"])
def test_what_is_no_time_is_one_message(history: Path, option: str, text: str) -> None:
    result = ingest(history, option, text)
    assert isinstance(result.exception, StartupError)
    assert option in str(result.exception)


def test_the_calendars_last_day_has_no_next_and_is_one_message(history: Path) -> None:
    assert isinstance(ingest(history, "--until", "9999-12-31").exception, StartupError)


def test_a_line_that_is_not_utf8_spoils_only_itself(history: Path, tmp_path: Path) -> None:
    bad = b'{"messages": [{"role": "user", "content": "\xff"}]}\n'
    history.write_bytes(history.read_bytes() + bad)
    result = ingest(history, "--data-dir", tmp_path / "data", "--json")
    assert result.exit_code == 1
    assert report(result)["conversations"]["stored"] == 2


def test_a_server_that_holds_the_folder_is_named(
    history: Path, tmp_path: Path, address: str
) -> None:
    assert address
    result = ingest(history, "--data-dir", tmp_path / "data")
    assert "--url" in str(result.exception)


def test_ingesting_into_a_server_stores_the_same(
    history: Path, client: openai.OpenAI, address: str
) -> None:
    result = ingest(history, "--url", address, "--user", "mara", "--json")
    assert result.exit_code == 0, result.output
    again = ingest(history, "--url", address, "--user", "mara", "--json")
    assert report(again)["conversations"]["unchanged"] == 2
    found = client.get("/conversations", cast_to=dict[str, object], options={"params": {}})
    assert len(found["data"]) == 2  # type: ignore[arg-type]


def _two_branches(client: openai.OpenAI) -> None:
    """Store a conversation with odd spellings, times, a deletion and two branches."""
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
        with running(from_settings, "tests") as other:
            result = ingest(path, "--url", other)
            assert result.exit_code == 0, result.output
        return export(tmp_path / "other")

    return into_folder if request.param == "folder" else into_server


def test_export_ingest_export_is_identical(
    client: openai.OpenAI, tmp_path: Path, ingest_elsewhere: Callable[[Path], str]
) -> None:
    _two_branches(client)
    before = export(tmp_path / "data")
    assert "caf\\\\u00e9 \\\\n" in before
    path = tmp_path / "export.jsonl"
    path.write_text(before)
    assert ingest_elsewhere(path) == before


def test_two_items_of_one_id_keep_their_own_words(history: Path, tmp_path: Path) -> None:
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


def test_a_copy_under_another_id_has_new_ids_and_can_be_found(
    history: Path, tmp_path: Path
) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy.jsonl"
    ingest(history, "--data-dir", data)
    copy.write_text(export(data).replace('"conv_', '"copy_'))
    result = ingest(copy, "--data-dir", data, "--json")
    assert report(result)["turns"]["stored"] == 5
    verified = CliRunner().invoke(service_app, ["verify", "--data-dir", str(data)])
    assert verified.exit_code == 0, verified.output


@given(st.data())
def test_runs_hold_every_item_once_with_its_parent_stored_before(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 30))
    items = [
        Ready(
            id=str(number),
            parent=data.draw(st.sampled_from([None, *map(str, range(number))])),
            gap_before=data.draw(st.booleans()),
            raw="{}",
            turn=new_turn(message()),
            stored_as={},
        )
        for number in range(count)
    ]
    cut = list(runs(items))
    assert [item for run in cut for item in run.items] == items
    for run in cut:
        assert run.parent == run.items[0].parent
        for before, after in zip(run.items, run.items[1:], strict=False):
            assert after.parent == before.id
            assert not after.gap_before


def test_ctrl_c_stops_between_conversations_and_the_same_command_goes_on(tmp_path: Path) -> None:
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
    out, said = process.communicate(timeout=240)
    assert process.returncode == 130, said
    assert "Run the same command again to go on." in said
    stopped = json.loads(out.splitlines()[-1])["turns"]["stored"]
    assert stopped < turns
    again = report(ingest(path, "--data-dir", folder, "--json"))["turns"]
    assert again["already_there"] == stopped
    assert again["stored"] == turns - stopped


@pytest.fixture
def moody_server() -> Iterator[tuple[str, list[str]]]:
    """Return a server that fails every request once, in one way after another, and what it got."""
    asked: list[str] = []
    failures = itertools.cycle([503, 429, 500, 502])
    stored: dict[str, int] = {}

    class Moody(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            key = self.headers["idempotency-key"]
            asked.append(f"{key} {self.path}")
            stored[key] = stored.get(key, 0) + 1
            if stored[key] == 1:
                self._answer(next(failures), {"error": {"message": "Not now."}})
            else:
                self._answer(200, {}, str(body.count('"role"')))

        def _answer(self, status: int, value: object, new: str = "0") -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            for name, text in (
                ("retry-after", "0"),
                ("x-memory-items-new", new),
                ("content-length", str(len(content))),
            ):
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_failures_that_pass_are_tried_again_with_the_same_key(
    history: Path, moody_server: tuple[str, list[str]]
) -> None:
    address, asked = moody_server
    result = ingest(history, "--url", address, "--json")
    assert result.exit_code == 0, result.output
    assert report(result)["turns"]["stored"] == 5
    assert len(asked) == 8  # Two conversations, each made and filled, each request twice.
    assert set(Counter(asked).values()) == {2}


def test_a_server_that_is_not_there_is_one_message(history: Path) -> None:
    result = ingest(history, "--url", "http://127.0.0.1:9")
    assert result.exit_code != 0
    assert "No server answers at http://127.0.0.1:9" in str(result.exception)


def test_without_a_terminal_progress_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter([0.0, 1.0, 11.0, 12.0, 22.0])
    with progress(Console(stderr=True), quiet=False, clock=lambda: next(now)) as shown:
        shown.reading(1, 100, 10)
        shown.reading(50, 100, 2_200)
        shown.indexing(500)
        shown.indexing(400)
    assert capsys.readouterr().err.splitlines() == [
        "2,200 turns stored, 200 turns/s, about 11 s left",
        "Indexing, 400 to go",
    ]
