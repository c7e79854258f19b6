"""Emulates Lumibot's Polygon cache: which bars it would hold after its downloads in this backtest, starting empty.

Lumibot downloads the days that its cache file lacks, adds a marker row for each day that stayed empty, and cuts the
result to the requested times. Its answers depend on all of that, so the same rules (of `lumibot.tools.polygon_helper`)
are applied here to dates alone. A backtest therefore has the results of Lumibot's first run, no matter what is stored.
"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

import numpy as np
import pandas as pd
from lumibot.constants import LUMIBOT_DEFAULT_PYTZ
from lumibot.entities import Asset
from lumibot.tools import polygon_helper

from lumibot_duckdb.sources.polygon.client import day_range
from lumibot_duckdb.sources.polygon.metadata import WHOLE_NUMBERS
from lumibot_duckdb.sources.shared.days import DaySpan, joined
from lumibot_duckdb.sources.shared.downloaded_series import ALWAYS, DownloadedSeries
from lumibot_duckdb.sources.shared.nyse_days import nyse_days
from lumibot_duckdb.storage.api import EpochSeconds, SeriesFacts, TimeRange
from lumibot_duckdb.storage.bars.coverage import merged
from lumibot_duckdb.storage.bars.outline import Outline
from lumibot_duckdb.storage.times import Int64Array, bar_starts
from lumibot_duckdb.windows.ranges_view import NO_ROWS, Additions, RangesView, clipped, empty_rows

_DAY = 86_400
_TRADED_IN_NEW_YORK = (Asset.AssetType.STOCK, Asset.AssetType.OPTION, Asset.AssetType.INDEX)
_FRAME = ("open", "high", "low", "close", "volume", "vwap", "timestamp", "transactions", "otc")


class CachedSeries:
    """What Lumibot's cache file of one series would hold by now in this backtest."""

    def __init__(self, series: DownloadedSeries, asset: Asset, zone: str, timespan: str) -> None:
        self.series = series
        self._asset = asset
        self._zone = zone
        self._timespan = timespan
        self._spans: list[DaySpan] = []
        self._empty_days: set[date] = set()
        self._outlined: tuple[Any, Outline] | None = None

    # -- days ------------------------------------------------------------------------------------------------

    def missing_days(self, start: datetime, end: datetime) -> list[date]:
        """Return the trading days from `start` to `end` that have no row, by `get_missing_dates`."""
        days = _trading_days(self._asset, start, end)
        if self._asset.asset_type == Asset.AssetType.OPTION:
            days = [day for day in days if day <= self._asset.expiration]
        return self._without_row(days)

    def add_download(self, missing: list[date]) -> None:
        """Count all days from the first to the last missing one as downloaded. Those still empty get a marker row."""
        self._spans = joined([*self._spans, DaySpan(missing[0], missing[-1])])
        self._empty_days.update(self._without_row(missing))

    def add_empty_days(self, start: datetime, end: datetime) -> None:
        """Give all trading days a marker row, because the contract does not exist."""
        self._empty_days.update(self._without_row(_trading_days(self._asset, start, end)))

    def _without_row(self, days: list[date]) -> list[date]:
        """Return those of some days that have no row."""
        with_row = self._days_with_rows()
        if not len(with_row):
            return days
        empty = ~np.isin(np.array(days, "M8[D]").astype(np.int64), with_row)
        return [days[place] for place in np.flatnonzero(empty).tolist()]

    def range_of(self, span: DaySpan) -> TimeRange:
        """Return the range of time of a span of days, by this asset's zone."""
        return TimeRange(*day_range(self._zone, span))

    def _ranges(self) -> list[TimeRange]:
        return merged(self.range_of(span) for span in self._spans)

    def _days_with_rows(self) -> Int64Array:
        """Return the days, by UTC and counted from 1970, on which the file has a row; some may occur twice."""
        times = [np.array(self._empty_starts(), dtype=np.int64)]
        downloaded = self._downloaded_bars()
        if downloaded is not None and downloaded.times is not None:
            times.append(downloaded.times)
        elif downloaded is not None:
            # A day of New York is on at most two days of UTC: those of its first and of its last bar.
            times += [downloaded.days.first, downloaded.days.last]
        return np.concatenate(times) // _DAY

    def _downloaded_bars(self) -> Outline | None:
        """Return the outline of all downloaded bars, which is dropped once it is used; None if there are none."""
        pin, open_bars = self.series.pin, bar_starts(self.series.open_bars)
        if not self._spans or pin is None:
            return None
        key = (pin, tuple(self._spans), open_bars.tobytes())
        if self._outlined is None or self._outlined[0] != key:
            whole = self.series.storage.outline(pin)
            self._outlined = (key, whole.within(self._ranges(), self._starts, open_bars))
        return self._outlined[1]

    def _starts(self, part: TimeRange, whole: TimeRange = ALWAYS) -> Int64Array:
        """Return the starts of all downloaded bars that are in both of two ranges."""
        within = TimeRange(max(part.start, whole.start), min(part.end, whole.end))
        pin, open_bars = self.series.pin, bar_starts(self.series.open_bars_in(within))
        assert pin is not None
        pieces = clipped(self._ranges(), within)
        stored = [self.series.storage.read_bars(pin, piece, (), remember=False).times for piece in pieces]
        return np.union1d(np.concatenate([open_bars[:0], *stored]), open_bars)

    def _empty_starts(self) -> list[EpochSeconds]:
        """Return the times of the rows of empty days, which Lumibot computes with New York's mean solar time."""
        return sorted(
            int(datetime.combine(day, time.min, tzinfo=LUMIBOT_DEFAULT_PYTZ).timestamp()) for day in self._empty_days
        )

    # -- rows ------------------------------------------------------------------------------------------------

    def everything(self) -> RangesView | pd.DataFrame | None:
        """Return all rows, marker rows included."""
        return self._rows_in(ALWAYS, with_empty_days=True)

    def downloaded(self, start: datetime, end: datetime) -> RangesView | pd.DataFrame | None:
        """Return the bars from `start` to `end` as Lumibot returns them after a download."""
        if self._timespan != "day" and end.time() == time.min:
            end = LUMIBOT_DEFAULT_PYTZ.localize(datetime.combine(end.date(), time.max))
        return self._rows_in(self._bounds(start, end), with_empty_days=False)

    def read_again(self, start: datetime, end: datetime) -> RangesView | pd.DataFrame | None:
        """Return the rows from `start` to `end` as Lumibot returns them if nothing has to be downloaded."""
        return self._rows_in(self._bounds(start, end), with_empty_days=True)

    def _bounds(self, start: datetime, end: datetime) -> TimeRange:
        """Return the range that answers are cut to: whole UTC days for days, else both times included."""
        if self._timespan == "day":
            first, last = (int(pd.Timestamp(at.date()).value // 10**9) for at in (start, end))
            return TimeRange(first, max(first, last + _DAY))
        first, last = -int(-start.timestamp() // 1), int(end.timestamp() // 1)
        return TimeRange(first, max(first, last + 1))

    def _rows_in(self, within: TimeRange, *, with_empty_days: bool) -> RangesView | pd.DataFrame | None:
        """Return the rows in a range: a view of the series, a small frame if no bar is among them, None if no row."""
        empty = [at for at in self._empty_starts() if within.start <= at < within.end] if with_empty_days else []
        ranges = clipped(self._ranges(), within)
        every = self._downloaded_bars()
        if self.series.pin is not None and every is not None and ranges:
            self._outlined = None
            downloaded = every.within([within], lambda part: self._starts(part, within))
            if downloaded.rows:
                additions = self._additions(self._without_bar(empty, downloaded), ranges, within)
                return RangesView(self.series.storage, self.series.pin, ranges, additions, downloaded)
        if not empty:
            return None
        rows = empty_rows(empty)
        rows["missing"] = True
        return rows

    def _without_bar(self, starts: list[EpochSeconds], downloaded: Outline) -> list[EpochSeconds]:
        """Return those of some times at which no downloaded bar starts."""
        if downloaded.times is not None:
            return np.setdiff1d(np.array(starts, dtype=np.int64), downloaded.times).tolist()  # type: ignore[no-any-return]
        days = downloaded.days
        places = days.first.searchsorted(starts, side="right") - 1
        return [
            start
            for start, place in zip(starts, places.tolist(), strict=True)
            if place < 0 or start > days.last[place] or not len(self._starts(TimeRange(start, start + 1)))
        ]

    def _additions(self, empty: list[EpochSeconds], ranges: list[TimeRange], within: TimeRange) -> Additions:
        marked = bool(self._empty_days)
        open_bars = self.series.open_bars_in(within)
        unstored = ([open_bars] if len(open_bars) else []) + ([empty_rows(empty)] if empty else [])
        empty_ns = np.array(empty, dtype=np.int64) * 10**9

        def timestamps(nanoseconds: Int64Array, whole: bool) -> Any:
            milliseconds = nanoseconds // 10**6
            return np.where(np.isin(nanoseconds, empty_ns), np.nan, milliseconds) if marked else milliseconds

        def missing(nanoseconds: Int64Array, whole: bool) -> Any:
            marks = np.isin(nanoseconds, empty_ns)
            if not whole and len(empty_ns):  # filling propagates marks forward, so a piece inherits the mark before it
                marks[:1] |= nanoseconds[:1] > empty_ns[0]
            return np.where(marks, True, None)  # type: ignore[call-overload]

        return Additions(
            rows=pd.concat(unstored) if unstored else NO_ROWS,
            dtypes=self._dtypes(ranges, marked=marked),
            columns={"timestamp": timestamps, **({"missing": missing} if marked else {})},
            order=(*_FRAME, "missing") if marked else _FRAME,
        )

    def _dtypes(self, ranges: list[TimeRange], *, marked: bool) -> dict[str, str]:
        """Return the dtypes that differ from the stored ones.

        In Lumibot, a column of whole numbers stays so if all its values in the downloaded days are whole, regardless of
        other stored days, and if there is no marker row.
        """
        assert self.series.pin is not None
        storage, pin = self.series.storage, self.series.pin
        facts: SeriesFacts = storage.facts(pin)
        if marked:
            return {column.name: "float64" for column in facts.columns if column.dtype == "int64"}
        mixed = {column.name for column in facts.columns if column.mixed and column.dtype == "float64"}
        if not mixed:
            return {}
        brought = [set(ingest.metadata.get(WHOLE_NUMBERS, ())) for ingest in storage.ingests(pin, ranges)]
        return dict.fromkeys(mixed.intersection(*brought), "int64")


def _trading_days(asset: Asset, start: datetime, end: datetime) -> list[date]:
    """Return the days of `polygon_helper.get_trading_dates`; those of New York are remembered."""
    days = nyse_days(start.date(), end.date()) if asset.asset_type in _TRADED_IN_NEW_YORK else None
    return polygon_helper.get_trading_dates(asset, start, end) if days is None else list(days)


def zone_ticker(asset: Asset) -> str:
    """Return the prefix of the asset's tickers, which decides the time zone of its days."""
    prefixes = {Asset.AssetType.CRYPTO: "X:", Asset.AssetType.FOREX: "C:"}
    return prefixes.get(asset.asset_type, "")
