"""Windows count all memory that they hold: a budget of a gigabyte is not one of a gigabyte and a half."""

from __future__ import annotations

import pandas as pd
import pytest
from lumibot.entities import Asset

from lumibot_duckdb.windows.framed_series import FramedSeries, Shape, frame_of_bars
from lumibot_duckdb.windows.window import MemoryBudget
from lumibot_duckdb.windows.windowed_data import WindowedData
from windows.allocated import arrays_counted, bytes_in_windows
from windows.frame_view import FrameView
from windows.stored_minutes import minutes

COLUMNS = ["open", "high", "low", "close", "volume"]


def framed(view: FrameView, budget: MemoryBudget) -> FramedSeries:
    return frame_of_bars(view, Shape(COLUMNS, COLUMNS, dict), budget)


def aligned(view: FrameView, budget: MemoryBudget, index: pd.DatetimeIndex | None = None) -> WindowedData:
    data = WindowedData(Asset("AAA"), view, budget=budget)
    data.align() if index is None else data.repair_times_and_fill(index)
    return data


@pytest.mark.parametrize("rows", ["of the series", "of a shared index", "of a frame"])
@pytest.mark.parametrize("step", ["minute", "15min", "day"])
def test_a_budget_counts_all_that_its_windows_hold(rows: str, step: str) -> None:
    bars = minutes(0)
    view = FrameView(bars)
    budget = MemoryBudget(2_000_000)
    with arrays_counted() as arrays:
        if rows == "of a frame":
            series = framed(view, budget)
            series.frame(3_000, 5_000)
        else:
            data = aligned(view, budget, bars.index if rows == "of a shared index" else None)
            for row in (2_000, 5_000, 5_400):
                data.get_bars(bars.index[row].to_pydatetime(), 100, step)
        counted = budget.bytes_held()
        held = bytes_in_windows(budget, arrays)
    assert counted > 1_000
    assert held <= 1.02 * counted + 500
    assert counted <= 1.5 * held, "what is not there does not count, either"
