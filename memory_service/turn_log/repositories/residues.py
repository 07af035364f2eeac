"""Residues: places where bytes of deleted data may remain until files are rewritten."""

from __future__ import annotations

import sqlalchemy as sa

from memory_service.core.models import Residue, ResiduePlace
from memory_service.turn_log.repositories.statements import Statements
from memory_service.turn_log.schema import residues


class ResidueQueries(Statements):
    """Reads residues."""

    def erased(self) -> list[Residue]:
        """Return the residues of deletions, oldest first."""
        rows = self._connection.execute(
            sa.select(residues.c.key, residues.c.place, residues.c.collection_key)
            .where(residues.c.erased)
            .order_by(residues.c.key)
        )
        return [Residue(*row) for row in rows]

    def newest(self) -> int | None:
        """Return the key of the newest residue of a deletion, None if there is none."""
        newest = sa.select(sa.func.max(residues.c.key)).where(residues.c.erased)
        key: int | None = self._connection.scalar(newest)
        return key


class ResidueRepository(ResidueQueries):
    """Adds residues, and removes them when their files were rewritten."""

    def add(
        self,
        place: ResiduePlace,
        collection_key: int | None = None,
        conversation_key: int | None = None,
        *,
        erased: bool = True,
    ) -> None:
        """Add a place where bytes of removed rows may remain.

        `erased` is false for rows that only moved, until their conversation is deleted.
        """
        self._insert(
            residues,
            [
                {
                    "place": place,
                    "collection_key": collection_key,
                    "conversation_key": conversation_key,
                    "erased": erased,
                }
            ],
        )

    def mark_erased(self, conversation_key: int) -> None:
        """Mark the collections that a conversation was moved out of: its data is deleted now."""
        conditions = residues.c.conversation_key == conversation_key, ~residues.c.erased
        moved = self._connection.scalars(
            sa.select(residues.c.collection_key).where(*conditions)
        ).all()
        # Inserted again, not updated: a running erasure settles all rows older than itself.
        self._connection.execute(sa.delete(residues).where(*conditions))
        for collection_key in moved:
            self.add("collection", collection_key)

    def settle(self, last_key: int) -> None:
        """Delete the residues up to a key: their files were rewritten."""
        self._connection.execute(
            sa.delete(residues).where(residues.c.erased, residues.c.key <= last_key)
        )

    def carry(self, old_collection: int, new_collection: int, after: int) -> None:
        """Transfer the residues after a key to the collection that replaces another."""
        self._connection.execute(
            sa.update(residues)
            .where(residues.c.collection_key == old_collection, residues.c.key > after)
            .values(collection_key=new_collection)
        )

    def settle_moves(self, collection_key: int) -> None:
        """Delete the residues of moves out of a collection whose files are removed."""
        self._connection.execute(
            sa.delete(residues).where(
                residues.c.collection_key == collection_key, ~residues.c.erased
            )
        )
