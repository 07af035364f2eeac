"""Checks of texts and vectors that all remote embedders share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.errors import EmbedderDown
from memory_service.embedders.checks import batches, unit_vectors


@given(
    counts=st.dictionaries(st.integers(0, 99), st.integers(1, 20)),
    max_texts=st.integers(1, 5),
    max_tokens=st.integers(20, 50),
)
def test_batches_keep_all_texts_in_order_within_both_limits(
    counts: dict[int, int], max_texts: int, max_tokens: int
) -> None:
    position_batches = list(batches(counts, max_texts, max_tokens))
    assert [position for batch in position_batches for position in batch] == list(counts)
    assert all(1 <= len(batch) <= max_texts for batch in position_batches)
    assert all(
        sum(counts[position] for position in batch) <= max_tokens for batch in position_batches
    )


@given(
    rows=st.lists(
        st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3).filter(any),
        min_size=1,
        max_size=4,
    )
)
def test_finite_rows_become_unit_vectors(rows: list[tuple[float, ...]]) -> None:
    vectors = unit_vectors(rows, range(len(rows)), 3)
    assert list(vectors) == list(range(len(rows)))
    for vector in vectors.values():
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "rows", [[[1.0], [1.0, 2.0]], [["a"], ["b"]], [[], []], [1.0, 2.0], [None, None], [[[1.0]]] * 2]
)
def test_rows_that_are_not_vectors_are_an_error(rows: list[Any]) -> None:
    with pytest.raises(EmbedderDown):
        unit_vectors(rows, [0, 1], None)
