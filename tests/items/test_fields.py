"""Checks of ids and metadata."""

from __future__ import annotations

from typing import Any

import pytest

from memory_service.core.errors import InvalidRequest
from memory_service.items.fields import check_metadata


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {f"k{n}": "v" for n in range(16)},
        {"k" * 64: "v" * 512},
        {"k": ""},
    ],
)
def test_metadata_within_the_limits_is_kept(metadata: dict[str, str] | None) -> None:
    assert check_metadata(metadata, "metadata") == (metadata or {})


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        ({f"k{n}": "v" for n in range(17)}, "metadata"),
        ({"k" * 65: "v"}, "metadata"),
        ({"": "v"}, "metadata"),
        ({"k\x00": "v"}, "metadata"),
        ({"k": "v" * 513}, "metadata.k"),
        ({"k": "\ud800"}, "metadata.k"),
        ({"k": None}, "metadata.k"),
        ({"k": {"a": "b"}}, "metadata.k"),
        ("k=v", "metadata"),
        ([], "metadata"),
        (False, "metadata"),
    ],
)
def test_invalid_metadata_is_refused(metadata: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_metadata(metadata, "metadata")
    assert caught.value.param == param
