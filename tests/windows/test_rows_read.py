"""How many rows windows read for those that a strategy is shown, and that it is shown what Lumibot would show."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lumibot.entities import Asset, Data

from hypothesis_settings import examples
from lumibot_duckdb.storage.api import BarArrays, TimeRange
from lumibot_duckdb.windows import bucketed_series, window
from lumibot_duckdb.windows.windowed_data import WindowedData
from parity.harness import assert_same_frame
from windows.frame_view import FrameView
from windows.stored_minutes import minutes

AAA = Asset("AAA")
DAYS = 60


class CountedView(FrameView):
    """Counts the rows that are read with all columns."""

    rows_read = 0

    def bars(self, within: TimeRange, columns: Any = None) -> BarArrays:
        bars = super().bars(within, columns)
        self.rows_read += len(bars.times)
        return bars


def shared(bars: pd.DataFrame) -> tuple[WindowedData, CountedView]:
    """Return the data of a series that shares its time index with others."""
    view = CountedView(bars)
    data = WindowedData(AAA, view, timestep="minute")
    data.repair_times_and_fill(bars.index)
    return data, view


@pytest.mark.parametrize(
    "requests",
    [
        [(60, "minute"), (60, "5min"), (5, "day")],
        [(5, "day"), (60, "5min"), (60, "minute")],
        [(10, "day"), (1, "minute")],
        [(60, "5min"), (100, "15min")],
        [(10, "day")],
    ],
)
def test_an_hourly_strategy_reads_fewer_than_two_rows_for_each_that_it_is_shown(
    requests: list[tuple[int, str]],
) -> None:
    bars = minutes(0, days=DAYS)
    data, view = shared(bars)
    for time in bars.index[38 * 390 :: 60].to_pydatetime():
        for length, step in requests:
            assert len(data.get_bars(time, length, step)) == length
    shown = data._budget.statistics.rows_shown
    assert shown > 8_000
    assert view.rows_read < 2 * shown


def test_a_row_without_a_bar_at_the_beginning_of_a_window_costs_one_more_row() -> None:
    bars = minutes(0, days=10)
    view = CountedView(bars.drop(bars.index[999:1001]))
    data = WindowedData(AAA, view, timestep="minute")
    data.repair_times_and_fill(bars.index)
    begin = view.rows_read
    data.bars_in_rows(1001, 1002)
    assert data.bars_in_rows(1000, 1001)["close"].tolist() == bars["close"].iloc[998:999].tolist()
    assert view.rows_read - begin <= 2 * (window.FIRST_READ_AHEAD + 3)


@pytest.fixture(scope="module")
def small_windows() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window, "FIRST_READ_AHEAD", 16)
        patch.setattr(window, "NEAR", 48)
        patch.setattr(bucketed_series, "ROWS_AT_ONCE", 32)
        yield


steps = st.sampled_from(["minute", "3min", "7min", "hour", "day"])
walks = st.lists(st.tuples(st.integers(-30, 90), st.integers(1, 5), steps), min_size=1, max_size=10)


@lru_cache
def lumibots(missing: float, with_dividends: bool) -> tuple[pd.DataFrame, pd.DataFrame, Data]:
    """Return minutes, those of them that have a bar, and Lumibot's data of these."""
    whole = minutes(3, days=4)
    bars = whole[np.random.default_rng(4).random(len(whole)) >= missing].copy()
    if with_dividends:
        bars["dividend"] = np.where(np.arange(len(bars)) % 97 == 0, 0.1, 0.0)
    data = Data(AAA, bars.copy(), timestep="minute")
    data.repair_times_and_fill(whole.index)
    return whole, bars, data


@pytest.mark.usefixtures("small_windows")
@examples(25)
@given(walks, st.sampled_from([0.0, 0.4]), st.booleans())
def test_windows_that_are_joined_show_what_lumibot_shows(
    walk: list[tuple[int, int, str]], missing: float, with_dividends: bool
) -> None:
    whole, bars, theirs = lumibots(missing, with_dividends)
    ours = WindowedData(AAA, FrameView(bars), timestep="minute")
    ours.repair_times_and_fill(whole.index)
    row = 400
    for step, length, timestep in walk:
        row = min(max(row + step, 1), len(whole) - 1)
        time = whole.index[row].to_pydatetime()
        frames = [_bars(data, time, length, timestep) for data in (theirs, ours)]
        if isinstance(frames[0], pd.DataFrame):
            assert_same_frame(*frames, f"{length} bars of {timestep} at {time}")
        else:
            assert frames[0] is frames[1]


def _bars(data: Data, time: Any, length: int, timestep: str) -> Any:
    try:
        return data.get_bars(time, length=length, timestep=timestep)
    except Exception as error:
        return type(error)
