"""What Lumibot's Yahoo helper downloads for a live strategy is recorded, apart from the history of backtests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from lumibot.backtesting import YahooDataBacktesting as LumibotYahooDataBacktesting
from lumibot.data_sources import YahooData as LumibotYahooData
from lumibot.entities import Asset

from live.reads.recorders import recorded, stored
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import YahooDataBacktesting
from lumibot_duckdb.sources.yahoo.history import asset_of
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from parity.ground import silence
from sources.yahoo.market import made_up, new_york_days, walk
from sources.yahoo.server import Instrument, YahooServer
from sources.yahoo.sides import Side

NEW_YORK = "America/New_York"


@pytest.fixture(scope="module")
def server() -> Iterator[YahooServer]:
    """A stock that pays on 2024-03-15, and a coin."""
    stock = Instrument(walk(new_york_days("2023-01-03", "2024-06-28"), 1), dividends={dt.date(2024, 3, 15): 0.5})
    coin = made_up(dt.date(2024, 6, 28))["BTC-USD"]
    with YahooServer(instruments={"STK": stock, "BTC-USD": coin}) as server:
        yield server


def moment(text: str) -> dt.datetime:
    return pd.Timestamp(text, tz=NEW_YORK).to_pydatetime()


@pytest.mark.long
@pytest.mark.parametrize("symbol", ["STK", "BTC-USD"])
def test_recorded_days_are_those_that_a_backtest_downloads(symbol: str, tmp_path: Path, server: YahooServer) -> None:
    side = Side(YahooDataBacktesting, tmp_path)
    storage = DuckDBDataStorage(side.store)
    keys = [SeriesKey(asset_of(symbol), source, "day", "split") for source in ("yahoo_live", "yahoo")]
    for day in ("2024-03-14", "2024-03-18"):  # the dividend in between changes every adjusted close
        server.now = pd.Timestamp(f"{day} 18:00", tz=NEW_YORK).tz_convert("UTC")
        with side.entered(server), silence():
            with recorded(storage):
                trading = LumibotYahooData(datetime_start=moment(day), datetime_end=moment(f"{day} 17:00"))
                assert trading.get_historical_prices(Asset(symbol), 5, "day") is not None
            backtest = side.source(moment("2023-06-01"), moment(f"{day} 17:00"))
            backtest._datetime = moment(day)
            backtest.get_historical_prices(Asset(symbol), 5, "day")
        live, history = (stored(storage, key) for key in keys)
        (piece,) = storage.coverage(keys[0])
        assert live.index[-1] < pd.Timestamp(day, tz=NEW_YORK)  # the day is not settled
        within = TimeRange(piece.start, int(live.index[-1].timestamp()) + 1)
        pd.testing.assert_frame_equal(live, stored(storage, keys[1], within), check_like=True)
        assert len(history) - len(live) <= 3


def test_backtests_are_not_recorded(tmp_path: Path, server: YahooServer) -> None:
    side = Side(LumibotYahooDataBacktesting, tmp_path)
    server.now = pd.Timestamp("2024-03-14 18:00", tz=NEW_YORK).tz_convert("UTC")
    with side.entered(server), silence(), recorded(DuckDBDataStorage(side.store)) as (kept, _):
        backtest = side.source(moment("2023-06-01"), moment("2024-03-14"))
        backtest._datetime = moment("2024-03-01")
        assert backtest.get_historical_prices(Asset("STK"), 5, "day") is not None
    assert kept.kept == []
