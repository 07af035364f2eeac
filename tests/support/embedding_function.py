"""An embedding function for Chroma's registry."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from hashlib import shake_128
from typing import Any

from memory_service.embedders.chroma_registry import ChromaFunctionEmbedder
from tests.support.embedding import limits

FUNCTION = "testing_hash"


class HashFunction:
    """A deterministic embedding function; its configuration can make it fail."""

    released = threading.Event()

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config

    def __call__(self, input: list[str]) -> list[Any]:  # noqa: A002  # Chroma names it
        """Return a vector for each text, or fail as configured."""
        if self.config.get("fails"):
            raise LookupError(input[0])
        rows = [self._row(text) for text in input]
        return rows[self.config.get("drop", 0) :]

    def embed_query(self, input: list[str]) -> list[Any]:  # noqa: A002  # Chroma names it
        """Return the same as for documents; with `hangs`, only after the release."""
        if self.config.get("hangs"):
            self.released.wait()
        return self(input)

    def max_tokens(self) -> int:
        """Return the longest text in tokens."""
        return 50

    def _row(self, text: str) -> Any:
        length = self.config.get("length", 4)
        row = [byte - 127.5 for byte in shake_128(text.encode()).digest(length)]
        return [float(self.config["value"])] * length if "value" in self.config else row

    @staticmethod
    def name() -> str:
        """Return the name in the registry."""
        return FUNCTION

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> HashFunction:
        """Return the function."""
        if config.get("unmakeable"):
            raise ValueError("the package is not installed")
        return HashFunction(config)


def function(config: Mapping[str, Any] | None = None, **changes: Any) -> ChromaFunctionEmbedder:
    return ChromaFunctionEmbedder(FUNCTION, config or {}, limits(**changes), dimension=4)
