"""Rows of a series and the buckets that they belong to, against pandas itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.storage.api import BarArrays, TimeRange
from lumibot_duckdb.storage.bars.outline import Outline
from lumibot_duckdb.windows import bar_rows
from lumibot_duckdb.windows.bar_rows import BarRows, SharedRows, StoredRows
from lumibot_duckdb.windows.bucket_numbering import BucketNumbering, phase_of
from lumibot_duckdb.windows.trading_index import TradingIndex
from lumibot_duckdb.windows.window import MemoryBudget
from windows.indexes import NEW_YORK, indexes

CODES = {"minute": "min", "hour": "h", "day": "D"}


class ListedTimes:
    """Takes the place of a view of a series, with times only; counts the reads."""

    def __init__(self, index: pd.DatetimeIndex) -> None:
        self._index = index.as_unit("s")
        self.facts = SimpleNamespace(on_minute=not (self._index.asi8 % 60).any())
        self.reads = 0

    def outline(self) -> Outline:
        return Outline(times=self._index.asi8)

    def bars(self, within: TimeRange, columns: Any = None) -> BarArrays:
        self.reads += 1
        times = self._index.asi8
        return BarArrays(times[(times >= within.start) & (times < within.end)], {})

    def index_of(self, times: Any) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(times * 10**9, tz="UTC", name="datetime").tz_convert(NEW_YORK)


def stored_rows(index: pd.DatetimeIndex, budget: MemoryBudget | None = None) -> StoredRows:
    return StoredRows(ListedTimes(index), "minute", budget or MemoryBudget())  # type: ignore[arg-type]


def shared_rows(index: pd.DatetimeIndex) -> SharedRows:
    """Return the index as the middle part of a longer one."""
    around = index[:1] - pd.Timedelta("9h"), index, index[-1:] + pd.Timedelta("3h")
    whole = around[0].append(around[1]).append(around[2])
    return SharedRows(TradingIndex(whole), 1, 1 + len(index), "minute")


kinds = st.sampled_from([stored_rows, shared_rows])


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bar_rows, "PAGE_ROWS", 16)
    monkeypatch.setattr(bar_rows, "PAGES", 3)


@examples(60)
@given(indexes(), kinds, st.data())
def test_rows_and_times_are_those_of_the_index(index: pd.DatetimeIndex, kind: Any, data: st.DataObject) -> None:
    rows: BarRows = kind(index)
    nanoseconds = index.as_unit("ns").asi8
    assert len(rows) == len(index)
    for _ in range(5):
        start = data.draw(st.integers(0, len(index) - 1))
        stop = data.draw(st.integers(start + 1, len(index)))
        time = nanoseconds[start] + data.draw(st.sampled_from([-(10**9), -1, 0, 1, 30 * 10**9, 3600 * 10**9]))
        assert rows.time(start) == nanoseconds[start]
        assert rows.nanoseconds(start, stop).tolist() == nanoseconds[start:stop].tolist()
        assert rows.index(start, stop).tolist() == index[start:stop].tolist()
        assert rows.row_at(time) == nanoseconds.searchsorted(time, side="right") - 1
        assert rows.row_from(time) == nanoseconds.searchsorted(time, side="left")
        covered = rows.covering(start, stop)
        assert covered.start <= nanoseconds[start] // 10**9
        assert nanoseconds[stop - 1] // 10**9 < covered.end


@examples(40)
@given(indexes(), kinds, st.data())
def test_days_are_local_calendar_days(index: pd.DatetimeIndex, kind: Any, data: st.DataObject) -> None:
    rows: BarRows = kind(index)
    row = data.draw(st.integers(0, len(index) - 1))
    dates = index.tz_localize(None).normalize()
    same = np.flatnonzero(dates == dates[row])
    day = rows.day(row)
    assert (day.first, day.stop) == (same[0], same[-1] + 1)
    assert pd.Timestamp(day.midnight, tz="UTC").tz_convert(NEW_YORK).tz_localize(None) == dates[row]
    numbers = dates.as_unit("s").asi8 // 86_400
    assert rows.day_numbers(row, len(index)).tolist() == numbers[row:].tolist()
    assert day.number == numbers[row]


@examples(80)
@given(
    indexes(),
    kinds,
    st.sampled_from([(5, "minute"), (7, "minute"), (1, "hour"), (3, "hour"), (1, "day"), (2, "day")]),
    st.data(),
)
def test_buckets_are_the_bins_of_resample(
    index: pd.DatetimeIndex, kind: Any, step: tuple[int, str], data: st.DataObject
) -> None:
    quantity, unit = step
    rows: BarRows = kind(index)
    row = data.draw(st.integers(0, len(index) - 1))
    steps = BucketNumbering(quantity, unit, phase_of(rows, row, quantity, unit))
    values = pd.Series(np.arange(row, len(index)), index=index[row:])
    bins = values.resample(f"{quantity}{CODES[unit]}").agg(["first", "last", "count"])
    filled = bins[bins["count"] > 0]
    numbers = steps.of_rows(rows, row, rows.nanoseconds(row, len(index)))
    present = np.unique(numbers)
    assert steps.labels(present, index).tolist() == filled.index.tolist()
    assert [steps.label(number) for number in present.tolist()] == filled.index.as_unit("ns").asi8.tolist()
    assert [steps.of_row(rows, last) for last in filled["last"].astype(int).tolist()] == present.tolist()
    assert [max(row, rows.row_from(steps.label(n))) for n in present.tolist()] == filled["first"].tolist()
    assert steps.offset == bins.index.freq
    assert present[-1] - present[0] + 1 == len(bins)


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
@pytest.mark.parametrize("step", [(5, "minute"), (1, "day")])
def test_labels_keep_the_unit_and_name_of_the_index(unit: str, step: tuple[int, str]) -> None:
    index = pd.date_range("2024-01-02", periods=100, freq="min", tz=NEW_YORK, unit=unit, name="datetime")
    labels = BucketNumbering(*step, phase=0).labels(np.array([5, 6]), index)
    assert labels.dtype == index.dtype
    assert labels.name == "datetime"


def test_a_series_on_its_own_holds_few_pages_and_gives_them_back() -> None:
    index = pd.date_range("2024-01-02", periods=20_000, freq="min", tz=NEW_YORK, name="datetime")
    budget = MemoryBudget()
    rows = stored_rows(index, budget)
    for row in range(0, len(index), 7):
        rows.time(row)
    assert 0 < rows.nbytes <= 3 * (1_440 + 16) * 8
    assert budget.bytes_held() == rows.nbytes
    rows.drop()
    assert rows.nbytes == 0
    assert rows.time(777) == index[777].value


def test_walking_on_reads_each_page_once() -> None:
    index = pd.date_range("2024-01-02", periods=20_000, freq="min", tz=NEW_YORK, name="datetime")
    view = ListedTimes(index)
    rows = StoredRows(view, "minute", MemoryBudget())  # type: ignore[arg-type]
    for row in range(1_500, len(index)):
        rows.time(row)
        rows.time(row - 1_440)
    assert view.reads == len(np.unique(index.date)) - 1  # the first is made of what the outline was made of
