"""What all stored providers have in common."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import ccxt
import duckdb
import lumibot.credentials
import numpy as np
import pandas as pd
import pytest
import yfinance
from alpaca.common.rest import RESTClient as AlpacaClient
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from lumibot.backtesting import AlpacaBacktesting
from lumibot.tools import yahoo_helper
from polygon import RESTClient

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.comparison.stored_provider import served_from
from lumibot_duckdb.sources.shared.enhanced_data_source import EnhancedDataSourceBacktesting
from lumibot_duckdb.sources.shared.stored_answers import StoredAnswers, Unanswered
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from parity.ground import environment
from templates import template

NEW_YORK = "America/New_York"
UTC = dt.timezone.utc
EVERYTHING = TimeRange(
    int(pd.Timestamp("2024-02-01", tz=NEW_YORK).timestamp()), int(dt.datetime(2024, 4, 1).timestamp())
)
COIN = AssetKey("BBB", "crypto", "USDT", exchange="binance")


def bars(first: str, last: str, freq: str, price: float, columns: tuple[str, ...] = ()) -> pd.DataFrame:
    index = pd.date_range(first, last, freq=freq, tz=NEW_YORK, name="datetime")
    close = price + np.arange(len(index)) / 8
    frame = pd.DataFrame({"open": close, "high": close + 1, "low": close - 1, "close": close}, index=index)
    return frame.assign(volume=100.0, **dict.fromkeys(columns, 0.0))


@template
def four_sources(storage: DuckDBDataStorage) -> None:
    minutes = bars("2024-02-26", "2024-03-12", "min", 50.0, ("trade_count", "vwap"))
    days = bars("2024-02-01", "2024-03-28", "B", 70.0, ("dividend", "stock_splits"))
    days.insert(4, "adj_close", days["close"])
    earliest = TimeRange(int(pd.Timestamp("1900-01-01", tz="UTC").timestamp()), EVERYTHING.end)
    market = {"zone": NEW_YORK, "market": "us_market", "market_zone": NEW_YORK}
    storage.store_ohlcv_data("AAA", minutes, "polygon", "minute", adjustment="split", covered=EVERYTHING)
    storage.store_ohlcv_data("AAA", minutes, "alpaca", "minute", adjustment="all", covered=EVERYTHING)
    storage.store_ohlcv_data("AAA", days, "yahoo", "day", adjustment="split", covered=earliest, metadata=market)
    storage.store_ohlcv_data(COIN, bars("2024-02-26", "2024-03-12", "min", 9.0), "ccxt", "minute", covered=EVERYTHING)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A store with March of 2024 from each of the four sources."""
    path = four_sources(tmp_path / "store.duckdb")
    yield path
    DuckDBDataStorage(path).close()


