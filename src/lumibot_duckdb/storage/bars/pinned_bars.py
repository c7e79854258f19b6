"""Reads the rows of pinned series into arrays, frames and tables, with a cache of earlier results."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from lumibot_duckdb.storage.api import BarArrays, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars import output
from lumibot_duckdb.storage.bars.columns import in_time_order, pinned_rows, stored_rows
from lumibot_duckdb.storage.bars.first_bars import INGEST, FirstBars, range_to_read
from lumibot_duckdb.storage.bars.layout import ALWAYS_THERE, ColumnLayout
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.outline import Days, Outline
from lumibot_duckdb.storage.bars.outline_records import has_outline, outline_of
from lumibot_duckdb.storage.bars.short_series import ShortSeries
from lumibot_duckdb.storage.sql_times import starts_between
from lumibot_duckdb.storage.times import Int64Array


class PinnedBars:
    """Reads pinned bars of one store."""

    def __init__(self, store: OpenStore) -> None:
        self._store = store
        self._short = ShortSeries(store)
        self._outlined: tuple[SeriesPin, Days] | None = None  # the series whose bars are read next
        self._first: FirstBars | None = None  # until bars of another series are read, or some of these are

    def frame(self, pin: SeriesPin, within: TimeRange | None) -> pd.DataFrame:
        """Return bars as a frame of the caller's own."""
        layout = self._store.state(pin).layout
        request = ("rows", pin.version_id, pin.ingest_id, within)
        rows: tuple[pa.Table, Int64Array] | None = self._store.results.get(request)
        with self._store.counters.timing():
            if rows is None:
                rows = self._rows(pin, within, layout.columns)
                self._store.results.put(request, rows, rows[0].get_total_buffer_size())
            return output.frame(*rows, layout)

    def arrow(self, pin: SeriesPin, within: TimeRange | None) -> pa.Table:
        """Return bars as an Arrow table."""
        layout = self._store.state(pin).layout
        table, _ = self._rows(pin, within, layout.columns)
        return output.arrow_table(table, layout)

    def arrays(
        self, pin: SeriesPin, within: TimeRange | None, columns: Sequence[str] | None, *, remember: bool
    ) -> BarArrays:
        """Return bars as read-only arrays."""
        wanted = self._store.state(pin).layout.chosen(columns)
        request = ("bars", pin.version_id, pin.ingest_id, within, None if columns is None else tuple(columns))
        held: BarArrays | None = self._store.results.get(request)
        if held is not None:
            return held
        with self._store.counters.timing():
            table, times = self._rows(pin, within, wanted)
            bars = output.bar_arrays(table, times, wanted)
        output.protect(bars)
        if remember:
            self._store.results.put(request, bars, output.size_in_bytes(bars))
        return bars

    def outline(self, pin: SeriesPin) -> Outline:
        """Return the outline of the pinned bars: the stored one, or that of their starts."""
        kept = self._store.kept.get(pin)
        if kept is not None:
            return Outline(times=kept.bars.times)
        rows = self._store.state(pin).rows
        if not has_outline(rows):
            return Outline(times=self.whole(pin).times)
        with self._store.read_pinned(pin) as cursor:
            blocks = self._store.stored_blocks(cursor, pin)
            stored = outline_of(blocks, pin, rows, lambda within: self._times(pin, within))
        if stored is None:
            return Outline(times=self._times(pin, None))
        self._outlined = (pin, stored.days)
        return stored

    def ingest_ids(self, pin: SeriesPin, within: Sequence[TimeRange]) -> list[int] | None:
        """Return the ids of the writes that brought the bars in some ranges; None if the series is long."""
        return None if has_outline(self._store.state(pin).rows) else self.whole(pin).ingest_ids(within)

    def whole(self, pin: SeriesPin) -> FirstBars:
        """Return all bars of a short series. They are held, since they are usually read next."""
        first = self._first
        if first is None or first.pin != pin or first.within is not None:
            first = self._first = self._short.take(pin) or self._read_whole(pin)
        return first

    def _read_whole(self, pin: SeriesPin) -> FirstBars:
        columns = self._store.state(pin).layout.columns
        return FirstBars(pin, None, *self._read(pin, None, columns, INGEST))

    def _times(self, pin: SeriesPin, within: TimeRange | None) -> Int64Array:
        return self._rows(pin, within, ())[1]

    def _rows(
        self, pin: SeriesPin, within: TimeRange | None, columns: Sequence[ColumnLayout]
    ) -> tuple[pa.Table, Int64Array]:
        """Return the stored rows, sorted by time, and their bar starts in epoch seconds."""
        kept = self._store.kept.get(pin)
        part = self._first_part(pin, within, columns) if kept is None else kept.bars.part(within, columns)
        return self._read(pin, within, columns) if part is None else part

    def _first_part(
        self, pin: SeriesPin, within: TimeRange | None, columns: Sequence[ColumnLayout]
    ) -> tuple[pa.Table, Int64Array] | None:
        """Return rows that are read of a series at first; None for other rows."""
        first, outlined = self._first, self._outlined
        part = None if first is None or first.pin != pin else first.part(within, columns)
        if part is None and not columns and within is not None and outlined is not None and outlined[0] == pin:
            return self._first_times(pin, within, outlined[1])
        if columns:
            self._first = self._outlined = None
        return part

    def _first_times(self, pin: SeriesPin, within: TimeRange, days: Days) -> tuple[pa.Table, Int64Array] | None:
        """Return rows without columns: as the days of the series imply, or as read with rows that are needed next."""
        state = self._store.state(pin)
        times = days.every_minute(within) if state.on_minute else None
        if times is not None:
            return pa.table({}), times
        wide = range_to_read(days, within)
        if wide is None:
            return None
        prices = [column for column in state.layout.columns if column.physical in ALWAYS_THERE]
        self._first = first = FirstBars(pin, wide, *self._read(pin, wide, prices))
        return first.part(within, ())

    def _read(
        self, pin: SeriesPin, within: TimeRange | None, columns: Sequence[ColumnLayout], *further: str
    ) -> tuple[pa.Table, Int64Array]:
        condition = pinned_rows(pin)
        if within is not None:
            condition += f" AND {starts_between(within.start, within.end)}"
        with self._store.read_pinned(pin) as cursor:
            table = stored_rows(cursor, columns, condition, further)
            if table.num_rows == 0:
                self._store.refuse_if_gone(cursor, pin)
        self._store.counters.count_read(table.num_rows, table.nbytes)
        return in_time_order(table)
