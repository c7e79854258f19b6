"""Larger bars that are made in the database equal those of the macro `resample`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analytics.market import frame
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.errors import InvalidBarsError
from lumibot_duckdb.storage.times import moment_of

pytestmark = pytest.mark.older_duckdb

COLUMNS = ("open", "high", "low", "close", "volume")
QUERY = 'FROM resample(?, ?, zone := ?) ORDER BY "timestamp"'


@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "Asia/Kolkata"])
def test_they_are_those_of_the_macro(storage: DuckDBDataStorage, zone: str) -> None:
    # Over both changes of the clocks, with nights that are left out.
    hours = pd.date_range("2024-02-26 00:00", "2024-11-10 00:00", freq="h", tz="America/New_York")
    bars = frame(len(hours)).set_axis(hours)
    storage.store_ohlcv_data("SPY", bars[np.random.default_rng(3).random(len(bars)) < 0.4], "test", "hour")
    pin = storage.pin("SPY", "hour")
    for timeframe in ("2hour", "4hour", "12hour", "day", "3day", "week", "2week", "month", "3month"):
        made = storage.read_larger_bars(pin, timeframe, zone=zone)
        expected = storage.sql(QUERY, ["SPY", timeframe, zone])
        assert (made.times * 10**6).tolist() == expected["timestamp"].cast("int64").to_pylist(), timeframe
        for name in COLUMNS:
            np.testing.assert_allclose(made.columns[name], expected[name].to_numpy(), rtol=1e-12, err_msg=timeframe)
        assert made.columns["bars"].sum() == storage.facts(pin).rows


@pytest.mark.parametrize(
    ("midnight", "zone"),
    [
        ("UTC", "America/New_York"),
        ("Europe/London", "Europe/London"),
        *(
            pytest.param(midnight, zone, marks=pytest.mark.long)
            for midnight, zone in (("UTC", "Europe/London"), ("UTC", "UTC"), ("America/New_York", "America/New_York"))
        ),
    ],
)
def test_days_are_of_utc_if_they_begin_at_its_midnight(storage: DuckDBDataStorage, midnight: str, zone: str) -> None:
    days = pd.date_range("2023-01-01", periods=400, freq="D", tz=midnight)
    storage.store_ohlcv_data("BTC", frame(400).set_axis(days), "test", "day")
    pin = storage.pin("BTC", "day")
    for timeframe in ("3day", "week", "month", "3month"):
        made = storage.read_larger_bars(pin, timeframe, zone=zone)
        expected = storage.sql(QUERY, ["BTC", timeframe, zone])
        assert (made.times * 10**6).tolist() == expected["timestamp"].cast("int64").to_pylist(), timeframe
        for name in COLUMNS:
            np.testing.assert_allclose(made.columns[name], expected[name].to_numpy(), rtol=1e-12, err_msg=timeframe)
    if midnight == "UTC":
        weeks = storage.read_larger_bars(pin, "week", zone=zone).times
        assert {moment_of(int(start)).strftime("%a %H:%M") for start in weeks} == {"Mon 00:00"}


def test_missing_values_and_a_range(storage: DuckDBDataStorage) -> None:
    bars = frame(10)
    bars.iloc[0] = np.nan
    bars.iloc[4, :3] = np.nan
    bars.iloc[5:, 4] = np.nan
    storage.store_ohlcv_data("SPY", bars, "test", "minute")
    pin = storage.pin("SPY")
    found = storage.read_larger_bars(pin, "5min")
    assert found.columns["open"][0] == bars["open"].iloc[1]
    assert found.columns["bars"].tolist() == [4, 5]
    assert np.isnan(found.columns["volume"]).tolist() == [False, True]
    start = int(bars.index[3].timestamp())
    part = storage.read_larger_bars(pin, "5min", TimeRange(start, start + 120))
    assert part.columns["close"].tolist() == [bars["close"].iloc[4]]
    assert part.columns["low"].tolist() == [min(bars["low"].iloc[3], bars["close"].iloc[4])]
    assert len(storage.read_larger_bars(pin, "5min", TimeRange(0, 60)).times) == 0


def test_a_pin_shows_its_version(storage: DuckDBDataStorage) -> None:
    bars = frame(10)
    storage.store_ohlcv_data("SPY", bars, "test", "minute")
    before = storage.pin("SPY")
    storage.store_ohlcv_data("SPY", bars * 2, "test", "minute")
    then, now = (storage.read_larger_bars(pin, "hour").columns["close"] for pin in (before, storage.pin("SPY")))
    assert (now / then).tolist() == [2.0]


def test_columns_that_lack(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("SPY", frame(10)[["close"]].astype(int), "test", "minute")
    found = storage.read_larger_bars(storage.pin("SPY"), "hour").columns
    assert found["open"].tolist() == [int(frame(10)["close"].iloc[0])]
    assert np.isnan(found["volume"]).all()
    storage.store_ohlcv_data("TEXT", frame(10)[["close"]].astype(str), "test", "minute")
    with pytest.raises(InvalidBarsError, match="TEXT stock, minute bars from test: the column 'close' has no numbers"):
        storage.read_larger_bars(storage.pin("TEXT"), "hour")
    with pytest.raises(ValueError, match="'eon' is not a timeframe"):
        storage.read_larger_bars(storage.pin("SPY"), "eon")
