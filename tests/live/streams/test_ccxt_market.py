"""The supervisor records an exchange as it does Alpaca: the stream, gaps, settled candles, differences."""

from __future__ import annotations

import asyncio

import pandas as pd
import pytest

from live.servers.binance_server import random_trades
from live.servers.binance_session import PACE, START, exchange, pass_time, until
from live.streams.recording import PACE as SUPERVISED
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.closed import only_closed
from lumibot_duckdb.live.recording.recorder import Recorder
from lumibot_duckdb.live.streams.ccxt_market import open_market
from lumibot_duckdb.live.streams.supervisor import Supervisor
from lumibot_duckdb.sources.shared.errors import ProviderError, UnknownMarketError
from lumibot_duckdb.storage.api import TimeRange

pytestmark = pytest.mark.long  # importing ccxt takes seconds

SYMBOLS = ("BTC/USDT", "ETH/USDT")


def test_exchange(storage: DuckDBDataStorage) -> None:
    trades = {coin: random_trades(START, START + 3 * 3600, 1.0, seed) for seed, coin in enumerate(("BTC", "ETH"))}
    with exchange(trades) as (server, _), Recorder(lambda: storage, pause_seconds=0.2) as recorder:

        async def main() -> Supervisor:
            market = open_market("binance", SYMBOLS, pace=PACE)
            supervisor = Supervisor(market, storage, recorder, SUPERVISED)
            stop = asyncio.Event()
            running = asyncio.create_task(supervisor.run(stop))
            await until(lambda: supervisor.totals.connections == 1)
            await pass_time(server, 1800)
            server.disconnect()
            await until(lambda: supervisor.totals.connections == 2)
            await pass_time(server, 3600)
            stop.set()
            await running
            return supervisor

        supervisor = asyncio.run(main())
        totals = supervisor.totals
        assert totals.streamed > 100
        assert totals.settled > 100
        assert totals.comparison.compared > 100
        assert totals.comparison.differing == 0, str(totals.comparison)
        recorder.flush(10)
        for each in open_market("binance", SYMBOLS).series:
            live, settled = (storage.read_pandas(storage.pin(key)) for key in (each.live.key, each.settled.key))
            assert len(settled) > 50
            common = live.index.intersection(settled.index)
            assert len(common) == len(settled)
            pd.testing.assert_frame_equal(live.loc[common], settled, check_freq=False)


def test_refusals(storage: DuckDBDataStorage) -> None:
    with pytest.raises(ProviderError, match="ccxt knows no exchange 'binanse'"):
        open_market("binanse", SYMBOLS)
    with (
        exchange({"BTC": random_trades(START, START + 600, 1.0, 1)}),
        pytest.raises(UnknownMarketError, match="has no market BTC/USDX"),
    ):
        open_market("binance", ["BTC/USDX"]).check()


@pytest.mark.parametrize("ahead", [0.0, 150.0, -150.0])
def test_rest_returns_no_open_candle_whatever_the_clock_of_this_machine_shows(ahead: float) -> None:
    """The exchange also returns the candle of the present minute, which still changes."""
    with exchange({"BTC": random_trades(START - 3600, START + 600, 20.0, 1)}) as (server, machine):
        machine.ahead = ahead
        (series,) = open_market("binance", ["BTC/USDT"]).series
        (found,) = series.live.read([TimeRange(START - 600, START + 300)])
        kept = only_closed(found, found.asked_at)
        assert server.now - 120 < kept.covered[-1].end <= server.now
        assert int(kept.bars.index[-1].timestamp()) + 60 == kept.covered[-1].end
        assert len(found.bars) == len(kept.bars)
