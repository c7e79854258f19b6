"""A stream, Lumibot's live source and a backtest see one exchange: their candles are the same in the store."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from unittest import mock

import pytest
from lumibot import constants
from lumibot.data_sources import ccxt_data
from lumibot.data_sources.ccxt_data import CcxtData
from lumibot.entities import Asset
from lumibot.tools import shared_bar_cache

from live.reads.moments import SetClock, set_clock
from live.reads.recorders import KeptBars, recorded
from live.servers.binance_server import LiveBinanceServer, random_trades, stream_redirected_to
from live.servers.binance_session import PACE, START, assert_same, between, starts, until
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import CcxtBacktesting
from lumibot_duckdb.live.streams.ccxt_stream import open_stream
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from parity.ground import silence
from sources.ccxt.sides import Side

pytestmark = pytest.mark.xdist_group("ccxt_streams")

COIN, DOLLAR = Asset("BTC", "crypto"), Asset("USDT", "crypto")
BTC = AssetKey("BTC", "crypto", "USDT", exchange="binance")
STREAMED, SETTLED = (SeriesKey(BTC, source, "minute") for source in ("ccxt_live", "ccxt"))
MINUTES = 35


def moment(time: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(time, dt.timezone.utc)


async def trade(server: LiveBinanceServer, clock: SetClock, kept: KeptBars) -> None:
    """Let an hour pass. A strategy reads prices all the time, and a stream is recorded beside it."""
    stream = open_stream("binance", ["BTC/USDT"], pace=PACE)
    running = asyncio.ensure_future(stream.run(kept.record, lambda: None))
    source = CcxtData({"exchange_id": "binance", "sandbox": False})
    await until(lambda: server.subscriptions)
    for second in range(0, MINUTES * 60, 20):
        server.advance(20)
        clock.now = moment(server.now)
        await asyncio.sleep(0.004)
        if second % 300 == 0:
            bars = source.get_historical_prices(COIN, 30, "minute", quote=DOLLAR).df
            assert starts(bars)[-1] == server.now // 60 * 60  # the strategy sees the candle that is open
    await until(lambda: stream.markets[0].candles.next >= server.now - 130)
    await stream.close()
    await running


def test_three_ways(tmp_path: Path) -> None:
    server = LiveBinanceServer(now=START + 30)
    server.list_trades("BTC", "USDT", random_trades(START - 86_400, START + 7_200, 4, seed=5))
    live, later = (Side(CcxtBacktesting, tmp_path / name) for name in ("live", "later"))
    shared_bar_cache._reset_process_memory()
    with server, silence(), stream_redirected_to(server):
        with (
            live.entered(server),
            set_clock(moment(server.now), ccxt_data) as clock,
            mock.patch.object(constants, "LUMIBOT_CACHE_FOLDER", str(tmp_path / "cache")),
            recorded(DuckDBDataStorage(live.store)) as (kept, _),
        ):
            asyncio.run(trade(server, clock, kept))
        with later.entered(server), set_clock(moment(server.now + 3_600)):
            server.advance(3_600)
            source = later.source(moment(START), moment(START + MINUTES * 60))
            source._update_datetime(moment(START + MINUTES * 60))
            source.get_historical_prices(COIN, 3, "minute", quote=DOLLAR)
    ours, theirs = DuckDBDataStorage(live.store), DuckDBDataStorage(later.store)
    downloaded = theirs.read_pandas(theirs.pin(SETTLED))
    for key, begin, end in ((STREAMED, START, MINUTES - 2), (SETTLED, START - 30 * 60, MINUTES - 5 - 16)):
        found = ours.read_pandas(ours.pin(key))
        within = TimeRange(begin, START + end * 60)
        assert_same(between(found, within), between(downloaded, within))
        assert len(between(found, within)) == end + (START - begin) // 60
        assert starts(found)[-1] <= START + MINUTES * 60 - (60 if key == STREAMED else 15 * 60)
