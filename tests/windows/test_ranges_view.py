"""What a backtest sees of a series in ranges, with rows that are not stored, against a plain pandas model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.windows.ranges_view import Additions, RangesView, empty_rows

MINUTE = 60
BEGIN = int(pd.Timestamp("2024-03-08 14:30", tz="UTC").timestamp())
COUNT = 400
COLUMNS = ["open", "high", "low", "close", "volume"]


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    index = pd.DatetimeIndex((BEGIN + MINUTE * np.arange(COUNT)).astype("M8[s]"), tz="UTC", name="datetime").as_unit(
        "ns"
    )
    close = 100 + np.arange(COUNT) / 8
    return pd.DataFrame(
        {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": np.arange(COUNT)}, index=index
    )


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, bars: pd.DataFrame) -> DuckDBDataStorage:
    storage = DuckDBDataStorage(Path(tmp_path_factory.mktemp("ranges")) / "store.duckdb")
    storage.store_ohlcv_data("AAPL", bars, "polygon", "minute")
    return storage


def view_of(storage: DuckDBDataStorage, ranges: list[TimeRange], added: pd.DataFrame, **more: Any) -> RangesView:
    pin = storage.pin("AAPL")
    return RangesView(storage, pin, ranges, Additions(rows=added, **more), storage.outline(pin))


@st.composite
def ranges(draw: st.DrawFn) -> list[TimeRange]:
    """Up to three ranges, sorted, apart from each other."""
    edges = sorted(draw(st.sets(st.integers(-20, COUNT + 20), min_size=2, max_size=6)))
    pairs = zip(edges[::2], edges[1::2], strict=False)
    return [TimeRange(BEGIN + MINUTE * a, BEGIN + MINUTE * b) for a, b in pairs]


@examples(40)
@given(ranges(), st.sets(st.integers(-30, COUNT + 30), max_size=3), st.data())
def test_it_shows_just_the_ranges_and_the_added_rows(
    storage: DuckDBDataStorage, bars: pd.DataFrame, ranges: list[TimeRange], empty: set[int], data: st.DataObject
) -> None:
    # Half a minute off, so that an added row is never at the time of a bar.
    added_times = [BEGIN + MINUTE * place + 30 for place in sorted(empty)]
    view = view_of(storage, ranges, empty_rows(added_times), dtypes={"volume": "float64"} if empty else {})
    seconds = bars.index.as_unit("s").asi8
    inside = np.zeros(len(bars), bool)
    for piece in ranges:
        inside |= (seconds >= piece.start) & (seconds < piece.end)
    model = pd.concat([bars[inside], empty_rows(added_times)]).sort_index() if empty else bars[inside]
    times = model.index.as_unit("s").asi8

    assert view.times().tolist() == times.tolist()
    assert view.times().tolist() == times.tolist()  # the first answer was the given one; this one is read
    assert view.facts.rows == len(model)
    assert (view.facts.first, view.facts.last) == ((times[0], times[-1]) if len(times) else (None, None))
    frame = view.frame()
    assert str(frame.index.tz) == "America/New_York"
    pd.testing.assert_frame_equal(
        frame.tz_convert("UTC"), model[COLUMNS], check_freq=False, check_names=False, check_index_type=len(model) > 0
    )

    low, high = sorted(data.draw(st.tuples(st.integers(-40, COUNT + 40), st.integers(-40, COUNT + 40))))
    within = TimeRange(BEGIN + MINUTE * low, BEGIN + MINUTE * high)
    part = model[(times >= within.start) & (times < within.end)]
    read = view.bars(within, ["close", "volume"])
    assert read.times.tolist() == part.index.as_unit("s").asi8.tolist()
    np.testing.assert_array_equal(read.columns["close"], part["close"].to_numpy())
    np.testing.assert_array_equal(read.columns["volume"], part["volume"].to_numpy())
    assert read.columns["volume"].dtype == (np.float64 if empty else np.int64)
    assert len(view.frame(within)) == len(part)

    at = BEGIN + MINUTE * low + data.draw(st.sampled_from([0, 15]))
    before = times[times <= at]
    assert view.last_time_at_or_before(at) == (before[-1] if len(before) else None)
    valued = model["close"].notna().to_numpy()
    with_close = times[(times <= at) & valued]
    assert view.last_time_at_or_before(at, "close") == (with_close[-1] if len(with_close) else None)


def test_added_rows_with_values_are_bars_like_any_other(storage: DuckDBDataStorage, bars: pd.DataFrame) -> None:
    still_open = bars.iloc[[-1]].set_axis(bars.index[-1:] + pd.Timedelta(minutes=5))
    view = view_of(storage, [TimeRange(BEGIN, BEGIN + 10 * MINUTE)], still_open)
    assert view.frame().iloc[-1].tolist() == bars.iloc[-1].tolist()
    assert not any(column.has_nulls for column in view.facts.columns)
    last = int(still_open.index[0].timestamp())
    assert view.last_time_at_or_before(last, "close") == last
    assert view.bars(TimeRange(last, last + 1)).columns["volume"].dtype == np.int64


def test_added_rows_may_come_in_any_order_and_lack_values(storage: DuckDBDataStorage, bars: pd.DataFrame) -> None:
    within = TimeRange(BEGIN, BEGIN + 10 * MINUTE)
    late = bars.iloc[[-1, -2]].copy()
    late.iloc[1, COLUMNS.index("close")] = np.nan  # the earlier one
    view = view_of(storage, [within], late)
    assert view.times().tolist() == view.frame().index.as_unit("s").asi8.tolist() == sorted(view.times().tolist())
    assert {column.name for column in view.facts.columns if column.has_nulls} == {"close"}
    last_in_range, earlier, latest = BEGIN + 9 * MINUTE, BEGIN + (COUNT - 2) * MINUTE, BEGIN + (COUNT - 1) * MINUTE
    assert view.last_time_at_or_before(latest - 1, "open") == earlier
    assert view.last_time_at_or_before(latest - 1, "close") == last_in_range
    assert view.last_time_at_or_before(latest, "close") == latest
    read = view.bars(TimeRange(earlier, latest + 1), ["open", "close"])
    assert read.columns["open"].tolist() == bars["open"].iloc[-2:].tolist()
    assert np.isnan(read.columns["close"]).tolist() == [True, False]
    assert view.complete_from == BEGIN


def test_where_stored_bars_have_gaps_nothing_is_known_to_be_complete(tmp_path: Path, bars: pd.DataFrame) -> None:
    storage = DuckDBDataStorage(tmp_path / "store.duckdb")
    holes = bars.iloc[:9].copy()
    holes.iloc[3, COLUMNS.index("close")] = np.nan
    storage.store_ohlcv_data("AAPL", holes, "polygon", "minute")
    view = view_of(storage, [TimeRange(BEGIN, BEGIN + 9 * MINUTE)], empty_rows([BEGIN - MINUTE]))
    assert view.complete_from is None
    assert not view.surely_has("close", BEGIN)
    assert view.surely_has("open", BEGIN)
    assert not view.surely_has("open", BEGIN - MINUTE)


def test_missing_objects_are_none_in_added_rows_as_in_stored_ones(tmp_path: Path, bars: pd.DataFrame) -> None:
    storage = DuckDBDataStorage(tmp_path / "store.duckdb")
    storage.store_ohlcv_data("AAPL", bars.iloc[:3].assign(note=["a", None, "c"]), "polygon", "minute")
    view = view_of(storage, [TimeRange(BEGIN, BEGIN + 3 * MINUTE)], empty_rows([BEGIN - MINUTE]))
    assert view.frame()["note"].tolist() == [None, "a", None, "c"]


def test_it_knows_from_where_on_filled_rows_lack_nothing(storage: DuckDBDataStorage) -> None:
    within = [TimeRange(BEGIN + 5 * MINUTE, BEGIN + 20 * MINUTE)]
    first = BEGIN + 5 * MINUTE
    assert view_of(storage, within, empty_rows([])).complete_from == first
    before, after = first - 100 * MINUTE, first + 30
    view = view_of(storage, within, empty_rows([before, after]))
    assert view.facts.first == before
    assert view.complete_from == first
    assert view.surely_has("close", first)
    assert not view.surely_has("close", after)
    assert view_of(storage, [TimeRange(0, 1)], empty_rows([before])).complete_from is None


def test_columns_that_are_made_come_in_the_given_order(storage: DuckDBDataStorage) -> None:
    view = view_of(
        storage,
        [TimeRange(BEGIN, BEGIN + 3 * MINUTE)],
        empty_rows([]),
        columns={"timestamp": lambda nanoseconds, whole: nanoseconds // 10**6},
        order=("close", "timestamp", "open"),
    )
    frame = view.frame()
    assert list(frame.columns) == view.frame_columns() == ["close", "timestamp", "open"]
    assert frame["timestamp"].tolist() == [1000 * (BEGIN + MINUTE * i) for i in range(3)]
