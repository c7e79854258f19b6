"""`indicators` of the CCXT source: candles that have closed, as the exchange has them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import CcxtBacktesting
from lumibot_duckdb.sources.shared.errors import UnknownMarketError
from parity.ground import silence
from sources.ccxt.binance_server import BinanceServer
from sources.ccxt.market import moment
from sources.ccxt.sides import Side
from sources.ccxt.test_client import DAY, START, minutes
from sources.ccxt.test_source import BITCOIN, LATE

REQUESTS = ["rsi(3)", "ema(5)", "vwap_session"]


def test_values_are_those_of_the_newest_candle_that_has_closed(tmp_path: Path) -> None:
    server = BinanceServer()
    server.list_market("BTC", "USDT", minutes(22 * 1_440, START - 13 * DAY))
    side = Side(CcxtBacktesting, tmp_path / "ours")
    now = moment("2023-03-13 12:03")
    with server, side.entered(server), silence():
        source = side.source(moment("2023-03-12 12:00"), moment("2023-03-14 12:00"))
        source._datetime = now
        found = {step: source.indicators(BITCOIN, REQUESTS, step, 4) for step in ("minute", "5min", "hour", "day")}
        shown = {
            step: source.get_historical_prices(BITCOIN, 1, step).df.index[-1] for step in ("minute", "hour", "day")
        }
        assert source.indicators(BITCOIN[0], REQUESTS, quote=BITCOIN[1]).equals(found["day"].tail(1))
        with pytest.raises(UnknownMarketError, match="Binance has no market LATE/USDT"):
            source.indicators(LATE, "rsi")
    with DuckDBDataStorage(side.store) as storage:
        for step, values in found.items():
            assert step == "5min" or values.index[-1] == shown[step]
            full = storage.indicators(("BTC", "USDT"), REQUESTS, step)
            length = pd.Timedelta("1D" if step == "day" else f"1{step}" if step != "5min" else step)
            closed = full[full.index + length <= pd.Timestamp(now)]
            pd.testing.assert_frame_equal(values, closed.tail(4), rtol=1e-9, check_freq=False, check_index_type=False)
