"""The store's SQL macros, on bars that were read from the store.

The macros read the tables of a store, in its current version. So they run on a small database in memory that looks like
a store with one series: bars of a pin, without those that are too early or too late.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from lumibot_duckdb.storage import macros
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.engine import Engine

if TYPE_CHECKING:
    from typing_extensions import Self

SYMBOL = "X"
"""The symbol of the one series."""

_NAME = "memory"
_BAR_COLUMNS = ("open", "high", "low", "close", "volume")
_TABLES = """
CREATE TABLE {db}.asset AS SELECT 1 AS asset_id, '{symbol}' AS name, 'stock' AS asset_type;
CREATE TABLE {db}.series AS SELECT 1 AS asset_id, 'memory' AS source, '' AS adjustment, '' AS timeframe,
    1 AS current_version;
"""


class MacroDatabase:
    """A database in memory with all macros, or those of some files, and the bars of one series at a time."""

    def __init__(self, scripts: Sequence[str] | None = None) -> None:
        self._connection = duckdb.connect(":memory:", config=Engine.settings())
        self._cursor = StoreCursor(_NAME, self._connection)
        self._connection.execute("SET TimeZone = 'UTC'")
        self._cursor.execute(_TABLES.replace("{symbol}", SYMBOL))
        self._put(pa.table({"ts": pa.array([], pa.timestamp("s"))}))  # macros name tables that exist
        macros.create(self._connection, _NAME, macros.definitions() if scripts is None else "\n".join(scripts))

    def rows(self, bars: pa.Table, timeframe: str, query: str, parameters: list[Any]) -> pa.Table:
        """Return the result of a query of macros on some bars.

        `bars` has `ts` and columns of bars, of the length `timeframe`. `{symbol}` in the query stands for their symbol.
        """
        self._put(bars)
        self._cursor.execute("UPDATE {db}.series SET timeframe = ?", [timeframe])
        try:
            return self._cursor.arrow(query.replace("{symbol}", f"'{SYMBOL}'"), parameters)
        finally:
            self._cursor.unregister("bar")

    def _put(self, bars: pa.Table) -> None:
        nothing = pa.nulls(bars.num_rows, pa.float64())
        columns = {name: bars[name] if name in bars.column_names else nothing for name in _BAR_COLUMNS}
        version = pa.array([1] * bars.num_rows, pa.int32())
        self._cursor.register("bar", pa.table({"version_id": version, "ts": bars["ts"], **columns}))

    def close(self) -> None:
        """Release the memory."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
