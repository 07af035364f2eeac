"""Vectors of queued passages: stored ones are checked, missing ones are embedded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memory_service.core.errors import EmbedderDown
from memory_service.core.models import StoredPassage, Vector
from memory_service.core.protocols import Embedder
from memory_service.text.chunking import passage_text
from memory_service.text.spans import Span
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import ReadTransaction


class PassageVectors:
    """Embeds passages that have no usable vector in the log."""

    def __init__(self, log: TurnLog, embedder: Embedder) -> None:
        self._log = log
        self._embedder = embedder
        self.dimension = embedder.dimension

    def is_usable(self, vector: Vector | None) -> bool:
        """Return whether a vector is finite and of the embedder's dimension."""
        return (
            vector is not None
            and vector.shape == (self.dimension,)
            and bool(np.isfinite(vector).all())
        )

    def embed(self, passages: Sequence[StoredPassage]) -> dict[int, Vector]:
        """Return the vectors of passages that have no usable one; texts without words have none.

        Raises EmbedderDown for vectors that are not finite, of another length or too few.
        """
        if self._embedder.embeds_with_write:
            passages = [passage for passage in passages if passage.vector is not None]
        if not passages:
            return {}
        with self._log.read() as snapshot:
            texts = self._texts(snapshot, passages)
        existing = [passage for passage in passages if passage.key in texts]
        fresh = self._embedder.embed_documents([texts[passage.key] for passage in existing])
        if len(fresh) != len(existing):
            raise EmbedderDown(f"{len(fresh)} vectors came for {len(existing)} texts.")
        bad = [
            passages.index(passage)
            for passage, vector in zip(existing, fresh, strict=True)
            if vector is not None and not self.is_usable(vector)
        ]
        if bad:
            raise EmbedderDown(
                f"{len(bad)} of {len(existing)} vectors are not finite or not of the dimension "
                f"{self.dimension}.",
                positions=bad,
            )
        return {
            passage.key: vector
            for passage, vector in zip(existing, fresh, strict=True)
            if vector is not None
        }

    def _texts(
        self, snapshot: ReadTransaction, passages: Sequence[StoredPassage]
    ) -> dict[int, str]:
        """Return the text of each passage, without those that were deleted meanwhile."""
        by_conversation: dict[int, list[int]] = {}
        for passage in passages:
            by_conversation.setdefault(passage.conversation_key, []).append(passage.turn_key)
        turns = {
            turn.key: turn
            for conversation_key, keys in by_conversation.items()
            for turn in snapshot.turns.of_conversation(conversation_key, keys)
        }
        return {
            passage.key: passage_text(turn.speaker, turn.text, Span(passage.start, passage.end))
            for passage in passages
            if (turn := turns.get(passage.turn_key)) is not None
        }
