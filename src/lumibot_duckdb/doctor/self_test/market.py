"""Generated bars for the self-test, with a split, dividends, a clock change, and a coin traded around the clock."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lumibot_duckdb.demo.market import MARKET_TIME_ZONE, crypto_bars, us_stock_bars

if TYPE_CHECKING:
    import pandas as pd

    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

STOCKS = ("SIM001", "SIM002")
COIN, COINS_QUOTE, EXCHANGE = "SIM", "USDT", "binance"
OWN = "self-test"
"""The source name of user-supplied bars."""
FIRST_DAY, LAST_DAY = date(2024, 2, 26), date(2024, 3, 16)
"""There are minute bars for `FIRST_DAY <= day < LAST_DAY`; New York changes its clocks on 10 March."""
_FIRST_SESSION = date(2023, 10, 2)
_SPLIT_DAY, _SPLIT = "2024-03-05", 4.0
_AGGREGATION = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
_DIVIDEND_DAYS, _DIVIDEND = ("2023-12-15", "2024-03-08"), 0.37


def minutes(symbol: str) -> pd.DataFrame:
    """Return the minute bars of one of `STOCKS`, extended hours included."""
    return us_stock_bars(symbol, FIRST_DAY, LAST_DAY)


def fill_store(path: Path) -> None:
    """Fill a new store with the bars of every source, covered as if they had been downloaded."""
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import AssetKey, CorporateAction

    storage = DuckDBDataStorage(path)
    try:
        for symbol in STOCKS:
            bars, days = minutes(symbol), _days(symbol)
            storage.store_ohlcv_data(symbol, bars, OWN, "minute")
            _store(storage, symbol, _detailed(bars, "vwap", "transactions"), "polygon", "minute", "split")
            _store(storage, symbol, _detailed(days, "vwap", "transactions"), "polygon", "day", "split")
            _store(storage, symbol, _detailed(bars, "trade_count", "vwap"), "alpaca", "minute", "split")
            for timeframe, length in {"5minute": "5min", "hour": "1h"}.items():
                longer = bars.resample(length).agg(_AGGREGATION).dropna()
                _store(storage, symbol, _detailed(longer, "trade_count", "vwap"), "alpaca", timeframe, "split")
            _store(storage, symbol, _detailed(days, "trade_count", "vwap"), "alpaca", "day", "split")
            market = {"zone": MARKET_TIME_ZONE, "market": "us_market", "market_zone": MARKET_TIME_ZONE}
            _store(storage, symbol, _with_events(days), "yahoo", "day", "split", metadata=market)
            split = CorporateAction(date.fromisoformat(_SPLIT_DAY), split_from=1, split_to=_SPLIT)
            storage.record_corporate_actions(symbol, [split], "polygon")
        coin = AssetKey(COIN, "crypto", COINS_QUOTE, exchange=EXCHANGE)
        candles = crypto_bars(COIN, FIRST_DAY, LAST_DAY).tz_convert("UTC")
        _store(storage, coin, candles, "ccxt", "minute")
        _store(storage, coin, candles.resample("1D").agg(_AGGREGATION), "ccxt", "day")
    finally:
        storage.close()


def _store(
    storage: DuckDBDataStorage,
    asset: object,
    bars: pd.DataFrame,
    source: str,
    timeframe: str,
    adjustment: str = "",
    metadata: dict[str, str] | None = None,
) -> None:
    from lumibot_duckdb.storage.api import TimeRange

    last = datetime(LAST_DAY.year, LAST_DAY.month, LAST_DAY.day, tzinfo=timezone.utc)
    everything = TimeRange(int(datetime(1900, 1, 1, tzinfo=timezone.utc).timestamp()), int(last.timestamp()))
    storage.store_ohlcv_data(
        asset,  # type: ignore[arg-type]
        bars,
        source,
        timeframe,
        adjustment=adjustment,
        covered=everything,
        metadata=metadata,
    )


def _days(symbol: str) -> pd.DataFrame:
    """Return daily bars, stamped at New York's midnight, from the regular sessions of generated minutes."""
    minutes = us_stock_bars(symbol, _FIRST_SESSION, LAST_DAY).between_time("09:30", "15:59")
    days: pd.DataFrame = minutes.groupby(minutes.index.normalize()).agg(_AGGREGATION)
    days.index.name = "datetime"
    return days


def _detailed(bars: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Add the further columns of a provider: the average price and the number of trades."""
    values = {
        "vwap": (bars["high"] + bars["low"] + bars["close"]) / 3,
        "trade_count": np.ceil(bars["volume"] / 80),
        "transactions": np.ceil(bars["volume"] / 80),
    }
    detailed: pd.DataFrame = bars.assign(**{column: values[column] for column in columns})
    return detailed


def _with_events(days: pd.DataFrame) -> pd.DataFrame:
    """Add dividends and a split as Yahoo has them, and closes adjusted for the dividends."""
    dates = np.array([day.date().isoformat() for day in days.index])
    dividend = np.where(np.isin(dates, _DIVIDEND_DAYS), _DIVIDEND, 0.0)
    kept = 1 - dividend / days["close"].to_numpy()
    until_then = np.append(np.cumprod(kept[::-1])[::-1][1:], 1.0)
    with_events: pd.DataFrame = days.assign(dividend=dividend, stock_splits=np.where(dates == _SPLIT_DAY, _SPLIT, 0.0))
    with_events.insert(4, "adj_close", days["close"] * until_then)
    return with_events
