"""Where users' queries run: a separate DuckDB instance that can read one store, and do nothing else.

The store is attached read-only, access to all other files is switched off, and the settings are locked. DuckDB enforces
all of that, so a query cannot get around it by the way it is written.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from lumibot_duckdb.storage.connection.engine import Engine, attach, leak

_NAME = "store"


class Sandbox:
    """A locked instance with the store at `path` attached. With `allow_files`, queries may also read other files.

    Raises `duckdb.Error` if the store cannot be attached.
    """

    def __init__(self, path: Path, *, allow_files: bool) -> None:
        self._connection = duckdb.connect(":memory:", config=Engine.settings())
        try:
            self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
            attach(self._connection, path, _NAME, "READ_ONLY")
            if not allow_files:
                self._connection.execute("SET enable_external_access = false")
            self._connection.execute("SET lock_configuration = true")
        except BaseException:
            self.close()
            raise

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a new connection to the instance, in which names mean those of the store."""
        cursor = self._connection.cursor()
        cursor.execute(f"USE {_NAME}")
        return cursor

    def close(self) -> None:
        """Close the instance, and with it the file."""
        self._connection.close()

    def forget(self) -> None:
        """In a forked child: never touch what belongs to the parent."""
        leak(self._connection)
