"""The file of a results database: opened for each read or write, and closed again, so that other programs can read it.

It has the locks, the guarded checkpoints and the transactions of the store: several processes may write by turns, and a
process that is killed leaves whole transactions only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from lumibot_duckdb.results import schema
from lumibot_duckdb.results.errors import NotResultsError, ResultsNotFoundError
from lumibot_duckdb.results.location import ensure_results_folder
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.duckdb_errors import HeldElsewhereError
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StoreBusyError, StoreDamagedError

_REMEDY = "Restore a copy of the file, or move it away, and the next sweep begins a new one"


class ResultsFile:
    """A results database at `path`. `wait_seconds` is how long to wait for other programs that have it open."""

    def __init__(self, path: Path, wait_seconds: float) -> None:
        self.path = path
        self._wait_seconds = wait_seconds
        self._connection = StoreConnection.of(path)

    @contextmanager
    def read(self) -> Iterator[StoreCursor]:
        """Yield a cursor for reading one state of a file of the newest schema. Raises `ResultsNotFoundError`."""
        self._upgrade()
        with self._opened(), self._connection.read(self._wait_seconds) as cursor:
            yield cursor

    @contextmanager
    def write(self) -> Iterator[StoreCursor]:
        """Yield a cursor for one transaction. Creates the file if there is none."""
        ensure_results_folder(self.path)
        with self._opened(), self._connection.write(self._wait_seconds) as cursor:
            schema.migrate(cursor)
            yield cursor

    @contextmanager
    def query(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection for a user's query, which can read the results and do nothing else."""
        self._upgrade()
        with self._opened(), self._connection.query() as duck:
            yield duck

    def _upgrade(self) -> None:
        """Upgrade a file of an older schema. Raises `ResultsNotFoundError` if there are no results."""
        found = 0
        with self._opened():
            if self._connection.exists():
                with self._connection.read(self._wait_seconds) as cursor:
                    found = schema.version_of(cursor)
        if found == 0:
            raise ResultsNotFoundError(
                f"there are no results at {self.path} yet: run a sweep (lumibot-duckdb sweep), record a backtest "
                "(lumibot-duckdb run --record), or name another file (--results)"
            )
        if found < schema.newest():
            with self.write():
                pass

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """Close the file after the block, and let errors name the remedies for results instead of those for a store."""
        try:
            yield
        except StoreDamagedError as error:
            raise NotResultsError(f"{error.cause.rstrip('. ')}. {_REMEDY}") from error
        except StoreBusyError as error:
            held = error.__cause__
            if not isinstance(held, HeldElsewhereError):
                raise
            raise StoreBusyError(f"{held.cause()}. Close it there and try again") from error
        finally:
            self._connection.close()


def insert_rows(cursor: StoreCursor, table: str, rows: pa.Table | None) -> None:
    """Append rows to a table, by the names of their columns."""
    if rows is not None and len(rows):
        cursor.register("new_rows", rows)
        cursor.execute(f"INSERT INTO {{db}}.{table} BY NAME FROM new_rows")
        cursor.unregister("new_rows")