def test_lumibots_classes_have_what_is_stored_without_keys_or_network(store: Path, tmp_path: Path) -> None:
    with environment({"LUMIBOT_CACHE_FOLDER": str(tmp_path / "cache")}):
        done = subprocess.run(
            [sys.executable, "-m", "comparison.on_stored_bars", str(store)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    noon = (pd.Timestamp("2024-03-07 12:00", tz=NEW_YORK) - pd.Timestamp("2024-02-26", tz=NEW_YORK)) / pd.Timedelta(
        "1min"
    )
    assert said["prices"] == {
        "PolygonDataBacktesting": 50.0 + noon / 8,
        "YahooDataBacktesting": 70.0 + np.busday_count("2024-02-01", "2024-03-06") / 8,
        "AlpacaBacktesting": 50.0 + noon / 8,
        "CcxtBacktesting": round(9.0 + (noon - 1) / 8, 3),
    }
    assert said["unanswered"] == []
    assert said["connected"] == []


def test_everything_is_as_before_afterwards(store: Path) -> None:
    def state() -> list[object]:
        patched = [RESTClient.__mro__[-2].__init__, AlpacaClient._one_request, ccxt.Exchange.__init__]
        return [
            *patched,
            yfinance.Ticker.history,
            yfinance.Ticker.get_info,
            yahoo_helper.time,
            yahoo_helper.YahooHelper.fetch_symbol_data,
            AlpacaBacktesting.ALPACA_MAX_REQUESTS_PER_MINUTE,
            EnhancedDataSourceBacktesting.default_as_of,
            lumibot.credentials.POLYGON_API_KEY,
            dict(os.environ),
        ]

    with environment({}):
        before = state()
        with served_from(DuckDBDataStorage(store)):
            assert sum(left is not right for left, right in zip(before, state(), strict=True)) >= len(before) - 1
        after = state()
    assert before == after


def test_a_key_that_there_is_stays_as_it_is(store: Path) -> None:
    mine = {"POLYGON_API_KEY": "mine", "ALPACA_OAUTH_TOKEN": "my token"}
    with environment(mine), served_from(DuckDBDataStorage(store)):
        assert {name: os.environ[name] for name in mine} == mine
        assert "ALPACA_API_KEY" not in os.environ


def test_nobody_sleeps(store: Path) -> None:
    with served_from(DuckDBDataStorage(store)), mock.patch.object(time, "sleep", side_effect=AssertionError("slept")):
        assert yahoo_helper.YahooHelper.sleep_and_get_proxy() is None
        assert yahoo_helper.YahooHelper.download_symbol_data("ELSE") is None


def test_pages_of_alpacas_bars_hold_every_bar_once(store: Path) -> None:
    stored = bars("2024-02-26", "2024-03-12", "min", 50.0)
    assert len(stored) > 2 * 10_000
    span = {"start": dt.datetime(2024, 2, 20, tzinfo=UTC), "end": dt.datetime(2024, 3, 20, tzinfo=UTC)}
    with served_from(DuckDBDataStorage(store)) as notes:
        client = StockHistoricalDataClient("any", "key")
        minute = TimeFrame(1, TimeFrameUnit.Minute)
        request = StockBarsRequest(symbol_or_symbols=["AAA"], timeframe=minute, adjustment="all", **span)
        found = client.get_stock_bars(request).df.loc["AAA"]
    assert notes.lines() == []
    assert found.index.as_unit("s").asi8.tolist() == stored.index.as_unit("s").asi8.tolist()
    assert found["close"].tolist() == stored["close"].tolist()


def test_pages_of_candles_stop_at_what_is_not_stored(store: Path) -> None:
    """A request for a time without candles returns the next ones, but none after a gap in the coverage."""
    storage = DuckDBDataStorage(store)
    later = bars("2024-05-01", "2024-05-02", "min", 9.0)
    storage.store_ohlcv_data(COIN, later, "ccxt", "minute")
    with served_from(storage) as notes:
        exchange = ccxt.binance()
        february, march = (int(pd.Timestamp(day, tz="UTC").timestamp()) * 1000 for day in ("2024-02-10", "2024-03-20"))
        first = exchange.fetch_ohlcv("BBB/USDT", "1m", february, 3)
        assert [row[0] for row in first] == [
            int(pd.Timestamp("2024-02-26", tz=NEW_YORK).timestamp() + n * 60) * 1000 for n in range(3)
        ]
        assert exchange.fetch_ohlcv("BBB/USDT", "1m", march, 3) == []
        assert notes.lines() == []
        beyond = int(pd.Timestamp("2024-04-10", tz="UTC").timestamp()) * 1000
        assert exchange.fetch_ohlcv("BBB/USDT", "1m", beyond, 3) == []
        assert len(notes.lines()) == 1


def test_a_stock_that_was_requested_with_a_quote_is_found_by_its_ticker(store: Path) -> None:
    """Lumibot and the store keep such bars apart, but a provider does not."""
    storage = DuckDBDataStorage(store)
    april = TimeRange(EVERYTHING.end, EVERYTHING.end + 30 * 86_400)
    for source, adjustment in (("polygon", "split"), ("alpaca", "all")):
        other = bars("2024-04-08", "2024-04-09", "min", 60.0, ("trade_count", "vwap"))
        odd = AssetKey("AAA", quote="SPY")
        storage.store_ohlcv_data(odd, other, source, "minute", adjustment=adjustment, covered=april)
    with served_from(storage) as notes:
        client = RESTClient(api_key="any")
        assert len(client.get_aggs("AAA", 1, "minute", "2024-03-11", "2024-03-11", limit=50_000)) == 1_440
        assert len(client.get_aggs("AAA", 1, "minute", "2024-04-08", "2024-04-08", limit=50_000)) == 1_440
        day = {"start": dt.datetime(2024, 4, 8, 4, tzinfo=UTC), "end": dt.datetime(2024, 4, 9, 3, 59, tzinfo=UTC)}
        minute = TimeFrame(1, TimeFrameUnit.Minute)
        request = StockBarsRequest(symbol_or_symbols="AAA", timeframe=minute, adjustment="all", **day)
        assert len(StockHistoricalDataClient("any", "key").get_stock_bars(request).df) == 1_440
    assert notes.lines() == []


def test_an_option_out_of_an_old_cache_has_its_usual_ticker(store: Path) -> None:
    storage = DuckDBDataStorage(store)
    option = AssetKey("AAA", "option", expiration=dt.date(2024, 3, 15), strike=52.5, right="PUT")
    traded = bars("2024-03-04 10:00", "2024-03-04 10:09", "min", 1.0)
    storage.store_ohlcv_data(option, traded, "polygon", "minute", adjustment="split")
    with served_from(storage):
        client = RESTClient(api_key="any")
        asked = {"underlying_ticker": "AAA", "expiration_date": "2024-03-15", "contract_type": "put"}
        (found,) = client.list_options_contracts(**asked, strike_price=52.5, expired=True)
        assert found.ticker == "O:AAA240315P00052500"
        assert len(client.get_aggs(found.ticker, 1, "minute", "2024-03-04", "2024-03-04")) == 10
        assert list(client.list_options_contracts(**asked, strike_price=60.0, expired=True)) == []


def test_bars_that_were_stored_after_the_moment_are_not_seen(store: Path) -> None:
    storage = DuckDBDataStorage(store)
    moment = dt.datetime.now(UTC)
    before = bars("2024-03-12 00:01", "2024-03-12 01:00", "min", 80.0)
    storage.store_ohlcv_data("AAA", before, "polygon", "minute", adjustment="split")
    with served_from(storage, as_of=moment):
        client = RESTClient(api_key="any")
        assert len(client.get_aggs("AAA", 1, "minute", "2024-03-12", "2024-03-12")) == 1
    with served_from(storage):
        client = RESTClient(api_key="any")
        assert len(client.get_aggs("AAA", 1, "minute", "2024-03-12", "2024-03-12")) == 61


def test_an_empty_answer_is_an_answer_however_old_it_is(store: Path) -> None:
    storage, key = DuckDBDataStorage(store), SeriesKey(AssetKey("OLD"), "polygon", "minute", "split")
    within = TimeRange(EVERYTHING.start, EVERYTHING.start + 86_400)
    storage.record_coverage(key.asset, within, "polygon", "minute", adjustment="split")
    storage.close()
    with duckdb.connect(store) as connection:
        connection.execute("UPDATE coverage SET believed_until = '2024-05-01' WHERE believed_until IS NOT NULL")
    assert storage.missing_ranges(key, within) == [within]
    answers = StoredAnswers(storage, dt.datetime.now(UTC), Unanswered())
    assert answers.missing(key, within) == []
    assert len(answers.bars(key, within)) == 0
    assert answers.notes.lines() == []


def test_missing_ranges_are_logged_once_and_listed_completely(caplog: pytest.LogCaptureFixture) -> None:
    notes = Unanswered()
    with caplog.at_level(logging.WARNING, "lumibot_duckdb"):
        for start in (0, 3_600, 86_400 * 3):
            notes.note("AAA", [TimeRange(start, start + 3_600)])
        notes.note("the rest")
    assert [record.getMessage().rpartition("returns no data: ")[2] for record in caplog.records] == [
        "AAA: 1970-01-01 to 1970-01-01 01:00 (UTC)",
        "the rest",
    ]
    assert notes.lines() == [
        "AAA: 1970-01-01 to 1970-01-01 02:00, 1970-01-04 to 1970-01-04 01:00 (UTC)",
        "the rest",
    ]
