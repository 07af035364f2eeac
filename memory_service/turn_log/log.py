"""The turn log: transactions on one SQL database, and the statements they offer."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError

from memory_service.core.errors import StartupError, Unavailable
from memory_service.turn_log import sqlite
from memory_service.turn_log.fair_lock import FairLock
from memory_service.turn_log.migrate import migrate
from memory_service.turn_log.transactions import ReadTransaction, WriteTransaction

FILE_NAME = "turn_log.sqlite3"


class TransactionSource(Protocol):
    """Opens transactions: the turn log, or a batch of transactions on it."""

    def read(self) -> AbstractContextManager[ReadTransaction]:
        """Open a snapshot."""

    def write(self) -> AbstractContextManager[WriteTransaction]:
        """Open a writing transaction."""


class TransactionBatch:
    """Transactions within one that is flushed to disk once; each is undone alone if it raises."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        """Read what was written before in the batch, too."""
        with _as_unavailable():
            yield ReadTransaction(self._connection)

    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        """Write within the batch; the changes are undone if the `with` block raises."""
        with _as_unavailable(), self._connection.begin_nested():
            yield WriteTransaction(self._connection)


class TurnLog:
    """Every turn of every project in one SQL database, from which all other data is derived."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        # SQLite lets one connection write. Threads wait here in the order of asking; in its
        # busy handler, which polls, a thread may wait until it times out.
        self._writing = FairLock()

    @classmethod
    def open(cls, folder: Path, *, cache_mib: int = 64, mmap_mib: int = 256) -> TurnLog:
        """Open the log in a data folder, after creating or migrating it.

        Raises StartupError if the file cannot be read or was written by a newer version.
        """
        engine = sqlite.open_engine(folder / FILE_NAME, cache_mib=cache_mib, mmap_mib=mmap_mib)
        with ExitStack() as stack:
            stack.callback(engine.dispose)
            try:
                migrate(engine)
            except DatabaseError as error:
                raise StartupError(
                    f"The turn log {folder / FILE_NAME} cannot be opened: {error.orig}. "
                    "Restore a backup, or choose another folder with --data-dir."
                ) from error
            stack.pop_all()
        return cls(engine)

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        """Open a snapshot; raises Unavailable when the database cannot be read."""
        with _as_unavailable(), self._engine.connect() as connection, connection.begin():
            yield ReadTransaction(connection)

    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        """Open the writing transaction; it is flushed to disk unless the `with` block raises."""
        with self._writing_connection() as connection:
            yield WriteTransaction(connection)

    @contextmanager
    def batch(self) -> Iterator[TransactionBatch]:
        """Open transactions that are flushed to disk together, at the end of the `with` block.

        Small writes are then as fast as large ones. Other writers wait until the end, so it is
        for callers that wait for nothing else.
        """
        with self._writing_connection() as connection:
            yield TransactionBatch(connection)

    @contextmanager
    def _writing_connection(self) -> Iterator[sa.Connection]:
        options = {"writes": True}
        with (
            _as_unavailable(),
            self._writing,
            self._engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            yield connection

    def checkpoint(self) -> bool:
        """Empty the write-ahead file of deleted text; return whether no reader prevented it."""
        with self._writing:
            return sqlite.checkpoint(self._engine)

    def vacuum(self) -> None:
        """Rewrite the file without bytes of deleted rows; raises Unavailable if it cannot be.

        Writers wait meanwhile, readers do not. Until a `checkpoint` the old pages are still there.
        """
        try:
            with self._writing:
                sqlite.vacuum(self._engine)
        except sqlite3.OperationalError as error:
            raise Unavailable(f"The turn log cannot be rewritten: {error}.") from error

    def size_bytes(self) -> int:
        """Return the size of the database's file."""
        return sqlite.file_size(self._engine)

    def check_writable(self) -> None:
        """Raise Unavailable unless a write can be made durable now."""
        with self.write() as transaction:
            # Another value each time: SQLite does not write unchanged pages.
            transaction.properties.set("write_check", uuid.uuid4().hex)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


@contextmanager
def _as_unavailable() -> Iterator[None]:
    """Raise Unavailable for a database that is busy, out of reach or damaged."""
    try:
        yield
    except OperationalError as error:
        reason = "is busy" if sqlite.is_lock_timeout(error) else "cannot be used"
        raise Unavailable(f"The turn log {reason}: {error.orig}.") from error
    except DatabaseError as error:
        if not sqlite.is_damage(error):
            raise
        raise Unavailable(f"The turn log is damaged: {error.orig}.") from error
