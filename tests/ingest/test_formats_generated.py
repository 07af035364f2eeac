"""Properties of all formats on generated and mutated files: turns, order, times, ids."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.transcripts import FormatOptions
from memory_service.items.conversation_items import ItemLimits, parse_item
from memory_service.items.strict_json import loads
from tests.support.environment import LONG
from tests.support.reading import EXPORTS, read, text_of

EVERYTHING = FormatOptions(branches="all", reasoning=True, sidechains=True)
BEGIN = datetime(2024, 3, 5, 8, 0, tzinfo=UTC)


class GeneratedTurn(NamedTuple):
    """One turn of a conversation; `minute` counts from its beginning."""

    role: str
    text: str
    minute: int


def talks(alphabet: str | None) -> st.SearchStrategy[list[GeneratedTurn]]:
    """Return conversations of a user and an assistant, with texts of these characters."""
    any_character = st.characters(codec="utf-8", exclude_characters="\x00")
    letters = any_character if alphabet is None else st.sampled_from(alphabet)
    texts = st.text(letters, min_size=1, max_size=40).map(str.strip).filter(bool)
    pauses = st.integers(0, 10_000)
    return st.lists(st.tuples(texts, pauses), min_size=2, max_size=8).map(_as_talk)


def _as_talk(texts: list[tuple[str, int]]) -> list[GeneratedTurn]:
    roles = ("user", "assistant")
    minutes = [sum(pause for _, pause in texts[: number + 1]) for number in range(len(texts))]
    return [GeneratedTurn(roles[n % 2], text, minutes[n]) for n, (text, _) in enumerate(texts)]


def time(turn: GeneratedTurn) -> datetime:
    return BEGIN + timedelta(minutes=turn.minute)


def claude_code(talk: list[GeneratedTurn]) -> str:
    lines = []
    for number, turn in enumerate(talk):
        lines.append(
            {
                "type": turn.role,
                "uuid": f"line-{number}",
                "parentUuid": f"line-{number - 1}" if number else None,
                "sessionId": "s",
                "timestamp": time(turn).isoformat(),
                "message": {"role": turn.role, "id": f"m{number}", "content": turn.text},
            }
        )
    return "\n".join(map(json.dumps, lines))


def codex(talk: list[GeneratedTurn]) -> str:
    begin = {"type": "session_meta", "payload": {"id": "s", "cwd": "/"}}
    items = [
        {
            "type": "response_item",
            "timestamp": time(turn).isoformat(),
            "payload": {
                "type": "message",
                "role": turn.role,
                "content": [{"type": "input_text", "text": f"> {turn.text}"}],
            },
        }
        for turn in talk
    ]
    return "\n".join(map(json.dumps, (begin, *items)))


def messages(talk: list[GeneratedTurn]) -> str:
    return json.dumps({"messages": [{"role": turn.role, "content": turn.text} for turn in talk]})


def sharegpt(talk: list[GeneratedTurn]) -> str:
    speakers = {"user": "human", "assistant": "gpt"}
    turns = [{"from": speakers[turn.role], "value": turn.text} for turn in talk]
    return json.dumps([{"id": "1", "conversations": turns}])


def slack(talk: list[GeneratedTurn]) -> str:
    return json.dumps(
        [
            {
                "type": "message",
                "user": turn.role,
                "ts": f"{int(time(turn).timestamp())}.{number:06}",
                "text": turn.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
            }
            for number, turn in enumerate(talk)
        ]
    )


def whatsapp(talk: list[GeneratedTurn]) -> str:
    return "\n".join(f"{time(turn):%d.%m.%Y, %H:%M} - {turn.role}: {turn.text}" for turn in talk)


def dialogue(talk: list[GeneratedTurn]) -> str:
    return "\n".join(f"{turn.role.title()}: {turn.text}" for turn in talk)


# Characters that do not begin a turn in a text format.
PLAIN = "aZ é漢🎉.,;!?\n"
FORMATS: dict[str, tuple[Callable[[list[GeneratedTurn]], str], str | None, str]] = {
    "claude_code": (claude_code, None, "s.jsonl"),
    "codex": (codex, None, "s.jsonl"),
    "messages": (messages, None, "m.jsonl"),
    "sharegpt": (sharegpt, None, "c.json"),
    "slack": (slack, None, "2024-03-05.json"),
    "whatsapp": (whatsapp, PLAIN, "chat.txt"),
    "dialogue": (dialogue, PLAIN, "talk.txt"),
}
WITH_TIMES = ("claude_code", "codex", "slack", "whatsapp")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("talks")


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_every_turn_is_read_in_order(name: str, folder: Path, data: st.DataObject) -> None:
    render, alphabet, file = FORMATS[name]
    talk = data.draw(talks(alphabet))
    path = folder / file
    path.write_text(render(talk), "utf-8")
    reading = read(path, name)
    (transcript,) = reading.transcripts
    items = transcript.items
    shown = [text_of(item).removeprefix("> " if name == "codex" else "").strip() for item in items]
    assert shown == [turn.text for turn in talk]
    speakers = [item.name or loads(item.raw, max_nesting=9)["role"] for item in items]
    assert speakers == [turn.role for turn in talk]
    assert [item.parent for item in items] == [None, *(item.id for item in items[:-1])]
    assert transcript.head == items[-1].id
    times = [
        None if item.created_at is None else datetime.fromisoformat(item.created_at)
        for item in items
    ]
    if name in WITH_TIMES:
        assert [read_time and read_time.replace(microsecond=0) for read_time in times] == list(
            map(time, talk)
        )
    else:
        assert {(item.created_at, (item.metadata or {}).get("time")) for item in items} == {
            (None, "unknown")
        }
    assert reading.warnings == [] or name == "whatsapp"


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_ids_of_grown_and_edited_files(name: str, folder: Path, data: st.DataObject) -> None:
    render, alphabet, file = FORMATS[name]
    talk = data.draw(talks(alphabet))
    path = folder / file

    def ids(turns: list[GeneratedTurn]) -> list[str]:
        path.write_text(render(turns), "utf-8")
        # The last message may decide which number is the day.
        (transcript,) = read(path, name, FormatOptions(date_order="dmy")).transcripts
        return [transcript.id, *(item.id for item in transcript.items)]

    whole = ids(talk)
    assert len(set(whole)) == len(whole)
    count = data.draw(st.integers(2, len(talk)))
    assert ids(talk[:count]) == whole[: count + 1]
    edited = [*talk[:-1], talk[-1]._replace(text=f"{talk[-1].text} indeed")]
    if len(talk) > 2 and name != "slack":  # Its ids do not depend on texts; the log detects edits.
        assert ids(edited)[:-1] == whole[:-1]
        assert ids(edited)[-1] != whole[-1]


@given(data=st.data())
def test_branches_and_tool_groups_of_lines(folder: Path, data: st.DataObject) -> None:
    lines: list[dict[str, Any]] = []
    parents: list[int | None] = []
    ends: list[str] = []
    tools: list[int] = []
    for number in range(data.draw(st.integers(1, 5))):
        above = data.draw(st.sampled_from(range(number))) if number else None
        count = data.draw(st.integers(0, 3))
        ends.append(_exchange(data, lines, number, None if above is None else ends[above], count))
        parents.append(above)
        tools.append(count)
    path = folder / "tree.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    everything, active = (
        read(path, "claude_code", options).transcripts[0]
        for options in (EVERYTHING, FormatOptions())
    )
    assert len(everything.items) == sum(2 + count + bool(count) for count in tools)
    on_path = []
    index: int | None = len(parents) - 1
    while index is not None:
        on_path.append(index)
        index = parents[index]
    questions = [text_of(item) for item in active.items if '"role":"user"' in item.raw]
    assert questions == [f"question {number}" for number in reversed(on_path)]
    _check_tool_groups(everything.items)
    _check_tool_groups(active.items)
    assert sum(active.skipped.values()) == len(everything.items) - len(active.items)


def _exchange(
    data: st.DataObject, lines: list[dict[str, Any]], number: int, above: str | None, count: int
) -> str:
    """Write a question and its answer, with tool calls and results in any order."""

    def write(kind: str, uuid: str, parent: str | None, message: dict[str, Any]) -> str:
        lines.append(
            {
                "type": kind,
                "uuid": uuid,
                "parentUuid": parent,
                "sessionId": "s",
                "timestamp": (BEGIN + timedelta(seconds=len(lines))).isoformat(),
                "message": message,
            }
        )
        return uuid

    question_uuid = write(
        "user", f"q{number}", above, {"role": "user", "content": f"question {number}"}
    )
    text = [{"type": "text", "text": f"thinking about {number}"}]
    last_answer = write(
        "assistant", f"a{number}", question_uuid, {"id": f"m{number}", "content": text}
    )
    open_calls: list[int] = []
    called = 0
    last = last_answer
    while called < count or open_calls:
        if called < count and (not open_calls or data.draw(st.booleans())):
            call = [{"type": "tool_use", "id": f"call{number}-{called}", "name": "f", "input": {}}]
            message = {"id": f"m{number}", "content": call}
            last_answer = write("assistant", f"t{number}-{called}", last_answer, message)
            open_calls.append(called)
            called += 1
        else:
            call_number = open_calls.pop(data.draw(st.integers(0, len(open_calls) - 1)))
            result = [
                {
                    "type": "tool_result",
                    "tool_use_id": f"call{number}-{call_number}",
                    "content": "x",
                }
            ]
            message = {"role": "user", "content": result}
            last = write("user", f"r{number}-{call_number}", f"t{number}-{call_number}", message)
    if not count:
        return last_answer
    done = [{"type": "text", "text": f"done with {number}"}]
    return write("assistant", f"z{number}", last, {"id": f"n{number}", "content": done})


def _check_tool_groups(items: Any) -> None:
    """Check that the results of calls follow them directly, each once."""
    waiting: set[str] = set()
    parent = None
    for item in items:
        value = loads(item.raw, max_nesting=16)
        if value["role"] == "tool":
            assert item.parent == parent
            waiting.remove(value["tool_call_id"])
        else:
            assert not waiting
            waiting = {call["id"] for call in value.get("tool_calls", ())}
        parent = item.id
    assert not waiting


FILES = [
    path
    for name in (*FORMATS, "chatgpt", "claude_ai")
    for path in sorted((EXPORTS / name).rglob("*.*"))
    if path.suffix in (".jsonl", ".json", ".txt", ".md")
]
ODD: list[Any] = [
    *(None, True, 0, -1, 1e300, 10**30, "", " ", "x", "\ud800", "\x00", "A" * 600),
    *([], {}, [[]], [None], [7], {"a": 1}, {"id": []}, {"text": {}}, ["x"], [{}]),
]


def _with_odd_value(value: Any, data: st.DataObject) -> Any:
    """Return a value in which one part, anywhere, is replaced by an odd value."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: _with_odd_value(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        index = data.draw(st.integers(0, len(value) - 1))
        return [*value[:index], _with_odd_value(value[index], data), *value[index + 1 :]]
    return data.draw(st.sampled_from(ODD))


