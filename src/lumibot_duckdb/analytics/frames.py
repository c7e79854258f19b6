"""Turns computed indicators into tables: pandas, polars, Arrow, or a stream of Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lumibot_duckdb.analytics.bars import FloatArray
from lumibot_duckdb.storage.bars.layout import INDEX_NAME
from lumibot_duckdb.storage.bars.output import time_index
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND
from lumibot_duckdb.storage.times import Int64Array

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

SYMBOL_COLUMN, TIME_COLUMN = "asset_symbol", "timestamp"
_ROWS_AT_A_TIME = 65_536


class Shape:
    """The columns of a result.

    Args:
        columns: The names of the columns of numbers.
        unit: The resolution of times.
        is_long: Whether the result has several assets, which a column names.
        with_nulls: Whether missing values are null, as in Arrow and polars, and not NaN.
    """

    def __init__(self, columns: Sequence[str], unit: str, *, is_long: bool, with_nulls: bool) -> None:
        self.is_long = is_long
        self._with_nulls = with_nulls
        self._unit = unit
        self._ticks = TICKS_PER_SECOND[unit]
        self._numbers = tuple(columns)
        self.time_column = TIME_COLUMN if is_long else INDEX_NAME
        times = (self.time_column, pa.timestamp(unit, "UTC"))
        named = [(SYMBOL_COLUMN, pa.string())] if is_long else []
        self.schema = pa.schema([*named, times, *((name, pa.float64()) for name in columns)])

    def batches(self, symbol: str, times: Int64Array, columns: Sequence[FloatArray]) -> Iterator[pa.RecordBatch]:
        """Yield rows of one asset. A batch that is kept keeps no longer arrays in memory."""
        for begin in range(0, len(times), _ROWS_AT_A_TIME):
            rows = slice(begin, begin + _ROWS_AT_A_TIME)
            starts = pa.array(times[rows] * self._ticks).cast(self.schema.field(self.time_column).type)
            named = [pa.repeat(symbol, len(starts))] if self.is_long else []
            numbers = [pa.array(_own(column[rows]), from_pandas=self._with_nulls) for column in columns]
            yield pa.record_batch([*named, starts, *numbers], schema=self.schema)

    def pandas(self, reader: pa.RecordBatchReader) -> pd.DataFrame:
        """Return a frame of the caller's own: indexed by time, or with a column of assets and one of times."""

        table = reader.read_all()
        index = time_index(table[self.time_column].cast(pa.int64()).to_numpy() // self._ticks, self._unit)
        numbers = table.select(self._numbers)
        if not self.is_long:
            indexed: pd.DataFrame = numbers.to_pandas().set_axis(index)
            return indexed
        symbols = table[SYMBOL_COLUMN].to_pandas()
        # Several pieces of a column are copied one column at a time, so that memory of the table is free for the next.
        # A single piece would not be copied, and the frame could not be changed.
        in_pieces = len(table) > _ROWS_AT_A_TIME
        del table
        frame: pd.DataFrame = numbers.to_pandas(split_blocks=in_pieces, self_destruct=True)
        frame.insert(0, SYMBOL_COLUMN, symbols)
        frame.insert(1, TIME_COLUMN, index)
        return frame


def _own(values: FloatArray) -> FloatArray:
    """Return a part of an array, as a copy unless it is most of it."""
    whole = values.base
    return values.copy() if whole is not None and whole.nbytes > 2 * values.nbytes else values


def polars_frame(reader: pa.RecordBatchReader) -> pl.DataFrame:
    """Return the rows as a polars frame."""
    import polars as pl

    frame = pl.from_arrow(reader.read_all())
    assert isinstance(frame, pl.DataFrame)
    return frame


def as_reader(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatchReader:
    """Return batches as a stream, which is read once. The first one is computed now, so that most errors are raised."""
    first = list(islice(batches, 1))
    reader: Any = pa.RecordBatchReader.from_batches(schema, chain(first, batches))
    return reader
