"""The data file of item kinds."""

from __future__ import annotations

import re

from memory_service.items.kinds import ItemKind, item_kind, item_kinds
from tests.support.item_examples import ITEMS


def test_data_file_lists_types_of_openais_client_only() -> None:
    assert item_kinds().keys() <= {item["type"] for item, _, _ in ITEMS}


def test_data_file_is_valid() -> None:
    for name, kind in item_kinds().items():
        assert re.fullmatch(r"[a-z]{1,8}", kind.id_prefix), name
        assert kind.text, name
        assert all(field.isidentifier() for path in kind.text for field in path), name


def test_unknown_type_has_the_defaults() -> None:
    assert item_kind("new_thing") == ItemKind()
