"""Chooses the series of the store from which a session is backtested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lumibot_duckdb.live.replay.errors import ReplayError
from lumibot_duckdb.storage.api import AsOf, AssetKey, DataStorageInterface, SeriesInfo, SeriesKey, TimeRange
from lumibot_duckdb.storage.timeframes import canonical_timeframe, timeframe_unit

_LIVE = "_live"
"""The suffix of sources whose series have bars that backtests would not get in this form."""
_UNITS = ("minute", "hour", "day")


@dataclass(frozen=True)
class RecordedBars:
    """The series of a replay by the names of their assets, which all have one timeframe; and names without a series."""

    timeframe: str
    named: Mapping[str, SeriesKey]
    missing: tuple[str, ...]

    @property
    def series(self) -> tuple[SeriesKey, ...]:
        """All series, each once."""
        return tuple(dict.fromkeys(self.named.values()))


@dataclass(frozen=True)
class StoredTimes:
    """The starts of stored bars in microseconds, by the names of their assets."""

    timeframe: str
    times: Mapping[str, NDArray[np.int64]]

    def of(self, asset: str, timestep: str) -> NDArray[np.int64] | None:
        """Return those of an asset; None if bars of a timestep are not those that are stored."""
        try:
            is_stored = canonical_timeframe(timestep or self.timeframe) == self.timeframe
        except ValueError:
            return None
        return self.times.get(asset) if is_stored else None


def recorded_bars(
    storage: DataStorageInterface,
    tables: dict[str, pa.Table],
    span: TimeRange,
    *,
    source: str | None = None,
    adjustment: str | None = None,
) -> RecordedBars:
    """Return the series with the bars of the assets that a session requested or traded.

    They have the smallest unit that the session needs: minutes, unless it requested days only. Of several series of an
    asset, the one that covers most of the session is taken; if that is equal, one that backtests use, too.

    Parameters:
        source: Take series from this source only.
        adjustment: Take series with this adjustment only.

    Raises `ReplayError` if the store has none.
    """
    names = _asset_names(tables)
    series = [
        info
        for info in storage.list_series(source=source)
        if (info.last or 0) >= span.start
        and adjustment in (None, info.key.adjustment)
        and timeframe_unit(info.key.timeframe) in _UNITS
    ]
    for timeframe in _by_preference({info.key.timeframe for info in series}, _needs_days_only(tables["live_requests"])):
        offered = [info for info in series if info.key.timeframe == timeframe]
        chosen = {name: _best([info for info in offered if _is_named(info.key.asset, name)], span) for name in names}
        found = {name: info.key for name, info in chosen.items() if info is not None}
        if found:
            return RecordedBars(timeframe, found, tuple(name for name, info in chosen.items() if info is None))
    of = f" of the source {source}" if source else ""
    adjusted = "" if adjustment is None else f" with the adjustment {adjustment!r}"
    raise ReplayError(
        f"the store has no bars{of}{adjusted} of what this session requested ({', '.join(names[:5]) or 'nothing'}) "
        "while it ran: record them (run --live; bars are stored 15 minutes after their end), download them with a "
        "backtest, or name the store that has them (--store)"
    )


def stored_times(
    storage: DataStorageInterface, bars: RecordedBars, tables: Mapping[str, pa.Table], as_of: AsOf | None
) -> StoredTimes:
    """Return which bars of a session's requests are stored. Lumibot fills gaps, so a backtest does not tell."""
    import pandas as pd
    import pyarrow.compute as pc

    requests = tables["live_requests"]
    first, last = pc.min(requests["first_bar"]).as_py(), pc.max(requests["last_bar"]).as_py()
    if first is None or last is None:
        return StoredTimes(bars.timeframe, {})
    times = {}
    for name, key in bars.named.items():
        frame = storage.get_historical_prices(
            key.asset,
            first,
            last + timedelta(microseconds=1),
            key.timeframe,
            key.source,
            adjustment=key.adjustment,
            as_of=as_of,
        )
        times[name] = np.array(pd.DatetimeIndex(frame.index).as_unit("us").asi8)
    return StoredTimes(bars.timeframe, times)


def _asset_names(tables: dict[str, pa.Table]) -> list[str]:
    return list(dict.fromkeys(name for table in ("live_requests", "trades") for name in _texts(tables[table], "asset")))


def _texts(table: pa.Table, column: str) -> list[str]:
    return [text for text in table[column].to_pylist() if text]


def _needs_days_only(requests: pa.Table) -> bool:
    units = set()
    for timestep in _texts(requests, "timestep"):
        try:
            units.add(timeframe_unit(canonical_timeframe(timestep)))
        except ValueError:  # a timestep of Lumibot's that the store does not have
            continue
    return units == {"day"}


def _by_preference(timeframes: Iterable[str], days_only: bool) -> list[str]:
    units = _UNITS[::-1] if days_only else _UNITS
    return sorted(timeframes, key=lambda each: (units.index(timeframe_unit(each)), len(each), each))


def _is_named(asset: AssetKey, name: str) -> bool:
    parts = [asset.symbol]
    if asset.expiration is not None:
        parts.append(asset.expiration.isoformat())
    if asset.strike is not None:
        parts.append(f"{asset.strike:.15g}")
    if asset.right is not None:
        parts.append(asset.right)
    own = " ".join(parts)
    base, slash, quote = name.partition("/")
    return base == own and (not slash or asset.quote in (None, quote))


def _best(series: list[SeriesInfo], span: TimeRange) -> SeriesInfo | None:
    return max(
        series,
        key=lambda info: (_covered(info, span), not info.key.source.endswith(_LIVE), info.rows, info.key.source),
        default=None,
    )


def _covered(info: SeriesInfo, span: TimeRange) -> int:
    """Return how many seconds of a span a series covers; without known coverage, those from its first to last bar."""
    first, last = info.first or 0, info.last or 0
    ranges = info.coverage or (TimeRange(first, last),)
    return sum(max(0, min(each.end, span.end) - max(each.start, span.start)) for each in ranges)
