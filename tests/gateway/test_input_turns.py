"""The turns that the new messages of a request become."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memory_service.conversations.echo import METADATA_KEY
from memory_service.gateway.history_alignment import Alignment
from memory_service.gateway.input_turns import new_turns
from memory_service.gateway.locating import LocatedRequest
from memory_service.gateway.request import ChatRequest
from memory_service.items.conversation_items import ItemLimits
from tests.support.factories import message

BLOCK = "<recalled_turns>\n[2025-03-04 Mara] the locker is 8314\n</recalled_turns>"


def turns_of(*messages: dict[str, Any]) -> Any:
    body = {"messages": list(messages)}
    chat = ChatRequest(json.dumps(body), body)
    located = LocatedRequest(chat, 1, "c", None, Alignment(parent_key=None, first_new=0))
    return new_turns(located, ItemLimits(max_text_chars=1_000, max_nesting=10))


@pytest.mark.parametrize("fields", [{}, {"id": "m1"}, {"metadata": {"mood": "calm"}}])
def test_echo_only_adds_metadata(fields: dict[str, Any]) -> None:
    (plain,) = turns_of(message("so?", **fields))
    (turn,) = turns_of(message(f"{BLOCK} so?", **fields))
    assert turn.metadata == {**(plain.metadata or {}), METADATA_KEY: f"0-{len(BLOCK)}"}
    assert turn.id_given == plain.id_given == ("id" in fields)
    assert turn.id == plain.id if turn.id_given else turn.id.startswith("msg_")
