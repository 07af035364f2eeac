"""What the statement files share: the connection, and small conversions of rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa

from memory_service.core.models import Metadata, Order, Vector
from memory_service.items.strict_json import dumps
from memory_service.turn_log.schema import key_blocks

T = TypeVar("T")

MAX_PARAMETERS = 900
"""Keys in one IN list; SQLite's oldest limit on parameters is 999."""

_KNOWN_STATEMENTS = 512
"""SQL texts that are cached: each open data folder has its own dialect, which needs about 200."""

_KEYS_STEP = 30
"""Lists of keys are filled up to a multiple of this, so that few statements serve all lengths."""


# Statements of an append are built once: building one takes as long as executing it.
_ALLOCATE = (
    sa.update(key_blocks)
    .where(key_blocks.c.name == sa.bindparam("block_name"))
    .values(next_key=key_blocks.c.next_key + sa.bindparam("count", type_=sa.BigInteger))
    .returning(key_blocks.c.next_key)
)


def allocate_keys(connection: sa.Connection, name: str, count: int) -> range:
    """Reserve `count` keys that were never used before; runs inside the caller's transaction."""
    end = connection.scalar(_ALLOCATE, {"block_name": name, "count": count})
    if end is None:
        raise LookupError(f"the turn log has no key block {name!r}")
    return range(end - count, end)


class Statements:
    """A connection inside a transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def _insert(self, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(sa.insert(table), rows)

    def _fetch_plain(self, statement: sa.Select[Any]) -> list[tuple[Any, ...]]:
        """Return rows of integers and strings as the driver has them.

        SQLAlchemy makes an object of each row; for thousands this takes longer than the query.
        """
        return _plain_rows(self._connection.execute(statement))

    def _fetch_of_keys(
        self, statement: sa.Select[Any], column: sa.Column[int], keys: Iterable[int]
    ) -> list[tuple[Any, ...]]:
        """Return the rows, as the driver has them, of those keys that a column holds.

        The statement has no parameters of its own. SQLAlchemy writes a list of keys into it
        each time, which takes longer than reading 300 rows; so it is written once for each length,
        and lists are filled up with a key that they have.
        """
        rows: list[tuple[Any, ...]] = []
        for batch in batches(keys):
            size = min(MAX_PARAMETERS, -(-len(batch) // _KEYS_STEP) * _KEYS_STEP)
            padded = batch + batch[:1] * (size - len(batch))
            text, names = _of_keys(statement, column, size, self._connection.dialect)
            values = dict(zip(names, padded, strict=True)) if names else tuple(padded)
            rows.extend(_plain_rows(self._connection.exec_driver_sql(text, values)))
        return rows

    def _insert_plain(
        self, table: sa.Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Insert many rows of integers and strings; `columns` are in the table's order.

        SQLAlchemy looks at each parameter of each row, which takes longer than the insertion. And
        with one row at a time the driver lets go of Python's lock and takes it again for each: 93
        µs for the postings of a turn, instead of 51.
        """
        if not rows:
            return
        dialect = self._connection.dialect
        single_row, by_position = _plain_insert(table, columns, dialect, 1)
        if not by_position:
            named = [dict(zip(columns, row, strict=True)) for row in rows]
            self._connection.exec_driver_sql(single_row, named)
            return
        at_once = MAX_PARAMETERS // len(columns)
        many_rows, _ = _plain_insert(table, columns, dialect, at_once)
        whole = len(rows) - len(rows) % at_once
        for start in range(0, whole, at_once):
            batch = chain.from_iterable(rows[start : start + at_once])
            self._connection.exec_driver_sql(many_rows, tuple(batch))
        if whole < len(rows):
            self._connection.exec_driver_sql(single_row, list(rows[whole:]))


def _plain_rows(result: sa.CursorResult[Any]) -> list[tuple[Any, ...]]:
    if result.cursor is None:
        raise LookupError("the statement returns no rows")
    return list(result.cursor.fetchall())


@lru_cache(maxsize=_KNOWN_STATEMENTS)
def _of_keys(
    statement: sa.Select[Any], column: sa.Column[int], size: int, dialect: sa.Dialect
) -> tuple[str, tuple[str, ...]]:
    """Return the statement for the driver, and the names of its parameters, if they have names."""
    wanted: sa.BindParameter[Any] = sa.bindparam("key", [0] * size, expanding=True)
    compiled = statement.where(column.in_(wanted)).compile(
        dialect=dialect, compile_kwargs={"render_postcompile": True}
    )
    return str(compiled), () if compiled.positional else tuple(compiled.params)


@lru_cache(maxsize=_KNOWN_STATEMENTS)
def _plain_insert(
    table: sa.Table, columns: tuple[str, ...], dialect: sa.Dialect, rows: int
) -> tuple[str, bool]:
    """Return the driver's statement for `rows` rows, and whether its parameters are positional."""
    compiled = sa.insert(table).compile(dialect=dialect, column_keys=list(columns))
    into, values, row = str(compiled).partition("VALUES ")
    return into + values + ", ".join([row] * rows), bool(compiled.positional)


def batches(values: Iterable[T], size: int = MAX_PARAMETERS) -> Iterable[list[T]]:
    """Cut values into lists that fit one IN clause."""
    items = list(values)
    return (items[start : start + size] for start in range(0, len(items), size))


def ordered(column: sa.ColumnElement[Any], order: Order) -> sa.ColumnElement[Any]:
    """Return the column as an ORDER BY term."""
    return column.asc() if order == "asc" else column.desc()


def beyond(
    column: sa.ColumnElement[Any], value: int | None, order: Order
) -> sa.ColumnElement[bool]:
    """Return the condition of a page that begins after `value`."""
    if value is None:
        return sa.true()
    return column > value if order == "asc" else column < value


def inserted_key(result: sa.CursorResult[Any]) -> int:
    """Return the key that the database gave an inserted row."""
    if result.inserted_primary_key is None:
        raise LookupError("the statement inserted no row")
    return int(result.inserted_primary_key[0])


def metadata_to_text(metadata: Metadata | None) -> str | None:
    """Return metadata as the JSON that is stored."""
    return None if metadata is None else dumps(dict(metadata))


def metadata_from_text(text: str | None) -> dict[str, str] | None:
    """Return the metadata of a stored JSON text."""
    return None if text is None else dict(json.loads(text))


def vector_to_blob(vector: Vector | None) -> bytes | None:
    """Return a vector as half floats: 512 bytes for 256 dimensions, 3 decimal digits each."""
    return None if vector is None else vector.astype(np.float16).tobytes()


def vector_from_blob(blob: bytes | None) -> Vector | None:
    """Return the vector of a stored blob."""
    return None if blob is None else np.frombuffer(blob, dtype=np.float16).astype(np.float32)
