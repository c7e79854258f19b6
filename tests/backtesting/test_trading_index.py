"""Buckets, bar lengths and session minutes of a time index, against pandas and Lumibot themselves."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lumibot.data_sources import PandasData
from lumibot.entities.data import _intraday_bar_state

from lumibot_duckdb.backtesting.trading_index import TradingIndex, session_minutes

NEW_YORK = "America/New_York"
CODES = {"minute": "min", "hour": "h", "day": "D"}

# Around both changes of the clocks of 2024, and plain days.
starts = st.sampled_from(["2024-03-08 21:00", "2024-11-01 20:00", "2024-06-03 00:00", "1965-10-29 12:00"])


@st.composite
def indexes(draw: st.DrawFn) -> pd.DatetimeIndex:
    start = pd.Timestamp(draw(starts), tz=NEW_YORK)
    minutes = np.cumsum(draw(st.lists(st.sampled_from([1, 1, 1, 2, 5, 60, 400, 1440]), min_size=1, max_size=120)))
    return pd.DatetimeIndex(start + pd.to_timedelta(minutes, unit="min"), name="datetime")


@settings(deadline=None, max_examples=200)
@given(
    indexes(),
    st.sampled_from([(5, "minute"), (7, "minute"), (1, "hour"), (3, "hour"), (1, "day"), (2, "day")]),
    st.data(),
)
def test_grid_has_the_bins_of_resample(index: pd.DatetimeIndex, step: tuple[int, str], data: st.DataObject) -> None:
    quantity, unit = step
    row = data.draw(st.integers(0, len(index) - 1))
    grid = TradingIndex(index).grid(quantity, unit, row)
    values = pd.Series(np.arange(row, len(index)), index=index[row:])
    bins = values.resample(f"{quantity}{CODES[unit]}").agg(["first", "last", "count"])
    bins = bins[bins["count"] > 0]
    first = int(grid.of_row[row])
    assert grid.index[first:].tolist() == bins.index.tolist()
    assert grid.labels[first:].tolist() == bins.index.as_unit("ns").asi8.tolist()
    assert [max(row, start) for start in grid.first_rows[first:-1].tolist()] == bins["first"].tolist()
    assert [stop - 1 for stop in grid.first_rows[first + 1 :].tolist()] == bins["last"].tolist()


@settings(deadline=None, max_examples=100)
@given(indexes(), st.sampled_from(["minute", "hour", "day"]), st.data())
def test_bar_length_is_lumibots(index: pd.DatetimeIndex, unit: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(index) - 1))
    stop = data.draw(st.integers(start + 1, len(index)))
    part = index[start:stop].as_unit("ns")
    keeper = SimpleNamespace()
    _intraday_bar_state(part.asi8, len(part) - 1, part[-1], timestep=unit, index_tz=part.tz, cache_owner=keeper)
    expected = keeper._closed_bar_length_cache[2] if unit != "day" else None
    assert TradingIndex(index).bar_length(start, stop, unit) == expected


@settings(deadline=None, max_examples=100)
@given(indexes(), st.integers(-3000, 100))
def test_session_minutes_are_lumibots(index: pd.DatetimeIndex, minutes_after_the_last: int) -> None:
    until = index[-1] + pd.Timedelta(minutes=minutes_after_the_last)
    source = SimpleNamespace(_timestep="minute", datetime_end=until, _date_index=index)
    sessions = PandasData.get_trading_days_pandas(source)
    expected = PandasData.clean_trading_times(source, index, sessions)
    pd.testing.assert_index_equal(session_minutes(index, sessions, until), expected, exact=True)


def test_the_same_index_object_is_described_once() -> None:
    index = pd.date_range("2024-01-02", periods=10, freq="min", tz=NEW_YORK)
    assert TradingIndex.of(index) is TradingIndex.of(index)
    assert TradingIndex.of(index) is not TradingIndex.of(index[:5])


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
def test_labels_keep_the_unit_and_name_of_the_index(unit: str) -> None:
    index = pd.date_range("2024-01-02", periods=100, freq="min", tz=NEW_YORK, unit=unit, name="datetime")
    grid = TradingIndex(index).grid(5, "minute", 0)
    assert grid.index.dtype == index.dtype
    assert grid.index.name == "datetime"


def test_an_index_without_rows_has_no_days_and_no_closed_bars() -> None:
    index = TradingIndex(pd.DatetimeIndex([], tz=NEW_YORK))
    assert [len(part) for part in index.days()] == [0, 0, 0]
    assert index.bar_length(0, 0, "minute") == 60_000_000_000
