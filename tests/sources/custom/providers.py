"""Providers for tests, and the data source that a user of Lumibot alone would write for the same bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from lumibot.backtesting import PandasDataBacktesting
from lumibot.entities import Asset, Data

from lumibot_duckdb import BarProvider, BarRequest, BarResponse, StockSplit

NEW_YORK = "America/New_York"
DAY = 86_400


class FramesProvider(BarProvider):
    """Answers from frames by symbol and timeframe, a day or so at a time, and keeps the requests."""

    def __init__(self, frames: Mapping[tuple[str, str], pd.DataFrame], *, days_a_piece: int = 1) -> None:
        self.frames = dict(frames)
        self.timeframes = [each for each in ("minute", "hour", "day") if any(key[1] == each for key in frames)]
        self.requests: list[BarRequest] = []
        self.answered: list[tuple[int, int]] = []
        self.fails_after: int | None = None
        self.error: Exception = KeyError("the answer has no bars")
        self._piece = days_a_piece * DAY

    def bars(self, request: BarRequest) -> Iterator[BarResponse]:
        self.requests.append(request)
        for start, end in request.ranges:
            for at in range(start, end, self._piece):
                if self.fails_after == 0:
                    raise self.error
                if self.fails_after is not None:
                    self.fails_after -= 1
                until = min(at + self._piece, end)
                self.answered.append((at, until))
                yield BarResponse(at, until, self.between(request, at, until))

    def between(self, request: BarRequest, start: int, end: int) -> pd.DataFrame:
        frame = self.frames.get((request.symbol, request.timeframe))
        if frame is None:
            return pd.DataFrame()
        seconds = frame.index.as_unit("s").asi8
        return frame[(seconds >= start) & (seconds < end)]


class SplitProvider(FramesProvider):
    """Adjusts its prices for the splits that it has."""

    known_splits: Sequence[StockSplit] = ()

    def splits(self, symbol: str) -> Sequence[StockSplit]:
        return self.known_splits


class LumibotOnDemand(PandasDataBacktesting):
    """Puts frames in Lumibot's data store when they are first needed, as its own Polygon class does."""

    frames: Mapping[tuple[str, str], pd.DataFrame]

    def _need(self, asset: Any, quote: Any, length: int, timestep: str, now: datetime) -> None:
        base, quote = asset if isinstance(asset, tuple) else (asset, quote or Asset("USD", "forex"))
        start, unit = self.get_start_datetime_and_ts_unit(length, timestep, now, start_buffer=timedelta(days=5))
        since = pd.Timestamp(start).tz_convert(NEW_YORK).normalize()
        finer = {"minute": ["minute"], "hour": ["hour", "minute"], "day": ["day", "hour", "minute"]}[unit]
        held = self.pandas_data.get((base, quote))
        if held is not None and held.timestep in finer:
            if held.wanted_since <= since:
                return
            unit = held.timestep
        else:
            available = {timeframe for _, timeframe in self.frames}
            usable = [each for each in finer if each in available]
            if not usable:
                return
            unit = usable[0]
        pair = base.asset_type in ("crypto", "forex")
        symbol = f"{base.symbol}/{quote.symbol}" if pair else base.symbol
        frame = self.frames.get((symbol, unit))
        end = pd.Timestamp(self.datetime_end).tz_convert(NEW_YORK).normalize() + pd.Timedelta(days=1)
        if frame is None or (frame := frame[(frame.index >= since) & (frame.index < end)]).empty:
            return
        frame = frame.copy()
        frame.index.freq = None  # no provider answers with one
        data = Data(base, frame, timestep=unit, quote=quote if pair else None)
        data.wanted_since = since
        self.pandas_data[base, quote] = data

    def find_asset_in_data_store(self, asset: Any, quote: Any = None, timestep: Any = None) -> Any:
        self._need(asset, quote, 1, timestep or self._timestep, self.get_datetime())
        return super().find_asset_in_data_store(asset, quote, timestep)

    def _pull_source_symbol_bars(
        self,
        asset: Any,
        length: int,
        timestep: str = "",
        timeshift: Any = 0,
        quote: Any = None,
        exchange: Any = None,
        include_after_hours: bool = True,
    ) -> Any:
        now = self.get_datetime()
        self._need(
            asset,
            quote,
            max(length, 1),
            timestep or self.MIN_TIMESTEP,
            now - timeshift if isinstance(timeshift, timedelta) else now,
        )
        return super()._pull_source_symbol_bars(
            asset, length, timestep, timeshift, quote, exchange, include_after_hours
        )


def lumibot_class(frames: Mapping[tuple[str, str], pd.DataFrame]) -> type[LumibotOnDemand]:
    """Return Lumibot's side over frames; named like ours, since Lumibot looks at the name of the class."""
    return type("ProviderDataBacktesting", (LumibotOnDemand,), {"frames": dict(frames)})
