"""The role and the indexed text of items."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.factories import new_turn
from tests.support.item_examples import ITEMS, MESSAGES


@pytest.mark.parametrize(("item", "role", "text"), ITEMS, ids=lambda value: str(value)[:40])
def test_role_and_text_of_each_item_type(item: dict[str, Any], role: str, text: str) -> None:
    turn = new_turn(item)
    assert (turn.kind, turn.role, turn.text) == (item["type"], role, text)


@pytest.mark.parametrize(("item", "text"), MESSAGES, ids=lambda value: str(value)[:40])
def test_text_of_a_message_is_that_of_all_parts(item: dict[str, Any], text: str) -> None:
    turn = new_turn(item)
    assert (turn.kind, turn.role, turn.text) == ("message", item["role"], text)
