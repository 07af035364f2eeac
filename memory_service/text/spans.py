"""Ranges of characters."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """A character range of a text: its first character, and the one after its last."""

    start: int
    end: int
