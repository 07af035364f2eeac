"""Ids of a data set as ids of the service."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.systems.ids import dataset_id, service_id
from memory_service.core.errors import InvalidRequest
from memory_service.items.fields import check_id


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10))
def test_service_id_round_trip(own: str) -> None:
    legal = service_id(own)
    assert check_id(legal, "id") == legal
    assert dataset_id(legal) == own


@pytest.mark.parametrize(
    ("own", "legal"),
    [("conv-26/D1:3", "conv-26_2fD1_3a3"), ("a_2f", "a_5f2f"), ("plain-1", "plain-1")],
)
def test_service_id_is_readable(own: str, legal: str) -> None:
    assert service_id(own) == legal


def test_too_long_id_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="1 to 128"):
        service_id("/" * 43)
