"""The gateway's parts by themselves: answers from chunks, echoes, corrections, stored answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.conversations.echo import (
    METADATA_KEY,
    MIN_WORDS,
    as_metadata,
    echoes,
    indexed_windows,
)
from memory_service.core.settings import Settings
from memory_service.gateway.answers import Answers, before_done
from memory_service.gateway.token_corrections import HIGHEST, LOWEST, MARGIN, Corrections
from memory_service.items.chat_messages import alternating, input_messages
from memory_service.items.conversation_items import MAX_METADATA_VALUE_CHARS
from memory_service.service import Service
from memory_service.text.spans import Span
from tests.support.chatting import new_id
from tests.support.factories import chat_calls, chat_output, make_path, message, new_turn
from tests.support.storing import append, create, findings, idle_service
from tests.support.upstream import ECHO, Reply, Upstream, calls, says


def streamed(reply: Reply) -> bytes:
    """Return the bytes that the stand-in sends for a reply."""

    async def collect() -> bytes:
        chunks = Upstream()._stream({"stream_options": {"include_usage": True}}, reply, USAGE)  # noqa: SLF001 - its bytes, without a socket
        return b"".join([chunk async for chunk in chunks])

    return asyncio.run(collect())


USAGE = {"prompt_tokens": 42}
TWO_CALLS = calls(("look_up", {"city": "Ålesund"}), ("look_up", {"city": "Rome"}), content="Hm")
STREAM = streamed(TWO_CALLS({}))
CHOICES = streamed(says("first", "zweite Antwort", "trois")({}))


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_an_answer_is_the_same_wherever_its_bytes_are_cut(cuts: list[int]) -> None:
    whole, pieces = Answers(), Answers()
    whole.feed(STREAM)
    places = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(places):
        pieces.feed(STREAM[start:end])
    assert pieces.messages() == whole.messages() != []
    assert (pieces.is_complete, pieces.prompt_tokens) == (True, 42)


@given(st.integers(0, len(CHOICES)))
def test_a_stream_that_ends_early_is_incomplete_and_a_beginning_of_the_whole(end: int) -> None:
    cut = Answers()
    cut.feed(CHOICES[:end])
    said = [one["content"] for one in cut.messages()]
    whole = ["first", "zweite Antwort", "trois"]
    assert all(full.startswith(part) for part, full in zip(said, whole, strict=False))
    assert cut.is_complete or said != whole or b"[DONE]" not in CHOICES[:end]


def test_calls_that_came_in_part_are_kept_once_they_have_a_name() -> None:
    answers = Answers()
    answers.feed(STREAM[: STREAM.index(b"Rome")])
    made = answers.messages()[0]["tool_calls"]
    assert json.loads(made[0]["function"]["arguments"]) == {"city": "Ålesund"}
    assert [call["id"] for call in made] == sorted(call["id"] for call in made)


@given(st.binary(max_size=200) | st.builds(lambda v: json.dumps(v).encode(), st.lists(st.none())))
def test_bytes_of_any_kind_are_no_bug(content: bytes) -> None:
    answers = Answers()
    answers.feed(b"data: " + content + b"\n\n")
    answers.whole(content)
    assert answers.messages() == []


def test_the_end_of_a_stream_is_told_apart_from_what_it_says() -> None:
    said, end = before_done(STREAM)
    assert said + end == STREAM
    assert end == b"data: [DONE]\n\n"


WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=MIN_WORDS, max_size=12).map(" ".join)


@given(WORDS, st.text(max_size=30), st.text(max_size=30))
def test_what_was_quoted_is_in_no_passage(quoted: str, before: str, after: str) -> None:
    text = f"{before}\n{quoted}\n{after}"
    marks = as_metadata(echoes(text, [quoted]))
    place = text.index(quoted)
    for window in indexed_windows(text, marks, words=20, overlap=5):
        assert window.end <= place or window.start >= place + len(quoted)


@pytest.mark.parametrize(
    ("text", "quoted", "expected"),
    [
        ("nothing of it", "one two three four five six", []),
        ("One  two three\nfour five six", "one two three four five six", [Span(0, 28)]),
        ("one two", "one two", []),
        ('x <recalled_turns a="b">\n[d] y\n</recalled_turns> z', "", [Span(2, 48)]),
    ],
)
def test_an_echo_is_found(text: str, quoted: str, expected: list[Span]) -> None:
    assert echoes(text, [quoted]) == expected


@pytest.mark.parametrize("value", ["", "x", "1-", "5-2", "1-2,2-3,a"])
def test_marks_that_mean_nothing_leave_a_text_as_it_is(value: str) -> None:
    text = "one two three four five six seven"
    assert indexed_windows(text, {METADATA_KEY: value}, words=20, overlap=5)


def test_many_echoes_fit_into_metadata() -> None:
    marks = as_metadata([Span(10 * n, 10 * n + 5) for n in range(500)])
    assert len(marks[METADATA_KEY]) <= MAX_METADATA_VALUE_CHARS


@pytest.fixture(scope="module")
def corrections(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corrections]:
    with idle_service(Settings(data_dir=tmp_path_factory.mktemp("counts"))) as service:
        yield Corrections(service.log, service.deferred_writer)


@given(st.lists(st.integers(-5, 5_000), min_size=1, max_size=20))
def test_a_correction_is_within_bounds_and_not_below_what_was_seen_last(
    corrections: Corrections, used: list[int]
) -> None:
    model = new_id()
    for one in used:
        corrections.learn(model, 1_000, one)
        factor = corrections.of(model)
        assert factor == 1.0 or LOWEST <= factor <= HIGHEST
        if one > 0:
            assert factor >= min(HIGHEST, max(LOWEST, one / 1_000))
    assert corrections.of(new_id()) == 1.0


def test_a_correction_outlives_the_process(settings: Settings) -> None:
    for expected in (1.0, 1.5 + MARGIN):
        with Service.open(settings, purpose="tests") as service:
            corrections = Corrections(service.log, service.deferred_writer)
            assert corrections.of("m") == pytest.approx(expected)
            corrections.learn("m", 1_000, 1_500)


def test_users_in_a_row_are_one_unless_they_have_names() -> None:
    said = [message("a"), message("b"), message("c", name="ann"), message("d"), message("e")]
    joined = alternating(said)
    assert [one.get("name") for one in joined] == [None, "ann", None]
    assert [part["text"] for part in joined[0]["content"]] == ["a", "b"]
    assert alternating(joined) == joined


def test_stored_input_looks_like_what_came() -> None:
    items = [message("hello"), chat_calls("a", "b"), chat_output("a"), chat_output("b")]
    assert input_messages(make_path(items)) == items


def test_a_log_full_of_branches_siblings_and_echoes_agrees_with_itself(
    settings: Settings,
) -> None:
    with idle_service(settings) as service:
        first = create(service, "c", "hello there", message("one two three", "assistant"))
        append(service, "c", "an edited question", below=first[0].id)
        project = service.local_project()
        text = f"{ECHO}one two three four five six, and something of its own as well"
        marks = as_metadata([Span(10, 37)])
        answers = [
            _answer("live"),
            _answer("beside"),
            _answer(text, metadata=marks),
        ]
        head = append(service, "c", "and now?")[-1]
        stored = service.writer.append_answers(project, "c", head.id, answers)
        assert [turn.active for turn in stored.turns] == [True, False, False]
        late = service.writer.append_answers(project, "c", head.id, [_answer("late")])
        assert [turn.active for turn in late.turns] == [False]
        assert findings(service, with_index=False) == []


def _answer(text: str, **stored_as: Any) -> Any:
    return new_turn(message(text, "assistant"), **stored_as)
