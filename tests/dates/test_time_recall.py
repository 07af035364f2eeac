"""Recall of questions about times that were not used to write the grammar.

`time_questions.jsonl` was written before the grammar had other languages and events, and nothing
was tuned on it. Its recall@10 was 0.68 then.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from memory_service.core.clock import parse_time
from memory_service.embedded import Memory
from memory_service.recall.query import Query
from tests.support.own_set import stored_memory

QUESTIONS = [
    json.loads(line)
    for line in (Path(__file__).parent / "time_questions.jsonl").read_text("utf-8").splitlines()
]


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with stored_memory(tmp_path_factory.mktemp("own")) as memory:
        yield memory


def recalled_ids(memory: Memory, conversation: str, question: str, now: str) -> list[str]:
    service = memory._service  # noqa: SLF001 - the library searches by its own clock
    moment, offset = parse_time(now, "now")
    query = Query(question, 10, now=moment, utc_offset_minutes=offset)
    recall = service.recaller.in_conversation(service.local_project(), conversation, query)
    return [hit.turn.id for hit in recall.hits]


def test_time_questions_recall_turns_of_that_time(memory: Memory) -> None:
    shares = []
    for case in QUESTIONS:
        assert datetime.fromisoformat(case["now"]).tzinfo
        ids = recalled_ids(memory, case["conv"], case["question"], case["now"])
        shares.append(len(set(ids) & set(case["gold"])) / len(case["gold"]))
    assert len(shares) == 30
    assert sum(shares) / len(shares) >= 0.9


def test_event_is_dated_by_its_turn(memory: Memory) -> None:
    # Said on 23 July: "Surgery is on Tuesday 13 August".
    ids = recalled_ids(
        memory, "tess-1", "How was Dad on the day he was operated on?", "2025-03-05T12:00:00+00:00"
    )
    assert "tess-1-037" in ids
