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
from windows.frame_view import FrameView
from windows.stored_minutes import minutes

NOON = LUMIBOT_DEFAULT_PYTZ.localize(dt.datetime(2024, 1, 10, 12, 0))


@pytest.fixture
def data(storage: DuckDBDataStorage) -> WindowedData:
    """The bars of AAA, not aligned with other series."""
    return WindowedData(Asset("AAA"), StoredView(storage, storage.pin("AAA", timeframe="minute", source="own")))


@pytest.fixture
def lumibots() -> Data:
    return Data(Asset("AAA"), minutes(0), timestep="minute")


def shifted(bars: pd.DataFrame, days: int, rows: int) -> pd.DataFrame:
    bars = bars.iloc[:rows].copy()
    bars.index += pd.Timedelta(days=days)
    return bars


LATE = pd.DatetimeIndex(["2024-01-02 09:30:30", "2024-01-02 23:59:30"], tz=LUMIBOT_DEFAULT_PYTZ, name="datetime")
SPY = Asset("SPY", "option", expiration=dt.date(2024, 1, 19), strike=400.0, right="PUT")


@pytest.mark.parametrize("timestep", ["minute", "hour", "day"])
@pytest.mark.parametrize("index", [None, LATE, LATE.tz_convert("UTC")])
def test_it_has_the_attributes_that_lumibots_constructor_sets(timestep: str, index: pd.DatetimeIndex | None) -> None:
    """Also for the second series with the same columns, for which the constructor is not called again."""
    bars = minutes(0)
    if index is not None:
        bars = bars.iloc[:2].set_axis(index)
    euro = Asset("EUR", "forex")
    for days, rows, asset, quote in [(0, 500, Asset("AAA"), None), (1, 3, SPY, euro), (2, 1, Asset("BBB"), None)]:
        frame = shifted(bars, days, rows)
        theirs = vars(Data(asset, frame.copy(), timestep=timestep, quote=quote))
        ours = vars(WindowedData(asset, FrameView(frame), timestep=timestep, quote=quote))
        for name in theirs.keys() - {"df", "_data_len"}:
            assert ours[name] == theirs[name], name
            assert type(ours[name]) is type(theirs[name]), name


def test_it_refuses_what_lumibots_constructor_refuses() -> None:
    view = FrameView(minutes(0))
    WindowedData(Asset("AAA"), view)
    for asset, settings in [
        (Asset("BTC", "crypto"), {}),
        (Asset("AAA"), {"quote": "USD"}),
        (Asset("AAA"), {"timestep": "week"}),
    ]:
        with pytest.raises(ValueError, match=r"quote|imestep") as theirs:
            Data(asset, minutes(0), **settings)
        with pytest.raises(ValueError, match=r"quote|imestep") as ours:
            WindowedData(asset, view, **settings)
        assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("ask", ["get_last_price", "get_quote", "get_price_snapshot"])
def test_a_price_before_any_bars_does_not_read_the_whole_series(data: WindowedData, lumibots: Data, ask: str) -> None:
    before = data._budget.statistics.rows_loaded
    assert repr(getattr(data, ask)(NOON)) == repr(getattr(lumibots, ask)(NOON))
    assert 0 < data._budget.statistics.rows_loaded - before < 2_000 < data._data_len


def _days() -> pd.DataFrame:
    return minutes(0).groupby(lambda time: time.normalize()).last()


def _without_prices(bars: pd.DataFrame, every: int) -> pd.DataFrame:
    bars = bars.copy()
    bars.iloc[::every, bars.columns.get_indexer(["open", "close"])] = np.nan
    return bars


PRICED = {
    "minutes": ("minute", minutes(0)),
    "minutes, some without prices": ("minute", _without_prices(minutes(0), 3)),
    "hours": ("hour", minutes(0).iloc[::60]),
    "days": ("day", _days()),
    "days, some without prices": ("day", _without_prices(_days(), 3)),
    "one day": ("day", _days().iloc[:1]),
    "whole numbers": ("minute", minutes(0).fillna(1).astype("int64")),
    "no opens": ("day", _days().drop(columns="open")),
}
TIMES = (
    NOON,
    NOON + dt.timedelta(seconds=59),
    NOON.astimezone(dt.timezone.utc),
    pd.Timestamp(NOON),
    pd.Timestamp(NOON) + pd.Timedelta(1, "ns"),
    NOON.replace(tzinfo=None),
    NOON.replace(hour=3),
    NOON.replace(hour=22),
    NOON - dt.timedelta(days=400),
    NOON + dt.timedelta(days=400),
)


def priced(data: Data, time: dt.datetime, settings: dict[str, object]) -> str:
    """Return the last price, with its type, or what is raised instead."""
    try:
        price = data.get_last_price(time, **settings)
    except (KeyError, TypeError, ValueError) as error:
        return repr(error)
    return repr((type(price), price))


@pytest.mark.filterwarnings("ignore:Discarding nonzero nanoseconds")
@pytest.mark.parametrize("name", PRICED)
@pytest.mark.parametrize("merged", [False, True])
def test_the_last_price_is_lumibots(name: str, merged: bool) -> None:
    timestep, bars = PRICED[name]
    theirs = Data(Asset("AAA"), bars.copy(), timestep=timestep)
    ours = WindowedData(Asset("AAA"), FrameView(bars), timestep=timestep)
    for data in (theirs, ours):
        if merged:
            data.repair_times_and_fill(bars.index.union(bars.index + pd.Timedelta(7, "min")))
    ends = [end + pd.Timedelta(shift, "s") for end in (bars.index[0], bars.index[-1]) for shift in (-1, 0, 1)]
    for time in (*TIMES, *ends, *bars.index[5:200:13] + pd.Timedelta(30, "s")):
        for settings in ({}, {"timeshift": 1}, {"timeshift": None}, {"length": 3}):
            assert priced(ours, time, settings) == priced(theirs, time, settings), (time, settings)


@pytest.mark.parametrize("timestep", ["minute", "day"])
def test_the_last_price_is_found_without_lumibots_checks(timestep: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lumibot asks for it in every iteration, for each position."""
    data = WindowedData(Asset("AAA"), FrameView(minutes(0) if timestep == "minute" else _days()), timestep=timestep)
    data.align()
    monkeypatch.delattr(Data, "get_last_price")
    assert data.get_last_price(NOON) > 0


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
