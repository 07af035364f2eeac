"""Texts that arrive in pieces, as the log can hold them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from memory_service.items.deltas import storable


@dataclass(slots=True)
class TextPieces:
    """A text whose pieces arrive, as the log can hold it.

    The first half of a surrogate pair waits for the second, which some servers send separately.
    """

    text: str = ""
    half: str = ""

    def add(self, piece: str) -> str:
        """Add a piece; return what it adds to the text."""
        joined = self.half + piece
        self.half = joined[-1:] if "\ud800" <= joined[-1:] <= "\udbff" else ""
        return self._extend(joined.removesuffix(self.half))

    def end(self) -> str:
        """End the text; return what that adds to it."""
        half, self.half = self.half, ""
        return self._extend(half)

    def _extend(self, piece: str) -> str:
        added = storable(piece)
        self.text += added
        return added
