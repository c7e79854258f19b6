"""Turns the rows of a panel into long tables: pandas, polars, Arrow, or a stream of Arrow batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lumibot_duckdb.analytics.frames import SYMBOL_COLUMN, TIME_COLUMN
from lumibot_duckdb.panels.errors import PanelError
from lumibot_duckdb.panels.features import Features
from lumibot_duckdb.panels.rows import NEVER, AssetRows
from lumibot_duckdb.panels.targets import Target
from lumibot_duckdb.storage.bars.output import NEW_YORK
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND
from lumibot_duckdb.storage.times import Int64Array

if TYPE_CHECKING:
    import pandas as pd

KNOWN_AT = "_known_at"
"""What the name of a target is followed by in the name of the column that tells when it is known."""

UNIT = "us"
_TIME = pa.timestamp(UNIT, "UTC")
_ROWS_AT_A_TIME = 65_536


def panel_schema(features: Features, targets: Sequence[Target], dtype: str) -> pa.Schema:
    """Return the columns of a panel. Raises `PanelError` if two have the same name."""
    number = pa.float32() if dtype == "float32" else pa.float64()
    fields = [(SYMBOL_COLUMN, pa.string()), (TIME_COLUMN, _TIME), *((name, number) for name in features.columns)]
    for target in targets:
        fields += [(target.name, number), (target.name + KNOWN_AT, _TIME)]
    names = [name for name, _ in fields]
    for name in names:
        if names.count(name) > 1:
            raise PanelError(f"two columns of the panel have the name {name!r}: leave one out")
    return pa.schema(fields)


def batches(rows: Iterable[AssetRows], schema: pa.Schema, *, with_nulls: bool) -> Iterator[pa.RecordBatch]:
    """Yield the rows in copies, so that a batch that is kept does not keep all rows of an asset."""
    for each in rows:
        for begin in range(0, len(each.times), _ROWS_AT_A_TIME):
            yield _batch(each, slice(begin, begin + _ROWS_AT_A_TIME), schema, with_nulls)
        del each  # not needed while the next series is read


def pandas_frame(reader: pa.RecordBatchReader) -> pd.DataFrame:
    """Return a frame of the caller's own, with times in New York."""
    table = reader.read_all()
    times = [field.name for field in table.schema if field.type == _TIME]
    # Several pieces of a column are copied one column at a time, so that memory of the table is free for the next.
    # A single piece would not be copied, and the frame could not be changed.
    in_pieces = len(table) > _ROWS_AT_A_TIME
    frame: pd.DataFrame = table.to_pandas(split_blocks=in_pieces, self_destruct=True)
    for name in times:
        frame[name] = frame[name].dt.tz_convert(NEW_YORK)
    return frame


def _batch(rows: AssetRows, which: slice, schema: pa.Schema, with_nulls: bool) -> pa.RecordBatch:
    starts = rows.times[which]
    columns = [pa.repeat(rows.symbol, len(starts)), _times(starts)]
    numbers = schema.field(2).type.to_pandas_dtype()  # there is a feature
    columns += [_numbers(column[which], numbers, with_nulls) for column in rows.features]
    for target in rows.targets:
        columns += [_numbers(target.values[which], numbers, with_nulls), _times(target.known_at[which])]
    return pa.record_batch(columns, schema=schema)


def _numbers(values: np.ndarray[Any, Any], dtype: Any, with_nulls: bool) -> pa.Array:
    return pa.array(values.astype(dtype, copy=True), from_pandas=with_nulls)


def _times(seconds: Int64Array) -> pa.Array:
    missing = seconds == NEVER
    ticks = np.where(missing, 0, seconds) * TICKS_PER_SECOND[UNIT]
    return pa.array(ticks, mask=missing).cast(_TIME)
