"""A frame that holds only windows in memory, against the whole frame in pandas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.windows import paged_times
from lumibot_duckdb.windows.framed_series import FramedSeries, Shape, frame_of_bars
from lumibot_duckdb.windows.series_view import SeriesView, StoredView
from lumibot_duckdb.windows.window import MemoryBudget
from windows.stored_minutes import minutes

STORED = ("open", "high", "low", "close", "volume")


def with_change(stored: Mapping[str, Any]) -> dict[str, Any]:
    close = stored["close"]
    change = np.full(len(close), np.nan)
    change[1:] = close[1:] / close[:-1] - 1
    return {**stored, "price_change": change}


WITH_CHANGE = Shape((*STORED, "price_change"), STORED, with_change, look_back=1)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return minutes(7, days=3)


@pytest.fixture(scope="module")
def view(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> SeriesView:
    folder: Path = tmp_path_factory.mktemp("framed")
    storage = DuckDBDataStorage(folder / "bars.duckdb")
    storage.store_ohlcv_data("AAA", frame, "own", "minute")
    return StoredView(storage, storage.pin("AAA", timeframe="minute", source="own"))


@pytest.fixture
def series(view: SeriesView, monkeypatch: pytest.MonkeyPatch) -> FramedSeries:
    monkeypatch.setattr(paged_times, "PAGE_ROWS", 64)
    return frame_of_bars(view, WITH_CHANGE, MemoryBudget(), weight=32)


def expected(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(price_change=frame["close"] / frame["close"].shift() - 1)


@examples(40)
@given(bounds=st.lists(st.tuples(st.integers(-5, 1300), st.integers(0, 400)), min_size=1, max_size=8))
def test_every_slice_is_that_of_the_whole_frame(
    view: SeriesView, frame: pd.DataFrame, bounds: list[tuple[int, int]]
) -> None:
    whole = expected(frame)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paged_times, "PAGE_ROWS", 64)
        series = frame_of_bars(view, WITH_CHANGE, MemoryBudget(40_000), weight=32)
        for start, length in bounds:
            stop = max(start + length, 0)
            pd.testing.assert_frame_equal(series.frame(start, stop), whole.iloc[start:stop], check_exact=True)


def test_rows_are_found_as_in_the_index(series: FramedSeries, frame: pd.DataFrame) -> None:
    index = frame.index
    around = [*index[::37], *(index[::41] + pd.Timedelta("30s")), index[0] - pd.Timedelta("1D"), index[-1]]
    for time in (*around, index[-1] + pd.Timedelta("1D")):
        assert series.rows.row_at(time.value) == index.searchsorted(time, side="right") - 1
        assert series.rows.row_from(time.value) == index.searchsorted(time, side="left")


def test_requests_to_a_frame_have_the_answers_of_the_whole_frame(series: FramedSeries, frame: pd.DataFrame) -> None:
    whole = expected(frame)
    pd.testing.assert_frame_equal(series.whole(), whole, check_exact=True)
    pd.testing.assert_series_equal(series["close"], whole["close"], check_exact=True)
    assert len(series) == len(whole)
    assert series.shape == whole.shape
    assert "price_change" in series
    assert "dividend" not in series


@pytest.mark.parametrize("name", ["df", "timestep", "asset"])
def test_lumibot_takes_it_for_no_data_object(series: FramedSeries, name: str) -> None:
    assert not hasattr(series, name)


def test_single_values_have_the_frames_own_types(series: FramedSeries, frame: pd.DataFrame) -> None:
    assert series.value("close", 100) == frame["close"].iloc[100]
    assert type(series.value("volume", 3)) is type(frame["volume"].iloc[3])
    with pytest.raises(IndexError):
        series.value("close", len(frame))
    with pytest.raises(IndexError):
        series.value("close", -1)


def test_a_frame_is_the_callers_own(series: FramedSeries) -> None:
    first = series.frame(10, 20)
    first["close"] = 0.0
    assert (series.frame(10, 20)["close"] > 0).all()


def test_an_empty_slice_has_the_columns_and_the_zone(series: FramedSeries, frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(series.frame(5, 5), expected(frame).iloc[5:5], check_exact=True)
