"""Types that many models share: arrays, metadata, sort order, pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

MICROSECONDS = 1_000_000

Vector = npt.NDArray[np.float32]
"""One embedding, shape (dimension,), unit length."""

Matrix = npt.NDArray[np.float32]
"""Embeddings, shape (count, dimension), each row of unit length."""

Integers = npt.NDArray[np.int64]
"""A column of keys or counts, shape (n,)."""

Metadata = Mapping[str, str]
"""OpenAI's metadata: up to 16 pairs, keys of up to 64 and values of up to 512 characters."""

Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing."""

    data: Sequence[Any]
    has_more: bool
