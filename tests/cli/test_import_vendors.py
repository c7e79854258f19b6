"""Small files in the formats that vendors publish, each with the options that it takes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cli.files import Command
from lumibot_duckdb.storage.api import AssetKey

VENDORS = Path(__file__).with_name("vendors")
NY = "America/New_York"

# The format, the file, the options, the series that result, and start, open, close and volume of its first bar.
IMPORTS = {
    "Kraken OHLCVT": (
        "XBTUSD_60.csv",
        ["--header", "time,open,high,low,close,volume,trade_count", "--asset-type", "crypto"],
        (AssetKey("XBT", "crypto", "USD"), "hour", 4),
        ("2024-01-01 00:00", 42265.3, 42480.2, 153.41023498),
    ),
    "HistData, generic ASCII": (
        "DAT_ASCII_EURUSD_M1_202401.csv",
        [
            *("--header", "time,open,high,low,close,volume", "--timezone=UTC-5", "--symbol", "EURUSD"),
            *("--asset-type", "forex"),
        ],
        (AssetKey("EUR", "forex", "USD"), "minute", 4),
        ("2024-01-02 05:00", 1.10427, 1.10425, 0),
    ),
    "FirstRate Data": (
        "AAPL_full_1min_adjsplit.txt",
        ["--header", "time,open,high,low,close,volume", "--timezone", NY, "--symbol", "AAPL", "--adjustment", "split"],
        (AssetKey("AAPL"), "minute", 4),
        ("2024-01-02 09:00", 187.62, 187.94, 5814),
    ),
    "Kibot": (
        "IBM.txt",
        ["--header", "date,time,open,high,low,close,volume", "--timezone", NY],
        (AssetKey("IBM"), "minute", 4),
        ("2024-01-02 14:30", 161.89, 162.0, 58231),
    ),
    "TradingView": (
        "BATS_SPY, 5.csv",
        ["--symbol", "SPY"],
        (AssetKey("SPY"), "5minute", 3),
        ("2024-01-02 14:30", 472.16, 472.1, 1650211),
    ),
    "EODHD, days": (
        "MCD.US.csv",
        [],
        (AssetKey("MCD"), "day", 3),
        ("2024-01-02 05:00", 295.01, 297.04, 2850100),
    ),
    "EODHD, intraday": (
        "TSLA.US_intraday.csv",
        [],
        (AssetKey("TSLA"), "5minute", 3),
        ("2024-01-02 14:30", 250.08, 250.3099, 4102331),
    ),
    "NinjaTrader": (
        "ES 03-24.Last.txt",
        [
            *("--header", "time,open,high,low,close,volume", "--timezone", "UTC", "--symbol", "ES"),
            *("--asset-type", "cont_future"),
        ],
        (AssetKey("ES", "cont_future"), "minute", 3),
        ("2024-01-02 14:30", 4820.25, 4820.75, 5240),
    ),
    "Finam": (
        "SBER_240102_240104.txt",
        ["--timezone", "Europe/Moscow"],
        (AssetKey("SBER"), "hour", 3),
        ("2024-01-03 07:00", 271.9, 272.4, 1893300),
    ),
    "Sierra Chart": (
        "NQH24_FUT_CME.txt",
        ["--timezone", NY, "--symbol", "NQ", "--asset-type", "future", "--expiration", "2024-03-15"],
        (AssetKey("NQ", "future", expiration=pd.Timestamp("2024-03-15").date()), "minute", 3),
        ("2024-01-02 14:30", 16810.25, 16815.75, 5120),
    ),
    "QuantQuote": (
        "allstocks_20240102/table_msft.csv",
        ["--header", "date,time,open,high,low,close,volume,,,", "--timezone", NY],
        (AssetKey("MSFT"), "minute", 3),
        ("2024-01-02 14:30", 373.86, 373.55, 1203311),
    ),
    "CBOE": (
        "VIX_History.csv",
        ["--asset-type", "index"],
        (AssetKey("VIX", "index"), "day", 4),
        ("2024-01-02 05:00", 13.21, 13.2, None),
    ),
    "Quandl EOD": (
        "EOD-HD.csv",
        ["--name-pattern", "EOD-{symbol}.csv"],
        (AssetKey("HD"), "day", 3),
        ("2018-03-26 04:00", 174.0, 177.5, 6301010),
    ),
    "OKX": (
        "BTC-USDT-candlesticks-2024-01-02.csv",
        [],
        (AssetKey("BTC", "crypto", "USDT"), "minute", 3),
        ("2024-01-02 00:00", 44180.1, 44201.9, 10.52),
    ),
    "Twelve Data": (
        "twelvedata_GOOG_1h.csv",
        ["--timezone", NY, "--name-pattern", "twelvedata_{symbol}_*.csv"],
        (AssetKey("GOOG"), "hour", 3),
        ("2024-01-02 18:30", 138.71, 139.05, 1710440),
    ),
    "NSE, all stocks of a day": (
        "cm02JAN2024bhav.csv",
        ["--timezone", "Asia/Kolkata"],
        (AssetKey("INFY"), "day", 1),
        ("2024-01-01 18:30", 1545.0, 1516.75, 5230418),
    ),
    "Binance klines, microseconds": (
        "ETHUSDT-1m-2025-01-02.csv",
        [
            *("--asset-type", "crypto", "--header"),
            "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,",
        ],
        (AssetKey("ETH", "crypto", "USDT"), "minute", 3),
        ("2025-01-02 00:00", 3360.38, 3364.1, 210.1234),
    ),
}


@pytest.mark.parametrize("vendor", IMPORTS)
def test_the_format_of_a_vendor_is_imported(command: Command, vendor: str) -> None:
    file, options, (asset, timeframe, rows), first = IMPORTS[vendor]
    ended = command("import", VENDORS / file, *options)
    assert ended.code == 0, ended.out
    assert command.quarantined() == []
    found = [info for info in command.storage().list_series() if info.key.asset == asset]
    assert [(info.key.timeframe, info.rows) for info in found] == [(timeframe, rows)]
    bars = command.storage().get_historical_prices(asset, timeframe=timeframe)
    bar, start = bars.iloc[0], bars.index[0].tz_convert("UTC")
    assert (f"{start:%Y-%m-%d %H:%M}", bar["open"], bar["close"], bar.get("volume")) == first
