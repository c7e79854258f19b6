"""In which series the bars of a live source belong."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from lumibot.entities import Asset
from lumibot.tools.shared_bar_cache import BarSeries

from lumibot_duckdb.live.reads.series_keys import NotRecordedError, destination_of
from lumibot_duckdb.lumibot_contract.live_reads_hooks import asset_read
from lumibot_duckdb.storage.api import AssetKey, SeriesKey

SPY = AssetKey("SPY")
CALL = AssetKey("SPY", "option", expiration=dt.date(2024, 1, 19), strike=470.0, right="CALL")
BITCOIN = AssetKey("BTC", "crypto", "USDT", exchange="kraken")


def alpaca(symbol: str = "SPY", timestep: str = "1minute", **contract: Any) -> BarSeries:
    usual = {"requestType": "StockBarsRequest", "feed": None, "adjustment": "all", "asof": None, "currency": None}
    return BarSeries.make("alpaca", symbol, timestep, adjusted=True, **{**usual, **contract})


def of_broker(provider: str, symbol: str = "SPY", timestep: str = "1minute", **contract: Any) -> BarSeries:
    usual = {"assetType": "stock", "extendedHours": True, "session": "all"}
    return BarSeries.make(provider, symbol, timestep, adjusted=True, **{**usual, **contract})


def of_exchange(symbol: str, timestep: str = "1minute", **contract: Any) -> BarSeries:
    usual = {"exchange": "kraken", "sandbox": False}
    return BarSeries.make("ccxt", symbol, timestep, adjusted=False, **{**usual, **contract})


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (alpaca(), SeriesKey(SPY, "alpaca", "minute", "all")),
        (alpaca(timestep="60minute"), SeriesKey(SPY, "alpaca", "hour", "all")),
        (alpaca(adjustment="split"), SeriesKey(SPY, "alpaca", "minute", "split")),
        (alpaca(adjustment="raw"), SeriesKey(SPY, "alpaca_live", "minute")),
        (alpaca(adjustment=None), SeriesKey(SPY, "alpaca_live", "minute")),
        (alpaca(feed="iex"), SeriesKey(SPY, "alpaca_iex_live", "minute", "all")),
        (
            alpaca("BTC/USD", requestType="CryptoBarsRequest", adjustment=None),
            SeriesKey(AssetKey("BTC", "crypto", "USD"), "alpaca", "minute"),
        ),
        (
            alpaca("SPY240119C00470000", requestType="OptionBarsRequest", adjustment=None),
            SeriesKey(CALL, "alpaca", "minute"),
        ),
        (of_exchange("BTC/USDT"), SeriesKey(BITCOIN, "ccxt", "minute")),
        (of_exchange("BTC/USDT", "5minute", sandbox=True), SeriesKey(BITCOIN, "ccxt_sandbox_live", "5minute")),
        (of_broker("schwab"), SeriesKey(SPY, "schwab", "minute", "split")),
        (of_broker("schwab", extendedHours=False), SeriesKey(SPY, "schwab_regular", "minute", "split")),
        (of_broker("schwab", "SPY   240119C00470000", assetType="option"), SeriesKey(CALL, "schwab", "minute")),
        (of_broker("schwab", "$SPX", assetType="index"), SeriesKey(AssetKey("SPX", "index"), "schwab", "minute")),
        (of_broker("tradier", timestep="1day"), SeriesKey(SPY, "tradier", "day", "split")),
        (of_broker("tradier", session="open"), SeriesKey(SPY, "tradier_regular", "minute", "split")),
    ],
)
def test_series_of_the_store(series: BarSeries, expected: SeriesKey) -> None:
    assert destination_of(series).key == expected


@pytest.mark.parametrize(
    ("series", "why"),
    [
        (of_broker("bitunix"), "the provider 'bitunix' is not known"),
        (alpaca(asof="2020-01-02"), "its symbol is meant as of 2020-01-02"),
        (alpaca(requestType="IndexBarsRequest"), "IndexBarsRequest is not a known kind"),
        (alpaca("SPY", requestType="OptionBarsRequest"), "SPY is not the symbol of an option"),
        (of_exchange("BTC/USDT", exchange=None), "its exchange is not known"),
        (BarSeries.make("ccxt", "BTC/USDT", "1minute"), "'exchange'"),
        (BarSeries.make("ibkr_rest", "756733", "1day", bar="1d", outsideRth=True, exchange=None), "its asset"),
    ],
)
def test_series_that_are_not_recorded(series: BarSeries, why: str) -> None:
    with pytest.raises(NotRecordedError, match=why):
        destination_of(series)


def test_interactive_brokers_series_are_named_after_the_asset_of_the_read() -> None:
    contract: dict[str, Any] = {"outsideRth": True, "exchange": None, "continuous": False}
    token = asset_read.set(Asset("SPY"))
    try:
        found = destination_of(BarSeries.make("ibkr_rest", "756733", "5minute", bar="5min", **contract))
        assert found.key == SeriesKey(SPY, "interactive_brokers", "5minute", "split")
        with pytest.raises(NotRecordedError, match="years"):  # which Lumibot's series calls days
            destination_of(BarSeries.make("ibkr_rest", "756733", "1day", bar="1y", **contract))
    finally:
        asset_read.reset(token)
