"""Warm-up gives the frames of the providers' own clients, of bars that a backtest downloaded."""

from __future__ import annotations

import threading
from pathlib import Path

import ccxt
import pandas as pd
from alpaca.data.enums import Adjustment
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest
from alpaca.data.timeframe import TimeFrame

from live.conftest import SetClock
from live.markets import BTC, SPY, Markets, between, new_york
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.backfill.downloads import download_missing
from lumibot_duckdb.live.reads.live_read import FetchOne
from lumibot_duckdb.live.warm_up.warm_up import WarmUp
from lumibot_duckdb.storage.api import SeriesKey
from sources.alpaca.server import KEY, SECRET


def alpaca_as_lumibot_asks_it() -> FetchOne:
    client = StockHistoricalDataClient(KEY, SECRET)

    def fetch(start: pd.Timestamp, stop: pd.Timestamp) -> pd.DataFrame | None:
        request = StockBarsRequest(
            symbol_or_symbols=["SPY"],
            timeframe=TimeFrame.Minute,
            start=start.to_pydatetime(),
            end=stop.to_pydatetime(),
            adjustment=Adjustment.ALL,
        )
        frame = client.get_stock_bars(request).df
        return frame.xs("SPY", level=0) if len(frame) else None

    return fetch


def binance_as_lumibot_asks_it() -> FetchOne:
    exchange = ccxt.binance({"enableRateLimit": True})

    def fetch(start: pd.Timestamp, stop: pd.Timestamp) -> pd.DataFrame | None:
        since, frames = start.value // 10**6, []
        while since <= stop.value // 10**6:
            candles = exchange.fetch_ohlcv("BTC/USDT", "1m", since=since, limit=300)
            if not candles:
                break
            frame = pd.DataFrame(candles, columns=["datetime", "open", "high", "low", "close", "volume"])
            frame["datetime"] = pd.to_datetime(frame["datetime"], unit="ms", utc=True)
            frames.append(frame.set_index("datetime"))
            since = candles[-1][0] + 60_000
        return pd.concat(frames).sort_index() if frames else None

    return fetch


def check(
    storage: DuckDBDataStorage, markets: Markets, key: SeriesKey, broker: FetchOne, start: pd.Timestamp
) -> WarmUp:
    """Download all but the last two hours as a backtest does, and compare a read with and without the store."""
    stop = new_york(1, "15:00")
    download_missing(
        storage, markets.rest, key, between(start, new_york(1, "13:00")), threading.Event(), lambda _: None
    )
    warm_up = WarmUp(lambda: storage, lambda _: True, deadline_seconds=60)
    found, expected = warm_up.fetch(None, key, start, stop, broker), broker(start, stop)
    assert found is not None
    assert expected is not None
    inside, own = (frame[(frame.index >= start) & (frame.index < stop)] for frame in (found, expected))
    pd.testing.assert_frame_equal(inside, own, check_exact=True, check_freq=False)
    assert inside.index.dtype == own.index.dtype
    assert warm_up.counts.bars > 0.6 * len(own)
    return warm_up


def test_alpacas_frames(tmp_path: Path, markets: Markets, set_clock: SetClock) -> None:
    set_clock(new_york(1, "15:30"))
    check(DuckDBDataStorage(tmp_path), markets, SPY, alpaca_as_lumibot_asks_it(), new_york(0, "09:30"))
    asked = [request.query["start"] for request in markets.alpaca.asked("/v2/stocks/bars")]
    assert len(asked) == 4  # the download, the oldest bars, the latest, and everything for the comparison
    assert asked[2] == "2024-03-12T16:57:00+00:00"  # 12:57 in New York: three bars are compared


def test_binances_frames(tmp_path: Path, markets: Markets, set_clock: SetClock) -> None:
    set_clock(new_york(1, "15:30"))
    storage = DuckDBDataStorage(tmp_path)
    warm_up = check(storage, markets, BTC, binance_as_lumibot_asks_it(), new_york(0, "20:00"))
    assert warm_up.counts.reads == 1
