"""A token counter for tests."""

from __future__ import annotations


class WordCounter:
    """Counts words, so that tests can state exact numbers; `asked` are the texts it counted."""

    name = "words"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def count(self, text: str) -> int:
        """Return the number of words."""
        self.asked.append(text)
        return len(text.split())
