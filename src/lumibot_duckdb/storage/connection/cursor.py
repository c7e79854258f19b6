"""What runs SQL on the store inside a `read()` or `write()` block."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import duckdb

from lumibot_duckdb.storage.connection.engine import leak
from lumibot_duckdb.storage.connection.interruption import stoppable

if TYPE_CHECKING:
    import pyarrow as pa

Parameters: TypeAlias = "Sequence[Any] | Mapping[str, Any] | None"


class StoreCursor:
    """Runs SQL on the store, for the thread that entered the block and until the block ends.

    DuckDB accepts no further statement in a transaction after one that failed: leave the block then. Where nobody
    writes, a reader has no transaction.
    `db` is the name under which the store is attached; `{db}` in SQL text stands for it.
    """

    def __init__(self, db: str, duck: duckdb.DuckDBPyConnection, *, in_transaction: bool = True) -> None:
        self.db = db
        self.in_transaction = in_transaction
        self._duck = duck
        self._pid = os.getpid()
        self._registered: set[str] = set()

    def execute(self, sql: str, parameters: Parameters = None) -> duckdb.DuckDBPyConnection:
        """Run SQL. Fetch the result before the next call and before the block ends, and not with a batch reader."""
        self.check_process()
        text = sql.replace("{db}", self.db)
        with stoppable(self._duck):
            return self._duck.execute(text) if parameters is None else self._duck.execute(text, parameters)

    def arrow(self, sql: str, parameters: Parameters = None) -> pa.Table:
        """Run a query and return its whole result as an Arrow table."""
        self.check_process()
        with stoppable(self._duck):
            return self._duck.sql(sql.replace("{db}", self.db), params=parameters).to_arrow_table()

    def rows(self, sql: str, parameters: Parameters = None) -> list[tuple[Any, ...]]:
        """Run SQL and return its whole result as tuples."""
        result = self.execute(sql, parameters)
        with stoppable(self._duck):
            return result.fetchall()

    def other_connection(self) -> duckdb.DuckDBPyConnection:
        """Return a new connection to the same instance, which is not part of the block's transaction."""
        self.check_process()
        return self._duck.cursor()

    def register(self, name: str, table: pa.Table | pa.RecordBatchReader) -> None:
        """Make an Arrow table visible to SQL on this cursor as `name`, until the block ends.

        A reader can be used by one statement.
        """
        self.check_process()
        self._duck.register(name, table)
        self._registered.add(name)

    def unregister(self, name: str) -> None:
        """Remove a registered table."""
        self._duck.unregister(name)
        self._registered.discard(name)

    def check_process(self) -> None:
        """Raise RuntimeError in a process that was forked inside the block."""
        if os.getpid() != self._pid:
            raise RuntimeError(
                "this cursor belongs to the parent process; enter a read() or write() block in the forked one"
            )

    def close(self) -> None:
        """Discard what the block did not finish: results, registered tables, an open transaction."""
        if os.getpid() != self._pid:
            leak(self._duck)
            return
        for name in tuple(self._registered):
            with suppress(duckdb.Error):
                self.unregister(name)
        self._duck.close()
