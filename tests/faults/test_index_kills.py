"""The vector index after kills at random moments: each stored turn is found by its vector."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest

from memory_service.core.settings import Settings
from memory_service.recall.query import Query
from memory_service.service import Service
from tests.faults.test_durability import START_SECONDS, Server, serving
from tests.support.environment import LONG
from tests.support.factories import message
from tests.support.file_search import words_left
from tests.support.storing import eventually, findings, project_key

ROUNDS = 30 if LONG else 5
AT_ONCE = 100


def post(server: Server, conversation: str, texts: Sequence[str]) -> None:
    """Store a conversation in one request."""
    body = {"id": conversation, "user": "ana", "items": [message(text) for text in texts]}
    httpx2.post(f"{server.address}/v1/conversations", json=body, timeout=60).raise_for_status()


def text_of(conversation: str, turn: int) -> str:
    """Return a text unlike all others; turns count from 1,000: "0" is a part of "r2-0"."""
    return f"{conversation} says {1_000 + turn}"


def keep_busy(server: Server, round_number: int, chance: random.Random) -> None:
    """Store conversations, delete one of the last round, and wait for a random moment."""
    for number in range(chance.randint(1, 6)):
        name = f"r{round_number}-{number}"
        post(server, name, [text_of(name, turn) for turn in range(AT_ONCE)])
    post(server, f"deleted-{round_number}", [f"quokkaberries {turn}" for turn in range(AT_ONCE)])
    if round_number:
        url = f"{server.address}/v1/conversations/deleted-{round_number - 1}"
        httpx2.delete(url, timeout=60).raise_for_status()
    limit = chance.randint(0, 8 * AT_ONCE)
    eventually(lambda: server.ready()["lag"] <= limit, START_SECONDS)


@pytest.mark.timeout(60 * 60 if LONG else 300)
def test_turns_are_found_by_vector_after_kills_at_random_moments(tmp_path: Path) -> None:
    folder, chance = tmp_path / "data", random.Random(os.getpid())
    for round_number in range(ROUNDS):
        with serving(folder) as server:
            keep_busy(server, round_number, chance)
            server.kill()
    with Service.open(Settings(data_dir=folder, exact_scan_max=0), purpose="tests") as service:
        project = project_key(service)
        service.deletions.delete_conversation(project, f"deleted-{ROUNDS - 1}")
        eventually(lambda: is_indexed_and_erased(service), 300)
        assert findings(service, with_index=True) == []
        for round_number in range(ROUNDS):
            name = f"r{round_number}-0"
            turn = text_of(name, chance.randrange(AT_ONCE))
            result = service.recaller.in_conversation(project, name, Query(turn, top_k=1))
            assert result.degraded is None
            assert [hit.turn.text for hit in result.hits] == [turn]
        assert words_left(folder, ["quokkaberries"]) == set()


def is_indexed_and_erased(service: Service) -> bool:
    """Return whether the index queue is empty and the erasure is complete."""
    status = service.index_status()
    return status.lag == 0 and not status.erasure_is_pending
