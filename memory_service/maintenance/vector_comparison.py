"""Comparison of vectors within the precision that they are stored with."""

from __future__ import annotations

import numpy as np

from memory_service.core.models import Vector

LOG_TOLERANCE = 2e-3
"""Half floats keep three digits; adding the same tokens in another order differs by less."""
INDEX_TOLERANCE = 5e-3
"""The index normalises vectors again, which adds to the error of half floats."""


def differ(derived: Vector | None, stored: Vector | None) -> bool:
    """Return whether a vector derived again differs from the one in the log."""
    if derived is None or stored is None:
        return derived is not stored
    return not are_close(derived, stored, LOG_TOLERANCE)


def are_close(vector: Vector, other: Vector, tolerance: float) -> bool:
    """Return whether two vectors have the same shape and differ by at most a tolerance."""
    return vector.shape == other.shape and bool(np.allclose(vector, other, atol=tolerance))
