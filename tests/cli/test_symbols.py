"""Symbols of file names, the assets they stand for, and timeframes of words and spacings."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.paths import symbol_of_file_name, timeframe_of_file_name
from lumibot_duckdb.importing.symbols import AssetChoice
from lumibot_duckdb.importing.timeframes import timeframe_of_spacing, timeframe_of_word
from lumibot_duckdb.importing.vocabulary import COMPRESSED_SUFFIXES, FILE_NAME_WORDS, FILE_SUFFIXES
from lumibot_duckdb.storage.api import AssetKey


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("AAPL.csv", "AAPL"),
        ("aapl_1min.csv.gz", "AAPL"),
        ("/some/where/AAPL.parquet", "AAPL"),
        ("BTC-USD.csv", "BTC-USD"),
        ("BTC_USD.csv", "BTC-USD"),
        ("BTC-USD-1h.csv", "BTC-USD"),
        ("BTCUSDT-1m-2024-01.csv", "BTCUSDT"),
        ("Binance_BTCUSDT_1h.csv", "BTCUSDT"),
        ("BRK-B.csv", "BRK-B"),
        ("BRK.B.csv", "BRK.B"),
        ("brk-b.us.txt", "BRK-B"),
        ("aapl.us.txt", "AAPL"),
        ("daily_IBM.csv", "IBM"),
        ("intraday_5min_IBM.csv", "IBM"),
        ("AAPL_2020-01-01_2023-01-01.csv", "AAPL"),
        ("AAPL-20240102.csv", "AAPL"),
        ("SPY.1min.csv", "SPY"),
        ("EURUSD_M1.csv", "EURUSD"),
        ("AAPL (1).csv", "AAPL"),
        ("^GSPC.csv", "^GSPC"),
        ("NQ=F.csv", "NQ=F"),
        ("0700.HK.csv", "0700.HK"),
        ("600519.csv", "600519"),
        ("T.csv", "T"),
        ("ALL.csv", "ALL"),
        ("MIN.csv", "MIN"),
        ("ALL_1min.csv", "ALL"),
        ("data.csv", None),
        ("bars.parquet", None),
        ("HistoricalData_1700000000000.csv", None),
        ("2024-01.csv", None),
        ("Brent Oil Historical Data.csv", None),
        ("DAT_MT_EURUSD_M1_2020.csv", None),
    ],
)
def test_the_symbol_of_a_file_name(name: str, symbol: str | None) -> None:
    assert symbol_of_file_name(name) == symbol


_TICKERS = st.from_regex(r"[A-Z]{2,5}", fullmatch=True).filter(
    lambda text: text.lower() not in FILE_NAME_WORDS and timeframe_of_word(text) is None
)
_TIMEFRAMES = st.sampled_from(["1min", "5m", "1h", "daily", "1d", "M5", "minute"])
_EXTRAS = st.sampled_from(["2024-01-02", "20240102", "2023", "data", "ohlcv", "historical"])


@examples(50)
@given(
    _TICKERS,
    st.lists(st.one_of(_TIMEFRAMES, _EXTRAS), max_size=3, unique=True),
    st.integers(0, 3),
    st.sampled_from(FILE_SUFFIXES),
    st.sampled_from(["", *COMPRESSED_SUFFIXES]),
    st.booleans(),
)
def test_a_ticker_is_found_among_other_words_of_a_name(
    ticker: str, others: list[str], place: int, suffix: str, compressed: str, lower: bool
) -> None:
    words = [*others[:place], ticker.lower() if lower else ticker, *others[place:]]
    assert symbol_of_file_name("_".join(words) + suffix + compressed) == ticker


@pytest.mark.parametrize(
    ("name", "timeframe"),
    [
        ("AAPL_1min.csv", "minute"),
        ("BTC-1h-2024.csv", "hour"),
        ("daily_IBM.csv", "day"),
        ("EURUSD_M15.csv", "15minute"),
        ("AAPL_60min.csv", "hour"),
        ("AAPL.csv", None),
        ("MIN.csv", None),
    ],
)
def test_the_timeframe_of_a_file_name(name: str, timeframe: str | None) -> None:
    assert timeframe_of_file_name(name) == timeframe


@pytest.mark.parametrize(
    ("seconds", "timeframe"),
    [
        (1, "second"),
        (60, "minute"),
        (300, "5minute"),
        (3600, "hour"),
        (4 * 3600, "4hour"),
        (86_400, "day"),
        (86_400 - 3600, "day"),
        (7 * 86_400, "week"),
        (7 * 86_400 + 3600, "week"),
        (28 * 86_400, "month"),
        (31 * 86_400, "month"),
        (91 * 86_400, "3month"),
        (90, "90second"),
    ],
)
def test_the_timeframe_of_a_spacing(seconds: int, timeframe: str) -> None:
    assert timeframe_of_spacing(seconds) == timeframe


@pytest.mark.parametrize(
    ("asset_type", "symbol", "quote", "asset"),
    [
        ("stock", "AAPL", None, AssetKey("AAPL")),
        ("stock", "BTC-USD", None, AssetKey("BTC-USD")),
        ("crypto", "BTC-USD", None, AssetKey("BTC", "crypto", "USD")),
        ("crypto", "BTC/USDT", None, AssetKey("BTC", "crypto", "USDT")),
        ("crypto", "BTCUSDT", None, AssetKey("BTC", "crypto", "USDT")),
        ("crypto", "X:BTCUSD", None, AssetKey("BTC", "crypto", "USD")),
        ("crypto", "XBTUSD", None, AssetKey("XBT", "crypto", "USD")),
        ("crypto", "ANTUSD", None, AssetKey("ANT", "crypto", "USD")),
        ("crypto", "SHIBUSD", None, AssetKey("SHIB", "crypto", "USD")),
        ("crypto", "BTCTUSD", None, AssetKey("BTC", "crypto", "TUSD")),
        ("crypto", "GRTTUSD", "TUSD", AssetKey("GRT", "crypto", "TUSD")),
        ("crypto", "SOL", "USD", AssetKey("SOL", "crypto", "USD")),
        ("crypto", "SOLUSD", "USD", AssetKey("SOL", "crypto", "USD")),
        ("crypto", "USDT", "USD", AssetKey("USDT", "crypto", "USD")),
        ("forex", "EURUSD", None, AssetKey("EUR", "forex", "USD")),
        ("forex", "USDMXN", None, AssetKey("USD", "forex", "MXN")),
        ("forex", "EUR/JPY", None, AssetKey("EUR", "forex", "JPY")),
        ("index", "SPX", None, AssetKey("SPX", "index")),
        ("crypto_future", "BTC-PERP", "USD", AssetKey("BTC-PERP", "crypto_future", "USD")),
        (
            "option",
            "SPY   240119C00470000",
            None,
            AssetKey("SPY", "option", expiration=dt.date(2024, 1, 19), strike=470.0, right="CALL"),
        ),
        (
            "option",
            "O:SPXW240119P04705500",
            None,
            AssetKey("SPXW", "option", expiration=dt.date(2024, 1, 19), strike=4705.5, right="PUT"),
        ),
    ],
)
def test_the_asset_that_a_symbol_stands_for(asset_type: str, symbol: str, quote: str | None, asset: AssetKey) -> None:
    assert AssetChoice(asset_type, quote).asset(symbol) == asset


def test_a_future_needs_its_expiration() -> None:
    day = dt.date(2024, 3, 15)
    assert AssetChoice("future", expiration=day).asset("ES") == AssetKey("ES", "future", expiration=day)
    with pytest.raises(FileRefusedError, match="--expiration"):
        AssetChoice("future").asset("ES")


@pytest.mark.parametrize(
    ("asset_type", "symbol", "quote", "message"),
    [
        ("crypto", "SOL", None, "give --quote"),
        ("crypto", "ABCBUSD", None, "ABCBUSD may be ABC/BUSD or ABCB/USD: give --quote"),
        ("crypto", "BTC-EUR", "USD", "quoted in EUR, not in USD"),
        ("forex", "EUR", None, "give --quote"),
        ("option", "SPY", None, "not an OCC option symbol"),
        ("option", "SPY241399C00470000", None, "not an OCC option symbol"),
    ],
)
def test_a_symbol_that_says_too_little_is_refused(
    asset_type: str, symbol: str, quote: str | None, message: str
) -> None:
    with pytest.raises(FileRefusedError, match=message):
        AssetChoice(asset_type, quote).asset(symbol)
