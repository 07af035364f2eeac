"""Stored items as OpenAI's clients read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from openai._models import construct_type
from openai.types.conversations import Message
from openai.types.conversations.conversation_item import ConversationItem
from pydantic import BaseModel, TypeAdapter

from memory_service.items.item_view import show_item
from tests.support.factories import LIMITS, make_turn, message, new_turn
from tests.support.item_examples import ITEMS, MESSAGES

CLIENT: TypeAdapter[Any] = TypeAdapter(ConversationItem)


def show(item: dict[str, Any]) -> dict[str, Any]:
    return show_item(make_turn(item), LIMITS.max_nesting)


def client_classes() -> Iterator[type[BaseModel]]:
    union, *_ = get_args(ConversationItem)
    yield from get_args(union)


def kinds_of(model: type[BaseModel]) -> tuple[str, ...]:
    return get_args(model.model_fields["type"].annotation)


def test_examples_have_every_type_of_openais_client() -> None:
    types = {kind for model in client_classes() for kind in kinds_of(model)}
    assert types == {item["type"] for item, _, _ in ITEMS}


@pytest.mark.parametrize("item", [item for item, _, _ in ITEMS], ids=lambda item: item["type"])
def test_openais_client_parses_each_item_type(item: dict[str, Any]) -> None:
    parsed = CLIENT.validate_python(show(item))
    assert parsed.id == "item_1"
    assert item["type"] in kinds_of(type(parsed))


@pytest.mark.parametrize("item", [item for item, _ in MESSAGES], ids=lambda item: str(item)[:40])
def test_openais_client_parses_chat_messages_as_messages(item: dict[str, Any]) -> None:
    parsed = construct_type(type_=ConversationItem, value=show(item))
    assert isinstance(parsed, Message)
    assert (parsed.id, parsed.role, parsed.status) == ("item_1", item["role"], "completed")


@pytest.mark.parametrize(
    ("role", "part", "shown"),
    [
        ("user", {"type": "text", "text": "a"}, {"type": "input_text", "text": "a"}),
        ("tool", {"type": "text", "text": "a"}, {"type": "input_text", "text": "a"}),
        ("user", {"type": "input_text", "text": "a"}, {"type": "input_text", "text": "a"}),
        (
            "assistant",
            {"type": "text", "text": "a"},
            {"type": "output_text", "text": "a", "annotations": []},
        ),
        (
            "assistant",
            {"type": "output_text", "text": "a"},
            {"type": "output_text", "text": "a", "annotations": []},
        ),
        (
            "user",
            {"type": "input_image", "file_id": "f"},
            {"type": "input_image", "file_id": "f", "detail": "auto"},
        ),
        (
            "user",
            {"type": "input_image", "file_id": "f", "detail": "low"},
            {"type": "input_image", "file_id": "f", "detail": "low"},
        ),
    ],
)
def test_part_is_shown_as_the_client_expects(
    role: str, part: dict[str, Any], shown: dict[str, Any]
) -> None:
    assert show(message([part], role))["content"] == [shown]


def test_string_content_is_shown_as_one_text_part() -> None:
    assert show(message("hi"))["content"] == [{"type": "input_text", "text": "hi"}]


def test_status_that_was_sent_is_shown() -> None:
    assert show(message(status="incomplete"))["status"] == "incomplete"


def test_item_of_unknown_type_is_stored_and_shown_unchanged() -> None:
    item = {"type": "new_thing.v2", "text": "hi", "deep": {"a": [1, None]}}
    assert new_turn(item).text == "hi"
    assert show(item) == {**item, "id": "item_1"}


@pytest.mark.parametrize("item", [{"id": "msg_9"}, {"type": "item_reference", "id": "msg_9"}])
def test_item_reference_gets_its_own_id(item: dict[str, Any]) -> None:
    turn = new_turn(item)
    shown = show(item)
    assert (turn.kind, turn.id_given, shown["id"], shown["item_id"]) == (
        "item_reference",
        False,
        "item_1",
        "msg_9",
    )
