"""Bars are read as they were stored: columns, dtypes, values to the bit, index."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from storage.frames import NEW_YORK, assert_same, frame_strategy, index_of, minute_bars

pytestmark = pytest.mark.older_duckdb

REAL = Path(__file__).parents[3].parent / "shared" / "data"
needs_real_data = pytest.mark.skipif(not REAL.exists(), reason="the real market data is not here")


@contextmanager
def new_storage() -> Iterator[DuckDBDataStorage]:
    """Give each example a new store, because every column name adds a column to the store."""
    with tempfile.TemporaryDirectory() as folder:
        storage = DuckDBDataStorage(folder)
        yield storage
        storage.close()


def read_anew(storage: DuckDBDataStorage, asset: Any, timeframe: str = "minute") -> pd.DataFrame:
    """Read through another storage on the same file, so that nothing comes from a cache."""
    return DuckDBDataStorage(storage.path).get_historical_prices(asset, timeframe=timeframe)


@examples(25)
@given(frame=frame_strategy())
def test_any_frame_comes_back_as_it_went_in(frame: pd.DataFrame) -> None:
    with new_storage() as storage:
        storage.store_ohlcv_data("X", frame, "test", "minute")
        assert_same(read_anew(storage, "X"), frame)
        again = storage.store_ohlcv_data("X", frame, "test", "minute")
        assert (again.ingest_id, again.unchanged) == (None, len(frame))
        storage.close()  # now the values go through DuckDB's compression
        assert_same(read_anew(storage, "X"), frame)


def test_signed_zeros_survive_a_column_of_nothing_but_zeros(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=5000)
    frame["close"] = 0.0
    frame.iloc[::3, frame.columns.get_loc("close")] = -0.0
    storage.store_ohlcv_data("X", frame, "test", "minute")
    storage.close()
    assert_same(read_anew(storage, "X"), frame)


@pytest.mark.parametrize("day", ["2024-03-10", "2024-11-03"])
def test_days_on_which_the_clock_changes(storage: DuckDBDataStorage, day: str) -> None:
    frame = minute_bars(f"{day} 00:00", rows=25 * 60)
    storage.store_ohlcv_data("EUR/USD", frame, "test", "minute")
    assert_same(storage.get_historical_prices("EUR/USD"), frame)
    midnight = pd.Timestamp(f"{day} 00:00", tz="America/New_York")
    cut = storage.get_historical_prices("EUR/USD", day, pd.Timestamp(f"{day} 12:00", tz="America/New_York"))
    noon = midnight.tz_localize(None) + pd.Timedelta(hours=12)
    assert len(cut) == (pd.Timestamp(noon, tz="America/New_York") - midnight).total_seconds() / 60


def test_bars_before_1970(storage: DuckDBDataStorage) -> None:
    frame = minute_bars("1962-01-02 00:00", rows=3000, freq="D")
    storage.store_ohlcv_data("IBM", frame, "test", "day")
    assert_same(storage.get_historical_prices("IBM", timeframe="day"), frame)
    early = storage.get_historical_prices("IBM", "1965-01-01", "1966-01-01", "day")
    assert_same(early, frame.loc["1965-01-01":"1965-12-31"])


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_bars_of_other_millennia(storage: DuckDBDataStorage, unit: str) -> None:
    seconds = [-62_135_000_000, 0, 253_400_000_000]
    frame = pd.DataFrame({"close": [1.0, 2.0, 3.0]}, index=index_of(seconds, unit))
    storage.store_ohlcv_data("X", frame, "test", "day")
    assert_same(read_anew(storage, "X", "day"), frame)


def test_tiny_prices_and_huge_volumes(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=100)
    frame[["open", "high", "low", "close"]] *= 1e-11
    frame["volume"] = frame["volume"].astype(np.int64) * 10**12 + 1
    storage.store_ohlcv_data(("SHIB", "USDT"), frame, "test", "minute")
    assert_same(read_anew(storage, ("SHIB", "USDT")), frame)


def test_forex_without_volume(storage: DuckDBDataStorage) -> None:
    frame = minute_bars().drop(columns="volume")
    storage.store_ohlcv_data("GBP/USD", frame, "test", "minute")
    assert_same(storage.get_historical_prices("GBP/USD"), frame)
    assert storage.sql("SELECT count(volume) AS n FROM ohlcv_data").to_pylist() == [{"n": 0}]


def test_rows_in_any_order_come_back_in_order(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=500)
    storage.store_ohlcv_data("X", frame.sample(frac=1, random_state=1), "test", "minute")
    assert_same(storage.get_historical_prices("X"), frame)


def test_an_index_in_another_zone_comes_back_in_new_york(storage: DuckDBDataStorage) -> None:
    frame = minute_bars()
    storage.store_ohlcv_data("X", frame.tz_convert("Asia/Tokyo").rename_axis(None), "test", "minute")
    assert_same(storage.get_historical_prices("X"), frame)


def test_the_five_names_are_kept_in_lower_case(storage: DuckDBDataStorage) -> None:
    frame = minute_bars()
    storage.store_ohlcv_data("X", frame.rename(columns=str.title), "test", "minute")
    assert_same(storage.get_historical_prices("X"), frame)


def test_an_empty_frame_for_a_new_series_stores_nothing(storage: DuckDBDataStorage) -> None:
    result = storage.store_ohlcv_data("X", minute_bars(rows=0), "test", "minute")
    assert (result.ingest_id, result.added) == (None, 0)
    assert storage.list_series() == []
    assert not storage.path.exists()


def test_an_empty_frame_for_a_covered_range_comes_back_with_its_columns(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=0)
    covered = TimeRange(1_700_000_000 // 60 * 60, 1_700_000_000 // 60 * 60 + 600)
    storage.store_ohlcv_data("X", frame, "test", "minute", covered=covered)
    assert_same(read_anew(storage, "X"), frame)
    assert storage.coverage("X") == [covered]
    later = minute_bars()
    storage.store_ohlcv_data("X", later, "test", "minute")
    assert_same(storage.get_historical_prices("X"), later)


def test_an_empty_frame_without_any_types_leaves_stored_columns_alone(storage: DuckDBDataStorage) -> None:
    frame = minute_bars()
    storage.store_ohlcv_data("X", frame, "test", "minute")
    covered = TimeRange(1_600_000_020, 1_600_000_080)
    storage.store_ohlcv_data("X", pd.DataFrame(columns=["open", "close"]), "test", "minute", covered=covered)
    assert_same(storage.get_historical_prices("X"), frame)
    assert covered in storage.coverage("X")


def test_a_caller_may_change_the_frame_that_it_got(storage: DuckDBDataStorage) -> None:
    frame = minute_bars()
    storage.store_ohlcv_data("X", frame, "test", "minute")
    got = storage.get_historical_prices("X")
    got["close"] = -1.0
    got.iloc[0, 0] = -1.0
    got.drop(got.index[3], inplace=True)
    assert_same(storage.get_historical_prices("X"), frame)


def test_arrays_are_read_only(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    bars = storage.read_bars(storage.pin("X"))
    with pytest.raises(ValueError, match="read-only"):
        bars.columns["close"][0] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        bars.times[0] = 0


def test_arrays_of_chosen_columns_and_of_times_alone(storage: DuckDBDataStorage) -> None:
    frame = minute_bars()
    storage.store_ohlcv_data("X", frame, "test", "minute")
    pin = storage.pin("X")
    assert list(storage.read_bars(pin, None, ["volume", "open"]).columns) == ["volume", "open"]
    times = storage.read_bars(pin, None, [])
    assert dict(times.columns) == {}
    assert times.times.tolist() == (frame.index.asi8 // 10**9).tolist()
    with pytest.raises(KeyError, match="no column 'bid'; it has open, high"):
        storage.read_bars(pin, None, ["bid"])


@examples(10)
@given(frame=frame_strategy())
def test_arrow_and_polars_hold_the_same_values(frame: pd.DataFrame) -> None:
    with new_storage() as storage:
        storage.store_ohlcv_data("X", frame, "test", "minute")
        pin = storage.pin("X")
        table = storage.read_arrow(pin)
        polars = storage.read_polars(pin)
    assert table.column_names == polars.columns == ["datetime", *frame.columns]
    assert str(table.schema.field("datetime").type) == f"timestamp[{frame.index.unit}, tz=UTC]"
    for name in frame.columns:
        for one, other in zip(table[name].to_pylist(), frame[name].astype(object).tolist(), strict=True):
            assert one == other or (pd.isna(other) and pd.isna(one))
    assert polars["datetime"].dt.epoch("s").to_list() == [int(time.timestamp()) for time in frame.index]


def lumibot_assets() -> list[Any]:
    from lumibot.entities import Asset

    day, later = dt.date(2024, 1, 19), dt.date(2024, 2, 16)
    dollar, tether = Asset("USD", "forex"), Asset("USDT", "crypto")
    return [
        Asset("SPY"),
        Asset("SPY", "option", expiration=day, strike=470, right="CALL"),
        Asset("SPY", "option", expiration=day, strike=470.5, right="CALL"),
        Asset("SPY", "option", expiration=day, strike=470, right="PUT"),
        Asset("SPY", "option", expiration=later, strike=470, right="CALL"),
        Asset("SPY", "option", expiration=day, strike=470, right="CALL", multiplier=10),
        Asset("SPY", "index"),
        Asset("ES", "future", expiration=day),
        Asset("ES", "future", expiration=later),
        Asset("ES", "future"),
        Asset("ES", "future", auto_expiry="front_month"),
        Asset("ES", "future", auto_expiry="next_quarter"),
        Asset("ES", "cont_future"),
        (Asset("BTC", "crypto"), dollar),
        (Asset("BTC", "crypto"), tether),
        (Asset("BTC", "crypto_future"), tether),
        (Asset("EUR", "forex"), dollar),
        Asset("WILL-IT-RAIN", "prediction_contract", right="CALL"),
        Asset("WILL-IT-RAIN", "prediction_contract", right="PUT"),
        Asset("ODD", "multileg"),
    ]


def test_every_kind_of_lumibot_asset_keeps_its_own_bars(storage: DuckDBDataStorage) -> None:
    assets = lumibot_assets()
    frames = [minute_bars(rows=5, seed=seed) for seed in range(len(assets))]
    for asset, frame in zip(assets, frames, strict=True):
        storage.store_ohlcv_data(asset, frame, "test", "minute")
    assert len(storage.list_series()) == len(assets)
    anew = DuckDBDataStorage(storage.path)
    for asset, frame in zip(assets, frames, strict=True):
        assert_same(anew.get_historical_prices(asset), frame)
    names = storage.sql("SELECT DISTINCT asset_symbol, asset_type FROM ohlcv_data").num_rows
    assert names == len(assets)


@needs_real_data
@pytest.mark.parametrize("file", ["us_equities_minute", "crypto_minute", "forex_minute"])
def test_real_minute_bars(storage: DuckDBDataStorage, file: str) -> None:
    raw = pd.read_parquet(REAL / f"{file}.parquet")
    for symbol, rows in raw.groupby("symbol"):
        frame = rows.drop(columns="symbol").set_index("ts").sort_index()
        frame.index = frame.index.tz_localize("UTC") if frame.index.tz is None else frame.index
        storage.store_ohlcv_data(str(symbol), frame, "lean", "minute")
        expected = frame.tz_convert(NEW_YORK).rename_axis("datetime")
        assert_same(read_anew(storage, str(symbol)), expected)


@needs_real_data
def test_real_daily_bars(storage: DuckDBDataStorage) -> None:
    raw = pd.read_parquet(REAL / "us_equities_daily.parquet")
    for symbol, rows in raw.groupby("symbol"):
        frame = rows.drop(columns="symbol").set_index("date").sort_index()
        frame.index = pd.DatetimeIndex(frame.index).tz_localize("America/New_York")
        storage.store_ohlcv_data(str(symbol), frame, "lean", "day")
        expected = frame.tz_convert(NEW_YORK).rename_axis("datetime")
        assert_same(read_anew(storage, str(symbol), "day"), expected)
    assert storage.verify().sound


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        (None, None, slice(0, 60)),
        ("2024-01-02 09:40", "2024-01-02 09:50", slice(10, 20)),
        (dt.datetime(2024, 1, 2, 9, 40), dt.datetime(2024, 1, 2, 9, 50, tzinfo=None), slice(10, 20)),
        ("2024-01-02T14:40Z", pd.Timestamp("2024-01-02 14:50", tz="UTC"), slice(10, 20)),
        (pd.Timestamp("2024-01-02 09:40:00.000000001"), "2024-01-02 09:50:00.5", slice(11, 21)),
        (dt.date(2024, 1, 2), dt.date(2024, 1, 3), slice(0, 60)),
        (dt.date(2024, 1, 2), dt.date(2024, 1, 2), slice(0, 0)),
        ("1700-01-01", "2200-01-01", slice(0, 60)),
        (dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59), slice(0, 60)),
        ("2024-01-02 09:59", None, slice(29, 60)),
        (None, "2024-01-02 09:31", slice(0, 1)),
        ("2024-01-03", "2024-01-02", slice(0, 0)),
    ],
)
def test_ranges_are_half_open_and_in_new_york_unless_said(
    storage: DuckDBDataStorage, start: Any, end: Any, rows: slice
) -> None:
    frame = minute_bars(rows=60)
    storage.store_ohlcv_data("X", frame, "test", "minute")
    assert_same(storage.get_historical_prices("X", start, end), frame.iloc[rows])


def test_a_naive_time_in_the_hour_that_is_there_twice_is_the_second(storage: DuckDBDataStorage) -> None:
    frame = minute_bars("2024-11-03 00:00", rows=240)
    storage.store_ohlcv_data("X", frame, "test", "minute")
    got = storage.get_historical_prices("X", "2024-11-03 01:30")
    assert got.index[0] == pd.Timestamp("2024-11-03 06:30", tz="UTC")


def test_a_naive_time_in_the_hour_that_is_not_there_is_an_hour_later(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", minute_bars("2024-03-10 00:00", rows=300), "test", "minute")
    got = storage.get_historical_prices("X", "2024-03-10 02:30")
    assert got.index[0] == NEW_YORK.localize(dt.datetime(2024, 3, 10, 2, 30))
    assert str(got.index[0]) == "2024-03-10 03:30:00-04:00"


def test_a_copy_of_a_storage_is_a_storage_on_the_same_file(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    for other in (copy.deepcopy(storage), pickle.loads(pickle.dumps(storage))):
        assert other.path == storage.path
        assert_same(other.get_historical_prices("X"), minute_bars())
