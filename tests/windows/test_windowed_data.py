"""Lumibot's `Data` over windows, for what it must not read and what it refuses."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from lumibot.constants import LUMIBOT_DEFAULT_PYTZ
from lumibot.entities import Asset, Data

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.windows.series_view import StoredView
from lumibot_duckdb.windows.windowed_data import WindowedData
from windows.stored_minutes import minutes

NOON = LUMIBOT_DEFAULT_PYTZ.localize(dt.datetime(2024, 1, 10, 12, 0))


@pytest.fixture
def data(storage: DuckDBDataStorage) -> WindowedData:
    """The bars of AAA, not aligned with other series."""
    return WindowedData(Asset("AAA"), StoredView(storage, storage.pin("AAA", timeframe="minute", source="own")))


@pytest.fixture
def lumibots() -> Data:
    return Data(Asset("AAA"), minutes(0), timestep="minute")


@pytest.mark.parametrize("ask", ["get_last_price", "get_quote", "get_price_snapshot"])
def test_a_price_before_any_bars_does_not_read_the_whole_series(data: WindowedData, lumibots: Data, ask: str) -> None:
    before = data._budget.statistics.rows_loaded
    assert repr(getattr(data, ask)(NOON)) == repr(getattr(lumibots, ask)(NOON))
    assert 0 < data._budget.statistics.rows_loaded - before < 2_000 < data._data_len


def test_the_state_of_a_bar_is_lumibots(data: WindowedData, lumibots: Data) -> None:
    for time in (NOON, NOON + dt.timedelta(seconds=59), NOON.replace(hour=20), NOON.replace(hour=3)):
        row = lumibots.get_iter_count(time)
        assert data.get_iter_count(time) == row
        for near in (row - 1, row, row + 1, -1, data._data_len):
            assert data._intraday_state_at(near, time) == lumibots._intraday_state_at(near, time), (time, near)


def test_a_frame_cannot_be_assigned_before_or_after_rows_are_read(data: WindowedData) -> None:
    for _ in range(2):
        with pytest.raises(TypeError, match="AAA come from the store and cannot be replaced"):
            data.df = minutes(1)
        assert data.get_last_price(NOON) is not None


def test_columns_are_arrays_that_are_read_when_they_are_used(data: WindowedData, lumibots: Data) -> None:
    data.align()
    lumibots.repair_times_and_fill(lumibots.df.index)
    for name in ("close", "volume", "return", "datetime"):
        lazy, whole = data.datalines[name].dataline, lumibots.datalines[name].dataline
        assert len(lazy) == len(whole)
        for cut in (slice(5, 9), slice(-3, None), slice(8, 2), slice(9, 2, -3), slice(0, 20, 7)):
            np.testing.assert_array_equal(np.asarray(lazy[cut]), np.asarray(pd.Series(whole)[cut]))
        assert lazy[-1] == pd.Series(whole).iloc[-1]
        with pytest.raises(IndexError, match=f"row {len(whole)} is outside of the {len(whole)} rows"):
            lazy[len(whole)]
