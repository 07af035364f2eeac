"""The content hash of items."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memory_service.items.item_view import show_item
from tests.support.factories import (
    LIMITS,
    chat_calls,
    chat_output,
    function_call,
    function_output,
    make_turn,
    message,
    new_turn,
)
from tests.support.item_examples import ITEMS


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_string_and_single_text_part_have_the_same_hash(text: str) -> None:
    spellings = [
        message(text),
        message([{"type": "text", "text": text}], type="message"),
        message([{"type": "input_text", "text": text}], id="a", status="completed"),
        message([{"text": text, "type": "output_text", "annotations": []}], created_at=5),
        message(text, metadata={"a": "b"}, object="item", name=None),
    ]
    assert len({new_turn(item).content_hash for item in spellings}) == 1


def test_different_content_has_a_different_hash() -> None:
    items = [
        message("hello"),
        message("hello "),
        message("hello", "assistant"),
        message("hello", name="Anna"),
        message([{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]),
        message([]),
        message(""),
        message([{"type": "input_image", "image_url": "https://x.test/a.png"}]),
        message([{"type": "input_image", "image_url": "https://x.test/b.png"}]),
        chat_calls("a"),
        chat_calls("b"),
        chat_output("a"),
        chat_output("b"),
        function_call("a"),
        function_call("b"),
        function_call("a", arguments="{}"),
        function_output("a"),
        {"type": "item_reference", "id": "msg_1"},
        {"type": "item_reference", "id": "msg_2"},
    ]
    assert len({new_turn(item).content_hash for item in items}) == len(items)


def test_shown_item_has_the_hash_of_the_sent_item() -> None:
    for item, _, _ in ITEMS:
        assert (
            new_turn(show_item(make_turn(item), LIMITS.max_nesting)).content_hash
            == new_turn(item).content_hash
        )
