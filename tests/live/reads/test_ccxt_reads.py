"""What `CcxtData` reads is recorded, and equals what `CcxtBacktesting` downloads from the same exchange later."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest
from lumibot import constants
from lumibot.data_sources import ccxt_data
from lumibot.data_sources.ccxt_data import CcxtData
from lumibot.entities import Asset
from lumibot.tools import shared_bar_cache

from live.reads.moments import SetClock, set_clock
from live.reads.recorders import KeptBars, recorded, stored
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import CcxtBacktesting
from lumibot_duckdb.demo.market import crypto_bars
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from parity.ground import silence
from sources.ccxt.binance_server import BinanceServer
from sources.ccxt.sides import Side

NOW = dt.datetime(2024, 3, 12, 11, 0, 30, tzinfo=dt.timezone.utc)
COIN, DOLLAR = Asset("BTC", "crypto"), Asset("USDT", "crypto")
BTC = AssetKey("BTC", "crypto", "USDT", exchange="binance")


@pytest.fixture(scope="module")
def server() -> Iterator[BinanceServer]:
    with BinanceServer() as server:
        minutes = crypto_bars("BTC", dt.date(2024, 3, 5), dt.date(2024, 3, 13))
        server.list_market("BTC", "USDT", minutes[minutes.index != minutes.index[-500]])
        yield server


@contextmanager
def live(folder: Path, server: BinanceServer, **config: Any) -> Iterator[tuple[CcxtData, SetClock, KeptBars]]:
    """Trade live on Tuesday at eleven."""
    side = Side(CcxtBacktesting, folder)
    shared_bar_cache._reset_process_memory()
    with (
        side.entered(server),
        silence(),
        set_clock(NOW, ccxt_data) as clock,
        mock.patch.object(constants, "LUMIBOT_CACHE_FOLDER", str(folder)),
        recorded(DuckDBDataStorage(side.store)) as (kept, _),
    ):
        source = CcxtData({"exchange_id": "binance", "sandbox": False, **config})
        yield source, clock, kept


def test_recorded_candles_are_those_that_a_backtest_downloads(tmp_path: Path, server: BinanceServer) -> None:
    with live(tmp_path / "live", server) as (source, clock, kept):
        for timestep, length in (("minute", 400), ("minute", 60), ("day", 3)):
            source.get_historical_prices(COIN, length, timestep, quote=DOLLAR)
            clock.let_pass(minutes=10)
    ours = DuckDBDataStorage(tmp_path / "live" / "store.duckdb")
    side = Side(CcxtBacktesting, tmp_path / "later")
    with side.entered(server), silence():
        start, end = (dt.datetime(2024, 3, day, tzinfo=dt.timezone.utc) for day in (8, 13))
        made = side.source(start, end)
        made._update_datetime(end)
        for timestep in ("minute", "day"):
            made.get_historical_prices(COIN, 3, timestep, quote=DOLLAR)
        theirs = DuckDBDataStorage(side.store)
        for timeframe, least in (("minute", 400), ("day", 3)):
            key = SeriesKey(BTC, "ccxt", timeframe)
            (piece,) = ours.coverage(key)  # without a hole, although the exchange lacks a minute
            expected = stored(theirs, key, piece)
            pd.testing.assert_frame_equal(stored(ours, key, piece), expected)
            assert len(stored(ours, key)) == len(expected) >= least
    assert {each.key.source for each in kept.kept} == {"ccxt"}


def test_a_sandbox_is_kept_apart(tmp_path: Path, server: BinanceServer) -> None:
    with live(tmp_path, server) as (source, _, kept):
        source.config["sandbox"] = True
        source.get_historical_prices(COIN, 10, "minute", quote=DOLLAR)
    assert {each.key for each in kept.kept} == {SeriesKey(BTC, "ccxt_sandbox_live", "minute")}
