"""Larger bars of minutes against Lumibot's own `Data`, which resamples the rows of every request with pandas."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lumibot.entities import Asset, Data

from hypothesis_settings import examples
from lumibot_duckdb.windows.windowed_data import WindowedData
from parity.harness import assert_same_frame
from windows.frame_view import FrameView

NEW_YORK = "America/New_York"
AAA = Asset("AAA")
HUGE = 2**62
VALUES: dict[str, list[Any]] = {
    "whole": [0.0, 1.0, 7.0, 2.0**39],
    "tenths": [0.1, 0.2, 0.3, 0.7],
    "large": [1e16, 1.0, 3.0, 2.0**53, -1e16],
    "odd": [np.inf, 1.0, 0.5, -0.0],
    "int64": [0, 1, 7, 2**39],
    "huge int64": [HUGE, HUGE + 1, -HUGE, 2**63 - 1, -(2**63), 5],
}


def minutes(volumes: list[Any], dividends: list[float] | None = None, first: str = "2024-03-08 09:30") -> pd.DataFrame:
    """Return as many minutes as there are volumes."""
    index = pd.date_range(first, periods=len(volumes), freq="min", tz=NEW_YORK, name="datetime").as_unit("ns")
    close = 100 + np.arange(len(index)) % 7 / 10
    bars = pd.DataFrame({"open": close, "high": close + 1, "low": close - 1, "close": close}, index=index)
    bars["volume"] = np.array(volumes)
    if dividends is not None:
        bars["dividend"] = dividends
    return bars


def both(bars: pd.DataFrame) -> tuple[Data, WindowedData]:
    """Return Lumibot's data and ours."""
    theirs = Data(AAA, bars.copy(), timestep="minute")
    theirs.repair_times_and_fill(theirs.df.index)
    return theirs, WindowedData(AAA, FrameView(bars), timestep="minute")


def compare(bars: pd.DataFrame, *requests: tuple[int, int, str]) -> None:
    """Compare the answers to requests at minutes after the first bar, for a number of bars of a timestep."""
    theirs, ours = both(bars)
    for after, length, step in requests:
        time = (bars.index[0] + pd.Timedelta(minutes=after)).to_pydatetime()
        expected, actual = (outcome(data, time, length, step) for data in (theirs, ours))
        if isinstance(expected, pd.DataFrame):
            assert_same_frame(expected, actual, f"{length} bars of {step} after {after} minutes")
        else:
            assert actual is expected


def outcome(data: Data, time: dt.datetime, length: int, step: str) -> Any:
    with np.errstate(all="ignore"):
        try:
            return data.get_bars(time, length, step)
        except Exception as error:
            return type(error)


def test_a_cut_bar_adds_up_dividends_as_pandas_does() -> None:
    """Plainly added, nine times 0.1 are 0.8999999999999999."""
    bars = minutes([1.0] * 60, [0.1] * 60)
    assert outcome(both(bars)[0], bars.index[31].to_pydatetime(), 3, "10min")["dividend"].iloc[0] == 0.9
    compare(bars, (31, 3, "10min"))


def test_a_cut_bar_adds_up_volumes_as_pandas_does_even_if_whole_bars_have_whole_volumes() -> None:
    compare(minutes([0.1] * 60), (31, 3, "10min"), (37, 2, "15min"))


@pytest.mark.parametrize("volume", [HUGE, -HUGE, 2**63 - 1])
def test_whole_volumes_too_large_to_be_added_up_give_what_lumibot_gives(volume: int) -> None:
    bars = minutes([volume] * 60)
    assert outcome(both(bars)[0], bars.index[31].to_pydatetime(), 3, "10min")["volume"].dtype == np.int64
    compare(bars, (31, 3, "10min"), (37, 4, "7min"))


@st.composite
def columns(draw: st.DrawFn) -> tuple[list[Any], list[float] | None]:
    count = draw(st.integers(20, 60))
    kind = draw(st.sampled_from(sorted(VALUES)))
    volumes = draw(st.lists(st.sampled_from(VALUES[kind]), min_size=count, max_size=count))
    amounts = st.sampled_from([0.0, 0.0, 0.1, 0.7, 1 / 3])
    return volumes, draw(st.none() | st.lists(amounts, min_size=count, max_size=count))


requests = st.tuples(st.integers(0, 62), st.integers(1, 8), st.sampled_from(["3min", "5min", "10min", "hour", "day"]))


@examples(40)
@given(columns(), st.lists(requests, min_size=1, max_size=6), st.sampled_from(["2024-03-08 09:30", "2024-03-07 23:35"]))
@example(([HUGE] * 4 + [5] * 20, None), [(9, 1, "5min"), (12, 2, "5min")], "2024-03-08 09:30")
def test_larger_bars_are_lumibots_to_the_last_bit(
    columns: tuple[list[Any], list[float] | None], requests: list[tuple[int, int, str]], first: str
) -> None:
    compare(minutes(*columns, first=first), *requests)
