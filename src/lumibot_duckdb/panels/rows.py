"""Makes the rows of a panel, one asset after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray, Mask
from lumibot_duckdb.analytics.cross_asset.closes import market_days
from lumibot_duckdb.analytics.indicator_values import IndicatorValues
from lumibot_duckdb.analytics.reading import IndicatorBars
from lumibot_duckdb.analytics.requests import Request
from lumibot_duckdb.analytics.series import ChosenSeries
from lumibot_duckdb.analytics.span import Span, listed, nothing_in
from lumibot_duckdb.panels.bar_ends import bar_ends
from lumibot_duckdb.panels.errors import PanelError
from lumibot_duckdb.panels.features import Features
from lumibot_duckdb.panels.targets import UNKNOWN, Target
from lumibot_duckdb.storage.api import BarReader
from lumibot_duckdb.storage.timeframes import is_of_days
from lumibot_duckdb.storage.times import EpochSeconds, Int64Array

NEVER = np.iinfo(np.int64).min
"""When a missing value is known: as a count of any unit, NumPy's, pandas' and Arrow's missing time."""

JOINS = ("outer", "inner")


@dataclass(frozen=True)
class Known:
    """The values of a target, and when they are known, in epoch seconds; `NEVER` where the value is missing."""

    values: FloatArray
    known_at: Int64Array


@dataclass(frozen=True)
class AssetRows:
    """The rows of one asset: bar starts in epoch seconds, a column for each feature, and the targets."""

    symbol: str
    times: Int64Array
    features: list[FloatArray]
    targets: list[Known]

    def chosen(self, which: Mask) -> AssetRows:
        """Return the rows that a mask selects."""
        return AssetRows(
            self.symbol,
            self.times[which],
            [column[which] for column in self.features],
            [Known(target.values[which], target.known_at[which]) for target in self.targets],
        )


@dataclass(frozen=True)
class PanelRows:
    """The rows of a panel.

    Attributes:
        storage: Where the bars are.
        series: The series, in the order of the rows.
        features: The features.
        targets: The targets.
        span: The start of the first bar, and the moment after which nothing is known.
        zone: The time zone whose days count.
        join: "outer" for all rows, "inner" for those whose time all assets have.
    """

    storage: BarReader
    series: Sequence[ChosenSeries]
    features: Features
    targets: Sequence[Target]
    span: Span
    zone: str
    join: str

    @property
    def requests(self) -> tuple[Request, ...]:
        """The indicators that features and targets need."""
        needed = [*self.features.indicators, *(each for target in self.targets for each in target.indicators)]
        return tuple(dict.fromkeys(needed))

    def indicator_values(self) -> IndicatorValues:
        """Return what computes the indicators. Raises `MissingLibraryError` if one needs TA-Lib."""
        inputs = [*self.features.inputs, *(name for target in self.targets for name in target.inputs)]
        return IndicatorValues(self.requests, self.zone, inputs, self.features.bars_before)

    def of_each_asset(self, values: IndicatorValues) -> Iterator[AssetRows]:
        """Yield the rows of one asset after another; `values` are closed at the end.

        Raises `PanelError` if there are none.
        """
        empty = []
        shown = 0
        try:
            common = self._common_keys() if self.join == "inner" else None
            for each in self.series:
                rows = self._rows(values, each)
                if not len(rows.times):
                    empty.append(each)
                if common is not None:
                    rows = rows.chosen(_which(rows.times, each.timeframe, common))
                shown += len(rows.times)
                yield rows
                del rows  # not needed while the next series is read
            if not shown and self.series:
                raise PanelError(self._nothing(empty))
        finally:
            values.close()

    def _nothing(self, empty: Sequence[ChosenSeries]) -> str:
        if empty:
            return nothing_in(self.storage, empty, self.span)
        names = listed([each.symbol for each in self.series])
        return f"no bars of {names} in the range have the same time: choose another range, or join='outer'"

    def _rows(self, values: IndicatorValues, series: ChosenSeries) -> AssetRows:
        computed = values.compute(series.bars(self.storage), self.span)
        ends = bar_ends(computed.bars.times, series.timeframe, self.zone)
        bars = computed.bars.chosen(slice(0, _closed(ends, self.span.end)))
        outputs = {each: tuple(found[: len(bars)] for found in columns) for each, columns in computed.outputs.items()}
        shown = slice(computed.first, len(bars))
        features = [column[shown] for column in self.features.values(bars, outputs)]
        targets = []
        for target in self.targets:
            outcome = target.outcome(bars, outputs)
            decided_by = outcome.decided_by[shown]
            known_at = np.where(decided_by == UNKNOWN, NEVER, ends[decided_by])
            targets.append(Known(outcome.values[shown], known_at))
        return AssetRows(series.symbol, bars.times[shown], features, targets)

    def _common_keys(self) -> Int64Array:
        """Return the times that all assets have."""
        reader = IndicatorBars((), (), self.zone)
        try:
            common: Int64Array | None = None
            for each in self.series:
                times = self._times(reader, each)
                keys, _ = row_keys(times, each.timeframe)
                common = keys if common is None else np.intersect1d(common, keys, assume_unique=True)
        finally:
            reader.close()
        return np.empty(0, np.int64) if common is None else common

    def _times(self, reader: IndicatorBars, series: ChosenSeries) -> Int64Array:
        read = next(reader.attempts(series.bars(self.storage), self.span))
        times = read.bars.times
        return times[read.first : _closed(bar_ends(times, series.timeframe, self.zone), self.span.end)]


def row_keys(times: Int64Array, timeframe: str) -> tuple[Int64Array, Mask]:
    """Return by which times rows of different assets are joined, and which rows count.

    Bars of days and longer are joined by date, as in `closes`: of several bars of a date, the last one counts.
    """
    if is_of_days(timeframe):
        return market_days(times)
    return times, np.ones(len(times), bool)


def _which(times: Int64Array, timeframe: str, common: Int64Array) -> Mask:
    keys, counted = row_keys(times, timeframe)
    which: Mask = counted.copy()
    which[counted] = np.isin(keys, common, assume_unique=True)
    return which


def _closed(ends: Int64Array, end: EpochSeconds | None) -> int:
    """Return how many bars have ended by a moment."""
    return len(ends) if end is None else int(ends.searchsorted(end, "right"))
