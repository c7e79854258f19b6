"""What a backtest sees of a series that Lumibot would have downloaded in ranges, with rows that it would have added."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.api import (
    BarArrays,
    DataStorageInterface,
    EpochSeconds,
    SeriesPin,
    TimeRange,
)
from lumibot_duckdb.storage.bars.outline import Outline
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array, bar_starts
from lumibot_duckdb.windows.series_view import REPAIRED_COLUMNS, StoredView

NO_ROWS: pd.DataFrame = pd.DataFrame()
"""No further rows. One frame serves all, since making it takes longer than the rest of a view."""


@dataclass(frozen=True)
class Additions:
    """What frames have beyond the stored bars.

    Parameters:
        rows: further rows by bar start (UTC). Columns of the series that they lack are missing values.
        dtypes: dtypes of columns that differ from the stored ones.
        columns: further columns. Each function gets the bar starts of a frame (ns) and whether it is the whole series.
        order: all columns in their order; by default those of the series.
    """

    rows: pd.DataFrame = field(default_factory=lambda: NO_ROWS)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Callable[[Int64Array, bool], Any]] = field(default_factory=dict)
    order: Sequence[str] = ()


class RangesView(StoredView):
    """The bars of a pinned series in some ranges, and rows that are not stored.

    Parameters:
        storage: the storage.
        pin: the pinned series.
        ranges: the visible ranges, sorted and disjoint.
        additions: what frames have beyond the stored bars.
        outline: the outline of the pinned series, or of no less of it than is visible.
    """

    def __init__(
        self,
        storage: DataStorageInterface,
        pin: SeriesPin,
        ranges: Sequence[TimeRange],
        additions: Additions,
        outline: Outline,
    ) -> None:
        super().__init__(storage, pin)
        self._ranges = list(ranges)
        self._additions = additions
        self._added = additions.rows.sort_index() if len(additions.rows) else NO_ROWS
        self._added_times = bar_starts(self._added)
        visible = self._visible(outline)
        self._visible_once: Outline | None = visible
        self._first_stored = self._first_stored_of(outline, visible)
        self._stored_gaps = {column.name for column in self.facts.columns if column.has_nulls}
        gaps = {name for name in self._added.columns if self._added[name].isna().any()} if len(self._added) else set()
        columns = tuple(
            replace(
                column,
                dtype=additions.dtypes.get(column.name, column.dtype),
                has_nulls=column.has_nulls
                or column.name in gaps
                or (len(self._added) > 0 and column.name not in self._added),
            )
            for column in self.facts.columns
        )
        first, last = visible.ends or (None, None)
        on_minute = self.facts.on_minute and not (self._added_times % 60).any()
        self.facts = replace(
            self.facts, columns=columns, rows=visible.rows, first=first, last=last, on_minute=on_minute
        )

    @property
    def complete_from(self) -> EpochSeconds | None:
        """Start of the first row from which on no filled row lacks a value; None if unknown."""
        if self._stored_gaps & REPAIRED_COLUMNS:
            return None
        lacking = any(column.has_nulls and column.name in REPAIRED_COLUMNS for column in self.facts.columns)
        return self._first_stored if lacking else self.facts.first

    def surely_has(self, column: str, time: EpochSeconds) -> bool:
        """Whether the row at `time` has a value in a column, if that is known without reading it; else False."""
        return column not in self._stored_gaps and not np.isin(time, self._added_times)

    def frame_columns(self) -> list[str]:
        """Return the columns of `frame`."""
        return list(self._additions.order) or super().frame_columns()

    def times(self) -> Int64Array:
        """Return the starts of all rows."""
        return self._starts(TimeRange(self.facts.first or 0, (self.facts.last or 0) + 1))

    def outline(self) -> Outline:
        """Return the outline of all rows. What is known of it at first is returned once and not kept."""
        visible, self._visible_once = self._visible_once, None
        return visible if visible is not None else self._visible(self._storage.outline(self._pin))

    def _visible(self, outline: Outline) -> Outline:
        """Return the outline of all rows, given that of the whole pinned series."""
        return outline.within(self._ranges, self._starts, self._added_times)

    def _starts(self, within: TimeRange) -> Int64Array:
        return self.bars(within, ()).times

    def _first_stored_of(self, outline: Outline, visible: Outline) -> EpochSeconds | None:
        """Return the first row that is a stored bar."""
        if visible.times is not None:
            head = visible.times[: len(self._added_times) + 1]
            stored = head[~np.isin(head, self._added_times)]
            return int(stored[0]) if len(stored) else None
        ends = visible.ends
        if ends is not None and np.isin(ends[0], self._added_times):
            ends = outline.within(self._ranges, self._stored_starts).ends
        return None if ends is None else ends[0]

    def _stored_starts(self, within: TimeRange) -> Int64Array:
        pieces = [self._stored(piece, ()).times for piece in self._inside(within)]
        return np.concatenate([self._added_times[:0], *pieces])

    def _stored(self, within: TimeRange, columns: Sequence[str] | None) -> BarArrays:
        return self._storage.read_bars(self._pin, within, columns, remember=False)

    def _inside(self, within: TimeRange) -> list[TimeRange]:
        """Return the visible parts of a range."""
        return clipped(self._ranges, within)

    def bars(self, within: TimeRange, columns: Sequence[str] | None = None) -> BarArrays:
        """Return the rows in a range, with all stored columns unless some are named."""
        names = [column.name for column in self.facts.columns] if columns is None else list(columns)
        pieces = [self._stored(piece, names) for piece in self._inside(within) or [TimeRange(0, 0)]]
        low, high = self._added_times.searchsorted((within.start, within.end))
        if high > low:
            pieces.append(self._added_bars(int(low), int(high), names))
        times = pieces[0].times if len(pieces) == 1 else np.concatenate([piece.times for piece in pieces])
        order = np.argsort(times, kind="stable") if high > low else None
        dtypes = {column.name: column.dtype for column in self.facts.columns}
        arrays = {}
        for name in names:
            parts = [piece.columns[name] for piece in pieces]
            values = (parts[0] if len(parts) == 1 else np.concatenate(parts)).astype(dtypes[name], copy=False)
            arrays[name] = values if order is None else values[order]
        return BarArrays(times if order is None else times[order], arrays)

    def _added_bars(self, low: int, high: int, names: Sequence[str]) -> BarArrays:
        rows = self._added.iloc[low:high]
        objects = {column.name for column in self.facts.columns if column.dtype == "object"}
        columns = {
            name: rows[name].to_numpy() if name in rows else np.full(high - low, None if name in objects else np.nan)
            for name in names
        }
        return BarArrays(self._added_times[low:high], columns)

    def frame(self, within: TimeRange | None = None) -> pd.DataFrame:
        """Return rows as the frame that Lumibot would get, by bar start (New York time)."""
        pieces = self._ranges if within is None else self._inside(within)
        frames = [self._storage.read_pandas(self._pin, piece) for piece in pieces or [TimeRange(0, 0)]]
        frame = frames[0] if len(frames) == 1 else pd.concat(frames)
        added = self._added
        if within is not None:
            low, high = self._added_times.searchsorted((within.start, within.end))
            added = added.iloc[int(low) : int(high)]
        frame = frame.astype({name: dtype for name, dtype in self._additions.dtypes.items() if name in frame})
        if len(added):
            added = added.tz_convert(frame.index.tz)
            valued = len(frame) or len(added.columns)
            frame = pd.concat([frame, added]).sort_index() if valued else frame.reindex(added.index)
            for name in frame.select_dtypes("object").columns:
                frame[name] = frame[name].where(frame[name].notna(), None)
        nanoseconds = pd.DatetimeIndex(frame.index).as_unit("ns").asi8
        for name, make in self._additions.columns.items():
            frame[name] = make(nanoseconds, within is None)
        frame.index.name = "datetime"
        ordered: pd.DataFrame = frame[self.frame_columns()]
        return ordered

    def last_time_at_or_before(self, time: EpochSeconds, column: str | None = None) -> EpochSeconds | None:
        """Return the start of the last row at or before `time` (where `column` is not missing), if any."""
        stored = self._last_stored(time, column)
        added = self._added_times[: int(self._added_times.searchsorted(time, side="right"))]
        if column is not None and len(added):
            known = column in self._added
            added = added[self._added[column].notna().to_numpy()[: len(added)]] if known else added[:0]
        if not len(added):
            return stored
        return int(added[-1]) if stored is None else max(stored, int(added[-1]))

    def _last_stored(self, time: EpochSeconds, column: str | None) -> EpochSeconds | None:
        for piece in reversed(self._ranges):
            if piece.start > time:
                continue
            found = self._storage.last_time_at_or_before(self._pin, min(time, piece.end - 1), column)
            if found is not None and found >= piece.start:
                return found
        return None


def clipped(ranges: Sequence[TimeRange], within: TimeRange) -> list[TimeRange]:
    """Return the parts of ranges that lie within another range."""
    bounds = [(max(piece.start, within.start), min(piece.end, within.end)) for piece in ranges]
    return [TimeRange(start, end) for start, end in bounds if start < end]


def empty_rows(starts: Sequence[EpochSeconds]) -> pd.DataFrame:
    """Return rows without columns, by bar start (UTC)."""
    index = pd.DatetimeIndex(np.array(starts, dtype=np.int64) * NANOSECONDS_PER_SECOND, tz="UTC", name="datetime")
    rows: pd.DataFrame = pd.DataFrame(index=index)
    return rows
