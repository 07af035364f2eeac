"""Properties of the data folder: what the data was made with, and what was learned of models."""

from __future__ import annotations

import sqlalchemy as sa

from memory_service.turn_log.repositories.statements import Statements
from memory_service.turn_log.schema import properties


class PropertyQueries(Statements):
    """Reads properties."""

    def get(self, name: str) -> str | None:
        """Return the value of a property, None if it is not set."""
        return self._connection.scalar(
            sa.select(properties.c.value).where(properties.c.name == name)
        )

    def with_prefix(self, prefix: str) -> list[str]:
        """Return the values of the properties whose names begin with a text, by their names."""
        return list(
            self._connection.scalars(
                sa.select(properties.c.value)
                .where(properties.c.name.startswith(prefix, autoescape=True))
                .order_by(properties.c.name)
            )
        )


class PropertyRepository(PropertyQueries):
    """Writes properties."""

    def set(self, name: str, value: str) -> None:
        """Set the value of a property."""
        changed = self._connection.execute(
            sa.update(properties).where(properties.c.name == name).values(value=value)
        )
        if changed.rowcount == 0:
            self._connection.execute(sa.insert(properties).values(name=name, value=value))

    def remove(self, name: str) -> None:
        """Remove a property, if it is set."""
        self._connection.execute(sa.delete(properties).where(properties.c.name == name))
