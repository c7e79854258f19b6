"""Reads the rows of pinned series into arrays, frames and tables, with a cache of earlier results."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from lumibot_duckdb.storage.api import BarArrays, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars import output
from lumibot_duckdb.storage.bars.columns import in_time_order, pinned_rows, stored_rows
from lumibot_duckdb.storage.bars.layout import ColumnLayout
from lumibot_duckdb.storage.bars.open_store import OpenStore, refuse_if_gone
from lumibot_duckdb.storage.bars.outline import Outline
from lumibot_duckdb.storage.bars.outline_records import SHORT_SERIES, stored_outline
from lumibot_duckdb.storage.sql_times import timestamp_literal
from lumibot_duckdb.storage.times import Int64Array


class PinnedBars:
    """Reads pinned bars of one store."""

    def __init__(self, store: OpenStore) -> None:
        self._store = store
        self._outlined: tuple[SeriesPin, pa.Table, Int64Array] | None = None

    def frame(self, pin: SeriesPin, within: TimeRange | None) -> pd.DataFrame:
        """Return bars as a frame of the caller's own."""
        bars, shared = self._bars(pin, within, None, remember=True)
        return output.frame(bars, self._store.state(pin).layout, copy=shared)  # the cached arrays stay unchanged

    def arrow(self, pin: SeriesPin, within: TimeRange | None) -> pa.Table:
        """Return bars as an Arrow table."""
        layout = self._store.state(pin).layout
        table, _ = self._rows(pin, within, layout.columns)
        return output.arrow_table(table, layout)

    def arrays(
        self, pin: SeriesPin, within: TimeRange | None, columns: Sequence[str] | None, *, remember: bool
    ) -> BarArrays:
        """Return bars as read-only arrays."""
        bars, _ = self._bars(pin, within, columns, remember=remember)
        output.protect(bars)
        return bars

    def outline(self, pin: SeriesPin) -> Outline:
        """Return the outline of the pinned bars: the stored one, or that of their starts."""
        rows = self._store.state(pin).rows
        with self._store.read_pinned(pin) as cursor:
            stored = stored_outline(cursor, pin, rows, lambda within: self._times(pin, within))
        return self._outline_of_bars(pin, rows) if stored is None else stored

    def _outline_of_bars(self, pin: SeriesPin, rows: int) -> Outline:
        """Return the outline of bars that have no stored one.

        Of a short series, the first bars are usually read next. So all columns are read at once, and kept until then.
        """
        if rows > SHORT_SERIES:
            return Outline(times=self._times(pin, None))
        table, times = self._rows(pin, None, self._store.state(pin).layout.columns)
        self._outlined = (pin, table, times)
        return Outline(times=times)

    def _times(self, pin: SeriesPin, within: TimeRange | None) -> Int64Array:
        return self._rows(pin, within, ())[1]

    def _bars(
        self, pin: SeriesPin, within: TimeRange | None, columns: Sequence[str] | None, *, remember: bool
    ) -> tuple[BarArrays, bool]:
        """Return bars, and whether the cache holds them too."""
        wanted = self._store.state(pin).layout.chosen(columns)
        request = ("bars", pin.version_id, pin.ingest_id, within, None if columns is None else tuple(columns))
        held: BarArrays | None = self._store.results.get(request)
        if held is not None:
            return held, True
        with self._store.counters.timing():
            table, times = self._rows(pin, within, wanted)
            bars = output.bar_arrays(table, times, wanted)
        size = output.size_in_bytes(bars)
        shared = remember and self._store.results.takes(size)
        if shared:
            self._store.results.put(request, bars, size)
        return bars, shared

    def _rows(
        self, pin: SeriesPin, within: TimeRange | None, columns: Sequence[ColumnLayout]
    ) -> tuple[pa.Table, Int64Array]:
        """Return the stored rows, sorted by time, and their bar starts in epoch seconds."""
        outlined = self._outlined
        if outlined is not None and outlined[0] == pin:
            _, table, times = outlined
            self._outlined = None if columns else outlined
            first, stop = (0, len(times)) if within is None else times.searchsorted((within.start, within.end)).tolist()
            return table.slice(first, stop - first), times[first:stop]
        condition = pinned_rows(pin)
        if within is not None:
            condition += f" AND ts >= {timestamp_literal(within.start)} AND ts < {timestamp_literal(within.end)}"
        with self._store.read_pinned(pin) as cursor:
            table = stored_rows(cursor, columns, condition)
            if table.num_rows == 0:
                refuse_if_gone(cursor, pin)
        self._store.counters.count_read(table.num_rows, table.nbytes)
        return in_time_order(table)
