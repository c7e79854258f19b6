"""`IndicatorWindow`: wherever a backtest is, and however little fits into memory, the values are those of all bars."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.analytics.indicator_values import IndicatorValues
from lumibot_duckdb.analytics.requests import parsed_requests
from lumibot_duckdb.analytics.series_bars import BarsInTimeframe
from lumibot_duckdb.analytics.span import Span
from lumibot_duckdb.storage.times import NEW_YORK, UTC, EpochSeconds, midnight
from lumibot_duckdb.windows import window
from lumibot_duckdb.windows.bar_ends import bar_end
from lumibot_duckdb.windows.frame_view import FrameView
from lumibot_duckdb.windows.indicator_window import IndicatorWindow
from lumibot_duckdb.windows.window import MemoryBudget

ZONE = "America/New_York"


def few_bars_a_day(days: int, seed: int) -> FrameView:
    """Return up to twelve minutes of each day, at any time, on the days of both changes of the clock, too."""
    rng = np.random.default_rng(seed)
    spans = (pd.date_range(start, periods=days // 2, tz=ZONE) for start in ("2023-10-20", "2024-02-25"))
    starts = [day + pd.Timedelta(minutes=int(minute)) for span in spans for day in span for minute in _times(rng)]
    index = pd.DatetimeIndex(sorted(set(starts))).as_unit("ns")
    close = np.round(100 + np.cumsum(rng.normal(0, 1, len(index))), 2)
    close[rng.uniform(size=len(close)) < 0.05] = np.nan
    table = {"open": close - 0.5, "high": close + 1, "low": close - 1, "close": close, "volume": close * 3}
    return FrameView(pd.DataFrame(table, index=index), "some bars")


def _times(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    return rng.integers(0, 1380, rng.integers(0, 12))


@pytest.fixture(autouse=True, scope="module")
def small_windows() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window, "FIRST_READ_AHEAD", 16)
        patch.setattr(window, "LARGEST_READ_AHEAD", 64)
        yield


@given(data=st.data())
@examples(24)
def test_values_are_those_of_all_bars(data: st.DataObject) -> None:
    view = few_bars_a_day(data.draw(st.integers(4, 90), "days"), data.draw(st.integers(0, 2**32), "seed"))
    timeframe = data.draw(st.sampled_from(["minute", "7minute", "hour", "5hour", "day", "2day", "week", "month"]))
    requests = parsed_requests(data.draw(st.sampled_from([["rsi(2)", "sma(3)"], ["obv"], ["ema(3)", "pivot_points"]])))
    budget = MemoryBudget(data.draw(st.sampled_from([1, 3_000, 10_000_000]), "bytes"))
    series, values = BarsInTimeframe(view, "minute", timeframe), IndicatorValues(requests, ZONE)
    times, columns = values.read(series, Span(None, None))
    made = not series.as_stored
    ends = np.array([bar_end(start, timeframe, made=made) for start in times.tolist()])
    tested = IndicatorWindow(series, values, budget, view.index_of)
    now = data.draw(st.integers(int(times[0]) - 90_000, int(times[-1]) + 4_000_000), "first")
    for _ in range(data.draw(st.integers(1, 8), "steps")):
        length = data.draw(st.sampled_from([1, 2, 9, 300]), "length")
        visible_until = data.draw(st.sampled_from([None, now - 5_000]), "visible until")
        shown = (ends <= now) if visible_until is None else (ends <= now) & (times < visible_until)
        found = tested.closed_bars(now, visible_until, length)
        assert (found is None) == (not shown.any())
        if found is not None:
            assert found.times.tolist() == times[shown][-length:].tolist()
            frame = found.frame()
            for name, column in zip(values.columns, columns, strict=True):
                np.testing.assert_allclose(frame[name], column[shown][-length:], rtol=1e-9, atol=1e-9)
        now += data.draw(st.sampled_from([60, 3_600, 86_400, 700_000, -200_000]), "later")


@pytest.mark.parametrize(
    ("start", "timeframe", "made", "end"),
    [
        ("2024-03-10 00:00", "day", False, "2024-03-11 00:00"),
        ("2024-11-03 00:00", "day", True, "2024-11-04 00:00"),
        ("2024-03-09 19:00", "day", False, "2024-03-10 20:00"),  # midnight in UTC
        ("2024-03-09 16:00", "day", False, "2024-03-10 17:00"),  # 24 hours later
        ("2024-03-04 00:00", "week", True, "2024-03-11 00:00"),
        ("2024-12-01 00:00", "month", True, "2025-01-01 00:00"),
        ("2024-01-31 19:00", "month", False, "2024-02-29 19:00"),
        ("2024-11-01 00:00", "3month", True, "2025-02-01 00:00"),
        ("2024-03-08 22:00", "4hour", True, "2024-03-09 00:00"),
        ("2024-03-08 22:00", "4hour", False, "2024-03-09 02:00"),
        ("2024-03-08 10:00", "5minute", True, "2024-03-08 10:05"),
    ],
)
def test_when_a_bar_closes(start: str, timeframe: str, made: bool, end: str) -> None:
    assert bar_end(_seconds(start), timeframe, made=made) == _seconds(end)


def _seconds(text: str) -> EpochSeconds:
    return int(pd.Timestamp(text, tz=ZONE).timestamp())


def test_midnights_of_both_zones() -> None:
    day = pd.Timestamp("2024-07-04").date()
    assert {bar_end(midnight(day, zone), "day", made=False) - midnight(day, zone) for zone in (UTC, NEW_YORK)} == {
        86_400
    }
