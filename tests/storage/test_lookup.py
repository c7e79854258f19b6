"""Which series is meant: exact when writing, lenient where unambiguous when reading."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Any

import pytest
from lumibot.entities import Asset

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import AmbiguousSeriesError, SeriesNotFoundError
from lumibot_duckdb.storage.identity import asset_key, asset_query, canonical_source, published_name
from storage.frames import minute_bars

DOLLAR = Asset("USD", "forex")
TETHER = Asset("USDT", "crypto")
DAY = dt.date(2024, 1, 19)


def keep(storage: DuckDBDataStorage, *assets: Any, source: str = "test", timeframe: str = "minute") -> None:
    for asset in assets:
        storage.store_ohlcv_data(asset, minute_bars(rows=2), source, timeframe)


@pytest.mark.parametrize(
    ("asset", "key"),
    [
        ("aapl", AssetKey("AAPL")),
        ("BTC/USDT", AssetKey("BTC", "crypto", "USDT")),
        ("EUR/usd", AssetKey("EUR", "forex", "USD")),
        (("EUR", "USD"), AssetKey("EUR", "forex", "USD")),
        (("BTC", DOLLAR), AssetKey("BTC", "crypto", "USD")),
        (Asset("aapl"), AssetKey("AAPL")),
        ((Asset("AAPL"), DOLLAR), AssetKey("AAPL")),
        ((Asset("AAPL"), None), AssetKey("AAPL")),
        ((Asset("SAP"), Asset("EUR", "forex")), AssetKey("SAP", quote="EUR")),
        ((Asset("BTC", "crypto"), DOLLAR), AssetKey("BTC", "crypto", "USD")),
        (Asset("BTC", "crypto"), AssetKey("BTC", "crypto")),
        (Asset("SPX", "index"), AssetKey("SPX", "index")),
        (Asset("AAPL", "us_equity"), AssetKey("AAPL")),
        (Asset("ES", "future", expiration=DAY), AssetKey("ES", "future", expiration=DAY)),
        (
            Asset("ES", "future", auto_expiry=Asset.AutoExpiry.FRONT_MONTH),
            AssetKey("ES", "future", auto_expiry="front_month"),
        ),
        (Asset("MES", "future", multiplier=5), AssetKey("MES", "future", multiplier=5.0)),
        (
            Asset("SPY", "option", expiration=DAY, strike=470, right="call"),
            AssetKey("SPY", "option", expiration=DAY, strike=470.0, right="CALL", multiplier=100.0),
        ),
        (
            Asset("SPY", "option", expiration="2024-01-19", strike=0, right="PUT"),
            AssetKey("SPY", "option", expiration=DAY, strike=0.0, right="PUT"),
        ),
    ],
)
def test_the_identity_of_an_asset(asset: Any, key: AssetKey) -> None:
    assert asset_key(asset) == key
    assert asset_key(key) == key


def test_published_names_distinguish_contracts() -> None:
    option = AssetKey("SPY", "option", expiration=DAY, strike=470.0, right="CALL")
    assert published_name(AssetKey("AAPL")) == "AAPL"
    assert published_name(AssetKey("BTC", "crypto", "USDT", "binance")) == "BTC/USDT"
    assert published_name(option) == "SPY 2024-01-19 470 CALL"
    mini = AssetKey("SPY", "option", expiration=DAY, strike=470.123456789, right="CALL", multiplier=10)
    assert published_name(mini) == "SPY 2024-01-19 470.123456789 CALL x10"
    assert published_name(AssetKey("ES", "future", auto_expiry="front_month")) == "ES front_month"


@pytest.mark.parametrize(("given", "name"), [("Polygon", "polygon"), (" my_csv ", "my_csv"), ("a.b-c:d", "a.b-c:d")])
def test_sources_are_words_in_lower_case(given: str, name: str) -> None:
    assert canonical_source(given) == name


def test_a_symbol_finds_the_one_asset_of_any_type(storage: DuckDBDataStorage) -> None:
    keep(storage, Asset("SPX", "index"), ("BTC", "USD"), Asset("ES", "cont_future"))
    assert storage.pin("spx").key.asset.asset_type == "index"
    assert storage.pin("BTC").key.asset.quote == "USD"
    assert storage.pin("ES").key.asset.asset_type == "cont_future"


def test_a_symbol_means_the_stock_where_there_is_one(storage: DuckDBDataStorage) -> None:
    keep(storage, Asset("SPX", "index"), Asset("SPX"))
    assert storage.pin("SPX").key.asset == AssetKey("SPX")


def test_a_symbol_of_several_assets_is_ambiguous(storage: DuckDBDataStorage) -> None:
    keep(storage, Asset("ES", "cont_future"), Asset("ES", "future", expiration=DAY))
    with pytest.raises(AmbiguousSeriesError, match=r"ES 2024-01-19 future.*; ES cont_future.*which asset"):
        storage.pin("ES")


def test_an_asset_without_its_quote_is_found_when_it_has_one_quote_only(storage: DuckDBDataStorage) -> None:
    bitcoin = Asset("BTC", "crypto")
    keep(storage, (bitcoin, TETHER))
    assert storage.pin(bitcoin).key.asset.quote == "USDT"
    keep(storage, (bitcoin, DOLLAR))
    with pytest.raises(AmbiguousSeriesError, match=r"BTC/USD crypto.*BTC/USDT crypto"):
        storage.pin(bitcoin)
    assert storage.pin((bitcoin, DOLLAR)).key.asset.quote == "USD"


def test_a_dollar_pair_finds_what_was_stored_without_a_quote(storage: DuckDBDataStorage) -> None:
    bitcoin = Asset("BTC", "crypto")
    keep(storage, bitcoin)
    assert storage.pin((bitcoin, DOLLAR)).key.asset.quote is None
    with pytest.raises(SeriesNotFoundError):
        storage.pin((bitcoin, TETHER))
    keep(storage, (bitcoin, DOLLAR))
    assert storage.pin((bitcoin, DOLLAR)).key.asset.quote == "USD"
    assert storage.pin(bitcoin).key.asset.quote is None


def test_options_that_differ_in_anything_are_never_mixed(storage: DuckDBDataStorage) -> None:
    keep(storage, Asset("SPY", "option", expiration=DAY, strike=470, right="CALL"))
    for other in (
        Asset("SPY", "option", expiration=DAY, strike=471, right="CALL"),
        Asset("SPY", "option", expiration=DAY, strike=470, right="PUT"),
        Asset("SPY", "option", expiration=DAY + dt.timedelta(7), strike=470, right="CALL"),
        Asset("SPY", "option", expiration=DAY, strike=470, right="CALL", multiplier=10),
        Asset("SPY"),
    ):
        with pytest.raises(SeriesNotFoundError, match="it has: SPY 2024-01-19 470 CALL option"):
            storage.pin(other)


def test_a_missing_strike_of_a_long_chain_is_reported_shortly(storage: DuckDBDataStorage) -> None:
    chain = [Asset("SPY", "option", expiration=DAY, strike=400 + i, right="CALL") for i in range(12)]
    keep(storage, *chain)
    with pytest.raises(
        SeriesNotFoundError, match=r"no minute bars of SPY 2024-01-19 999 CALL option; it has: .*; and more"
    ):
        storage.pin(Asset("SPY", "option", expiration=DAY, strike=999, right="CALL"))
    with pytest.raises(AmbiguousSeriesError, match=r"SPY 2024-01-19 400 CALL option.*; and more; state which asset"):
        storage.pin("SPY")
    storage.delete_series(chain[0])
    with pytest.raises(SeriesNotFoundError):
        storage.pin(chain[0])
    assert storage.pin(chain[1]).key.asset.strike == 401


def test_a_future_is_found_though_its_multiplier_was_not_said(storage: DuckDBDataStorage) -> None:
    keep(storage, Asset("MES", "future", expiration=DAY, multiplier=5))
    assert storage.pin(Asset("MES", "future", expiration=DAY)).key.asset.multiplier == 5
    with pytest.raises(SeriesNotFoundError):
        storage.pin(Asset("MES", "future", expiration=DAY, multiplier=50))


def test_a_rolling_future_is_not_the_plain_one(storage: DuckDBDataStorage) -> None:
    keep(storage, Asset("MES", "future", auto_expiry="front_month"))
    with pytest.raises(SeriesNotFoundError):
        storage.pin(Asset("MES", "future"))


def test_a_key_is_taken_exactly(storage: DuckDBDataStorage) -> None:
    keep(storage, ("BTC", "USDT"))
    with pytest.raises(SeriesNotFoundError):
        storage.pin(AssetKey("BTC", "crypto"))
    assert storage.pin(AssetKey("BTC", "crypto", "USDT"))
    assert not asset_query(AssetKey("BTC")).lenient


def test_several_sources_are_named(storage: DuckDBDataStorage) -> None:
    keep(storage, "AAPL", source="polygon")
    keep(storage, "AAPL", source="alpaca")
    with pytest.raises(AmbiguousSeriesError, match="pass source=, one of alpaca, polygon"):
        storage.get_historical_prices("AAPL")
    assert storage.pin("AAPL", source="Alpaca").key.source == "alpaca"


def test_several_adjustments_are_named(storage: DuckDBDataStorage) -> None:
    for adjustment in ("", "split"):
        storage.store_ohlcv_data("AAPL", minute_bars(), "test", "minute", adjustment=adjustment)
    with pytest.raises(AmbiguousSeriesError, match="pass adjustment=, one of '', 'split'"):
        storage.pin("AAPL")
    assert storage.pin("AAPL", adjustment="").key.adjustment == ""
    assert storage.pin("AAPL", adjustment="split").key.adjustment == "split"


def test_exchanges_keep_their_own_bars(storage: DuckDBDataStorage) -> None:
    for exchange in ("binance", "kraken"):
        storage.store_ohlcv_data(("BTC", "USD"), minute_bars(), "ccxt", "minute", exchange=exchange)
    with pytest.raises(AmbiguousSeriesError, match=r"on binance.*on kraken"):
        storage.pin(("BTC", "USD"))
    assert storage.pin(AssetKey("BTC", "crypto", "USD", "kraken")).key.asset.exchange == "kraken"


def test_what_is_not_there_is_said_with_what_is(storage: DuckDBDataStorage) -> None:
    keep(storage, "AAPL", source="polygon")
    with pytest.raises(SeriesNotFoundError, match="no day bars of AAPL; it has: AAPL stock, minute bars from polygon"):
        storage.pin("AAPL", "day")
    with pytest.raises(SeriesNotFoundError, match=r"no minute bars of MSFT$"):
        storage.pin("MSFT")


def test_listed_series_are_sorted_and_filtered(storage: DuckDBDataStorage) -> None:
    keep(storage, "MSFT", "AAPL", source="b")
    keep(storage, "AAPL", source="a")
    keep(storage, "AAPL", source="a", timeframe="5min")
    listed = [(i.key.asset.symbol, i.key.source, i.key.timeframe) for i in storage.list_series()]
    assert listed == [
        ("AAPL", "a", "5minute"),
        ("AAPL", "a", "minute"),
        ("AAPL", "b", "minute"),
        ("MSFT", "b", "minute"),
    ]
    assert len(storage.list_series("AAPL")) == 3
    assert len(storage.list_series("AAPL", "a", "5m")) == 1
    assert len(storage.list_series(source="b")) == 2
    assert storage.list_series("TSLA") == []
    info = storage.list_series("MSFT")[0]
    assert (info.rows, info.last - info.first) == (2, 60)  # type: ignore[operator]


def fill_with_series(path: Path, count: int) -> None:
    """Add stocks N0, N1, ... with two bars each, as an older release would write them, all at once."""
    storage = DuckDBDataStorage(path)
    storage.store_ohlcv_data("N0", minute_bars(rows=2), "test", "minute")
    ids = f"(SELECT i + 1 AS id FROM range(1, {count}) AS r(i))"
    first = {
        "asset": f"SELECT id, 'N' || (id - 1), 'N' || (id - 1), t.* EXCLUDE (asset_id, name, symbol) FROM t, {ids}",
        "series": f"SELECT id, id, source, timeframe, adjustment, id, created_at FROM t, {ids}",
        "series_version": f"SELECT id, id, created_at, NULL FROM t, {ids}",
        "ingest": f"SELECT id, id, id, t.* EXCLUDE (ingest_id, series_id, version_id) FROM t, {ids}",
        "bar": f"SELECT id, t.* EXCLUDE (version_id, ingest_id), id FROM t, {ids} ORDER BY ALL",
    }
    with StoreConnection.of(storage.path).write() as cursor:
        for table, select in first.items():
            cursor.execute(f"INSERT INTO {{db}}.{table} WITH t AS (FROM {{db}}.{table}) {select}")
        cursor.execute("DELETE FROM {db}.bar_checksum")
        cursor.execute("INSERT INTO {db}.store_meta VALUES ('unchecked_to', ?)", [str(count)])
    storage.close()


@pytest.mark.older_duckdb
def test_one_series_among_a_hundred_thousand(tmp_path: Path) -> None:
    fill_with_series(tmp_path, 100_000)
    storage = DuckDBDataStorage(tmp_path)
    assert storage.statistics().series == 100_000
    storage.pin("N1")
    began = time.perf_counter()
    pins = [storage.pin(f"N{i}") for i in range(50_000, 51_000)]
    took = time.perf_counter() - began
    assert [pin.key.asset.symbol for pin in pins] == [f"N{i}" for i in range(50_000, 51_000)]
    assert [pin.series_id for pin in pins] == list(range(50_001, 51_001))
    print(f"{took * 1e3:.1f} us a look-up")
    assert len(storage.get_historical_prices("N99999")) == 2
    keep(storage, "NEW")
    assert storage.pin("NEW").series_id == 100_001
    assert storage.pin("N77").series_id == 78
    storage.delete_series("N77")
    with pytest.raises(SeriesNotFoundError):
        storage.pin("N77")
    assert storage.verify().sound


def test_a_series_key_reads_like_a_sentence() -> None:
    key = SeriesKey(AssetKey("AAPL"), "polygon", "minute", "split")
    assert key.label() == "AAPL stock, minute bars from polygon (split)"