def _mutated(raw: bytes, data: st.DataObject) -> bytes:
    """Return bytes with a range deleted, doubled or replaced, or with an odd JSON value."""
    lines = raw.split(b"\n")
    index = data.draw(st.integers(0, len(lines) - 1))
    for whole in (lines[index], raw):
        if data.draw(st.booleans()) and whole.lstrip()[:1] in (b"{", b"["):
            try:
                value = json.loads(whole)
            except ValueError:
                continue
            odd = json.dumps(_with_odd_value(value, data)).encode()
            return odd if whole is raw else b"\n".join([*lines[:index], odd, *lines[index + 1 :]])
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(raw))] * 2)))
    middle = data.draw(
        st.sampled_from(
            [b"", raw[start:end] * 2, b"\xff", b"\x00", b'"', b"[{", b"\n:\n", b"9" * 400]
        )
    )
    return raw[:start] + middle + raw[end:]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
@settings(max_examples=1_000 if LONG else 60)
@given(data=st.data())
def test_mutated_files_give_trees_or_warnings(
    path: Path, folder: Path, data: st.DataObject
) -> None:
    name = path.relative_to(EXPORTS).parts[0]
    damaged = folder / "spoiled" / path.name
    source = damaged
    if name == "slack":
        source = folder / "workspace"
        shutil.copytree(EXPORTS / "slack/workspace", source, dirs_exist_ok=True)
        damaged = source / path.relative_to(EXPORTS / "slack/workspace")
    damaged.parent.mkdir(exist_ok=True)
    raw = path.read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        raw = _mutated(raw, data)
    damaged.write_bytes(raw)
    options = data.draw(
        st.sampled_from([FormatOptions(), EVERYTHING, FormatOptions(date_order="ymd")])
    )
    for transcript in read(source, name, options).transcripts:
        ids: set[str | None] = {None}
        for item in transcript.items:
            assert item.parent in ids
            ids.add(item.id)
            assert item.name is None or 0 < len(item.name) <= 128
            assert all(isinstance(value, str) for value in (item.metadata or {}).values())
        assert transcript.head in ids
        assert len(ids) == len(transcript.items) + 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_service_accepts_items_of_all_formats(path: Path) -> None:
    limits = ItemLimits(max_text_chars=1_000_000, max_nesting=16)
    for item in read(path, path.relative_to(EXPORTS).parts[0], EVERYTHING).items:
        value = loads(item.raw, max_nesting=16)
        if value.get("role") != "wizard":
            stored_as = {"id": item.id, "created_at": item.created_at, "metadata": item.metadata}
            assert parse_item(value, item.raw, stored_as, limits, "item").id == item.id
