"""The loopback server answers Alpaca's official clients."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest, CryptoBarsRequest, StockBarsRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetStatus
from alpaca.trading.requests import GetOptionContractsRequest

from sources.alpaca.loopback_client import clients_redirected_to
from sources.alpaca.server import KEY, NEW_YORK, SECRET, Action, AlpacaServer, Contract

START = pd.Timestamp("2024-03-08 09:30", tz=NEW_YORK)


def minutes(start: pd.Timestamp = START, count: int = 390) -> pd.DataFrame:
    index = pd.date_range(start, periods=count, freq="min")
    close = 100 + np.arange(count) / 100
    prices = {"open": close, "high": close + 0.5, "low": close - 0.5, "close": close + 0.25}
    return pd.DataFrame({**prices, "volume": np.arange(count) + 1}, index=index)


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    with AlpacaServer() as server, clients_redirected_to(server.url):
        server.serve("stock", "SPY", minutes())
        server.serve("crypto", "BTC/USD", minutes(pd.Timestamp("2024-03-08", tz="UTC"), 3000))
        yield server


def stock_bars(timeframe: TimeFrame = TimeFrame.Minute, **settings: object) -> pd.DataFrame:
    asked = {"start": START.to_pydatetime(), "end": (START + pd.Timedelta(days=1)).to_pydatetime(), **settings}
    request = StockBarsRequest(symbol_or_symbols="SPY", timeframe=timeframe, **asked)
    return StockHistoricalDataClient(KEY, SECRET).get_stock_bars(request).df


def test_minutes_come_page_by_page_and_are_the_same(server: AlpacaServer) -> None:
    server.page_limit = 100
    frame = stock_bars().loc["SPY"]
    expected = minutes()
    assert list(frame.index) == list(expected.index)
    assert np.array_equal(frame["close"], expected["close"])
    assert len(server.asked("stocks")) == 4


def test_larger_bars_are_made_of_minutes(server: AlpacaServer) -> None:
    hours = stock_bars(TimeFrame(1, TimeFrameUnit.Hour)).loc["SPY"]
    assert hours.index[0] == pd.Timestamp("2024-03-08 10:00", tz=NEW_YORK)  # the bar of 9:00 begins before the range
    day = stock_bars(TimeFrame.Day, start=dt.datetime(2024, 3, 8, 5)).loc["SPY"]
    assert list(day.index) == [pd.Timestamp("2024-03-08", tz=NEW_YORK)]
    assert day["volume"].iloc[0] == minutes()["volume"].sum()


def test_days_of_crypto_begin_in_chicago(server: AlpacaServer) -> None:
    request = CryptoBarsRequest(symbol_or_symbols="BTC/USD", timeframe=TimeFrame.Day, start=dt.datetime(2024, 3, 8))
    request.end = dt.datetime(2024, 3, 20)
    days = CryptoHistoricalDataClient(KEY, SECRET).get_crypto_bars(request).df.loc["BTC/USD"]
    assert days.index[0] == pd.Timestamp("2024-03-08", tz="America/Chicago")


def test_history_is_adjusted_when_it_is_requested(server: AlpacaServer) -> None:
    server.serve("stock", "SPY", pd.concat([minutes(), minutes(START + pd.Timedelta(days=3))]))
    server.actions += [Action("SPY", "2024-03-11", 1, 4), Action("SPY", "2024-03-11", amount=1.0)]
    whole = {"start": START.to_pydatetime(), "end": dt.datetime(2024, 3, 12)}
    raw, split, everything = (stock_bars(adjustment=how, **whole)["close"].iloc[0] for how in ("raw", "split", "all"))
    assert split == raw / 4
    assert everything < split


def test_corporate_actions(server: AlpacaServer) -> None:
    server.actions += [Action("SPY", "2024-03-11", 1, 4), Action("SPY", "2024-03-12", amount=1.0)]
    server.page_limit = 1
    request = CorporateActionsRequest(symbols=["SPY"], start=dt.date(2000, 1, 1), end=dt.date(2025, 1, 1))
    found = CorporateActionsClient(KEY, SECRET).get_corporate_actions(request).data
    assert found["forward_splits"][0].new_rate == 4
    assert found["cash_dividends"][0].ex_date == dt.date(2024, 3, 12)


def test_contracts_of_the_account_that_the_key_is_for(server: AlpacaServer) -> None:
    server.accounts = ("live",)
    server.contracts += [
        Contract("SPY240315C00500000", "SPY", "2024-03-15", "call", 500.0),
        Contract("SPY990115C00500000", "SPY", "2099-01-15", "call", 500.0),
    ]
    request = GetOptionContractsRequest(underlying_symbols=["SPY"], status=AssetStatus.INACTIVE)
    with pytest.raises(APIError) as refused:
        TradingClient(KEY, SECRET, paper=True).get_option_contracts(request)
    assert refused.value.status_code == 401
    found = TradingClient(KEY, SECRET, paper=False).get_option_contracts(request).option_contracts
    assert [contract.symbol for contract in found] == ["SPY240315C00500000"]


def test_a_wrong_key_is_refused(server: AlpacaServer) -> None:
    request = StockBarsRequest(
        symbol_or_symbols="SPY", timeframe=TimeFrame.Day, start=dt.datetime(2024, 3, 8), end=dt.datetime(2024, 3, 9)
    )
    with pytest.raises(APIError) as refused:
        StockHistoricalDataClient("wrong", SECRET).get_stock_bars(request)
    assert refused.value.status_code == 403


def test_the_latest_minutes_are_refused(server: AlpacaServer) -> None:
    with pytest.raises(APIError, match="recent SIP"):
        stock_bars(end=dt.datetime.now(dt.timezone.utc))
