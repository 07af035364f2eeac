"""The turn log: transactions on one SQL database, and the statements they offer."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError

from memory_service.core.errors import StartupError, Unavailable
from memory_service.turn_log import sqlite
from memory_service.turn_log.fair_lock import FairLock
from memory_service.turn_log.migrate import migrate
from memory_service.turn_log.transactions import ReadTransaction, WriteTransaction

FILE_NAME = "turn_log.sqlite3"


class TurnLog:
    """Every turn of every project, in one SQL database that is the truth."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        # SQLite lets one connection write. Waiting here is fair and free; waiting in its busy
        # handler is a lottery that some thread loses.
        self._writing = FairLock()
        self._joined = threading.local()

    @classmethod
    def open(cls, folder: Path, *, cache_mib: int = 64, mmap_mib: int = 256) -> TurnLog:
        """Open (and make or migrate) the log in a data folder; raises StartupError if it cannot."""
        path = folder / FILE_NAME
        engine = sqlite.open_engine(path, cache_mib=cache_mib, mmap_mib=mmap_mib)
        with ExitStack() as stack:
            stack.callback(engine.dispose)
            try:
                migrate(engine)
            except DatabaseError as error:
                raise StartupError(f"{path} cannot be opened: {error.orig}.") from error
            stack.pop_all()
        return cls(engine)

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        """Open a snapshot; raises Unavailable when the database cannot be read."""
        joined = self._joined_connection()
        if joined is not None:
            with _as_unavailable():
                yield ReadTransaction(joined)
            return
        with _as_unavailable(), self._engine.connect() as connection, connection.begin():
            yield ReadTransaction(connection)

    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        """Open the writing transaction; it is flushed to disk when the block ends without error."""
        joined = self._joined_connection()
        if joined is not None:
            with _as_unavailable(), joined.begin_nested():
                yield WriteTransaction(joined)
            return
        with self._writing_connection() as connection:
            yield WriteTransaction(connection)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make one of the transactions that this thread opens in the block.

        Each is still undone by itself when it raises; what remains is flushed to disk when the
        block ends, once. Small writes are so as fast as large ones, for callers that wait for
        nobody: other writers wait for the whole block.
        """
        with self._writing_connection() as connection:
            self._joined.connection = connection
            try:
                yield
            finally:
                self._joined.connection = None

    def _joined_connection(self) -> sa.Connection | None:
        return getattr(self._joined, "connection", None)

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
        """Empty the write-ahead file of deleted text; return whether nothing was in the way."""
        with self._writing:
            return sqlite.checkpoint(self._engine)

    def vacuum(self) -> None:
        """Rewrite the file without remnants of deleted rows; raises Unavailable if it cannot be.

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
            # Another value each time: what does not change, SQLite does not write.
            transaction.properties.set("write_check", uuid.uuid4().hex)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        reason = "is busy" if sqlite.is_lock_timeout(error) else "cannot be used"
        raise Unavailable(f"The turn log {reason}: {error.orig}.") from error
