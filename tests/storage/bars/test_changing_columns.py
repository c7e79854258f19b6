"""A later frame with other columns or dtypes loses no value: what can be combined is, the rest is refused."""

from __future__ import annotations

import tempfile
from typing import Any

import duckdb
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.errors import InvalidBarsError
from storage.frames import assert_same, column_strategy, index_of, minute_bars

pytestmark = pytest.mark.older_duckdb

FIRST = minute_bars(rows=4)
SECOND = minute_bars("2024-01-02 11:00", rows=3, seed=1)


def stored_twice(storage: DuckDBDataStorage, first: Any, second: Any) -> pd.Series:  # type: ignore[type-arg]
    """Store a column `x` of two frames that follow one another; None leaves it out. Return the column."""
    for frame, values in ((FIRST, first), (SECOND, second)):
        storage.store_ohlcv_data("X", frame if values is None else frame.assign(x=values), "test", "minute")
    return storage.get_historical_prices("X")["x"]


def same_values(some: Any, others: Any) -> bool:
    """Return whether values are the same, with any kind of missing value."""
    return all(
        (pd.isna(one) and pd.isna(other)) or (not pd.isna(one) and not pd.isna(other) and one == other)
        for one, other in zip(some, others, strict=True)
    )


@pytest.mark.parametrize(
    ("first", "second", "dtype"),
    [
        (np.int64([1, 2, 3, 4]), np.float64([0.5, 1, 2]), "float64"),
        (np.float64([0.5, 1, 2, 3]), np.int64([1, 2, 3]), "float64"),
        (np.int32([1, 2, 3, 4]), np.int64([1, 2, 2**40]), "int64"),
        (np.int8([1, 2, 3, 4]), np.uint8([1, 2, 200]), "int16"),
        (np.float32([0.1, 2, 3, 4]), np.float64([0.1, 1, 2]), "float64"),
        (np.int64([1, 2, 3, 4]), np.int64([1, 2, 2**60 + 1]), "int64"),
        (np.int64([1, 2, 3, 4]), pd.array([1, None, 2**60 + 1], dtype="Int64"), "Int64"),
        (pd.array([1, None, 3, 4], dtype="Int8"), np.float64([0.5, np.nan, 2]), "Float64"),
        (np.int64([1, 2, 3, 4]), None, "float64"),
        (None, np.int64([1, 2, 3]), "float64"),
        (np.int64([1, 2, 3, 2**60 + 1]), None, "Int64"),
        (None, np.uint64([1, 2, 2**63 + 1]), "UInt64"),
        ([True, False, True, True], None, "boolean"),
        ([True, False, True, True], pd.array([True, None, False], dtype="boolean"), "boolean"),
        (["a", "b", "c", None], ["d", "e", "f"], "object"),
        (["a", "b", "c", "d"], pd.array(["d", "e", None], dtype="string[python]"), "object"),
        (["a", "b", "c", "d"], None, "object"),
        ([None] * 4, ["d", "e", "f"], "object"),
        ([None] * 4, np.float64([0.5, np.nan, 2]), "float64"),
        ([None] * 4, np.int64([1, 2, 3]), "float64"),
        (np.float64([1, 2, 3, 4]), [None] * 3, "float64"),
        (FIRST.index, None, "datetime64[ns, America/New_York]"),
    ],
)
def test_columns_that_can_be_combined(storage: DuckDBDataStorage, first: Any, second: Any, dtype: str) -> None:
    combined = stored_twice(storage, first, second)
    assert str(combined.dtype) == dtype
    expected = [*pd.Series(first if first is not None else [None] * 4, dtype=None if first is not None else object)]
    expected += [*pd.Series(second if second is not None else [None] * 3, dtype=None if second is not None else object)]
    assert same_values(combined, expected)
    assert storage.verify().sound


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (np.float64([1, 2, 3, 4]), ["a", "b", "c"], "'x' is stored as float64 and came as object"),
        ([True] * 4, np.float64([1, 2, 3]), "'x' is stored as bool and came as float64"),
        (np.int64([1, 2, 3, 2**60 + 1]), np.float64([0.5, 1, 2]), r"integers above 2\*\*53"),
        (np.float64([0.5, 1, 2, 3]), np.int64([1, 2, 2**60 + 1]), r"integers above 2\*\*53"),
        (FIRST.index, SECOND.index.tz_convert("UTC"), "came as datetime64"),
    ],
)
def test_columns_that_cannot_be_combined_are_refused(
    storage: DuckDBDataStorage, first: Any, second: Any, says: str
) -> None:
    with pytest.raises(InvalidBarsError, match=says) as caught:
        stored_twice(storage, first, second)
    assert "X stock, minute bars from test" in str(caught.value)
    assert "first row: 2024-01-02T16:00:00" in str(caught.value)
    assert_same(storage.get_historical_prices("X"), FIRST.assign(x=first))


def test_a_pin_keeps_the_columns_and_dtypes_of_its_time(storage: DuckDBDataStorage) -> None:
    first = FIRST.assign(x=np.int64([1, 2, 3, 4]))
    storage.store_ohlcv_data("X", first, "test", "minute")
    pin = storage.pin("X")
    storage.store_ohlcv_data("X", SECOND.assign(x=0.5, y="new"), "test", "minute")
    assert storage.get_historical_prices("X")["x"].dtype == np.float64
    assert_same(DuckDBDataStorage(storage.path).read_pandas(pin), first)
    assert [column.name for column in storage.facts(pin).columns] == list(first.columns)


def test_the_order_of_columns_is_that_of_the_first_frame(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", FIRST.assign(x=1.0), "test", "minute")
    reordered = SECOND.assign(y=2.0, x=1.0)[["y", "volume", "x", "close", "open", "high", "low"]]
    storage.store_ohlcv_data("X", reordered, "test", "minute")
    assert list(storage.get_historical_prices("X").columns) == [*FIRST.columns, "x", "y"]
    storage.store_ohlcv_data("X", FIRST.assign(x=1.0).iloc[:, ::-1], "test", "minute")
    assert list(storage.get_historical_prices("X").columns) == [*FIRST.columns, "x", "y"]


def test_a_frame_for_all_bars_decides_their_dtypes(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", FIRST, "test", "minute")
    pin = storage.pin("X")
    as_floats = FIRST.assign(volume=FIRST["volume"].astype(float))
    result = storage.store_ohlcv_data("X", as_floats, "test", "minute")
    assert (result.unchanged, result.new_version) == (4, False)
    assert_same(storage.get_historical_prices("X"), as_floats)
    assert_same(storage.read_pandas(pin), FIRST)
    storage.store_ohlcv_data("X", as_floats.iloc[:2].astype({"volume": int}), "test", "minute")
    assert_same(storage.get_historical_prices("X"), as_floats)


def test_names_that_sql_would_confuse_are_kept_apart(storage: DuckDBDataStorage) -> None:
    names = [
        "note",
        "Note",
        "NOTE",
        "n ote",
        "n_ote",
        "dividend",
        "Dividends",
        "dividends",
        "bid",
        "BID",
        "x_bid_double",
    ]
    frame = FIRST.assign(**{name: float(i) for i, name in enumerate(names)})
    storage.store_ohlcv_data("X", frame, "test", "minute")
    assert_same(DuckDBDataStorage(storage.path).get_historical_prices("X"), frame)
    storage.store_ohlcv_data("Y", FIRST.assign(note="text"), "test", "minute")
    assert_same(storage.get_historical_prices("X"), frame)


def test_the_finest_resolution_of_the_index_is_kept(storage: DuckDBDataStorage) -> None:
    for start, unit in ((0, "s"), (600, "us"), (1200, "ms")):
        frame = pd.DataFrame({"close": [1.0, 2.0]}, index=index_of([start, start + 60], unit))
        storage.store_ohlcv_data("X", frame, "test", "minute")
    assert storage.get_historical_prices("X").index.unit == "us"
    assert len(storage.get_historical_prices("X")) == 6


def test_a_resolution_that_cannot_hold_all_times_is_not_used(storage: DuckDBDataStorage) -> None:
    early = pd.DataFrame({"close": [1.0]}, index=index_of([-20_000_000_000], "s"))
    late = pd.DataFrame({"close": [2.0]}, index=index_of([0], "ns"))
    for asset, frames in (("X", (early, late)), ("Y", (late, early))):
        for frame in frames:
            storage.store_ohlcv_data(asset, frame, "test", "day")
        expected = pd.DataFrame({"close": [1.0, 2.0]}, index=index_of([-20_000_000_000, 0], "us"))
        assert_same(storage.get_historical_prices(asset, timeframe="day"), expected)


@examples(20)
@given(data=st.data())
def test_two_frames_of_any_columns_lose_no_value(data: st.DataObject) -> None:
    frames = []
    for frame in (FIRST, SECOND):
        names = data.draw(st.lists(st.sampled_from(["x", "y", "volume"]), unique=True))
        frames.append(frame.assign(**{name: data.draw(column_strategy(len(frame))) for name in names}))
    with tempfile.TemporaryDirectory() as folder:
        storage = DuckDBDataStorage(folder)
        storage.store_ohlcv_data("X", frames[0], "test", "minute")
        pin = storage.pin("X")
        try:
            storage.store_ohlcv_data("X", frames[1], "test", "minute")
        except InvalidBarsError:
            assert_same(DuckDBDataStorage(folder).get_historical_prices("X"), frames[0])
        else:
            got = DuckDBDataStorage(folder).get_historical_prices("X")
            assert_same(DuckDBDataStorage(folder).read_pandas(pin), frames[0])
            for part in frames:
                for name in got.columns:
                    there = got.loc[part.index, name].tolist()
                    came = part[name].tolist() if name in part.columns else [None] * len(part)
                    assert same_values(there, came), name
        storage.close()


# -- columns that nothing was ever in -------------------------------------------------------------------------

HOUR = TimeRange(1_700_000_000 // 3600 * 3600, 1_700_000_000 // 3600 * 3600 + 3600)
FURTHER = minute_bars(rows=4).assign(vwap=np.float64("nan"), signal=pd.array([None] * 4, dtype="Int64"))


def store_nothing_in_them(storage: DuckDBDataStorage, how: str) -> pd.DataFrame:
    """Store columns in which there is no value; return what is to come back."""
    if how == "no bars":
        storage.store_ohlcv_data("X", FURTHER.iloc[:0], "test", "minute", covered=HOUR)
        return FURTHER.iloc[:0]
    storage.store_ohlcv_data("X", FURTHER.drop(columns=["vwap", "signal"]), "test", "minute")
    storage.store_ohlcv_data("X", FURTHER, "test", "minute")
    return FURTHER


@pytest.mark.parametrize("how", ["no bars", "no values"])
def test_columns_without_a_value_come_back(storage: DuckDBDataStorage, how: str) -> None:
    expected = store_nothing_in_them(storage, how)
    assert_same(storage.get_historical_prices("X"), expected)
    assert storage.read_arrow(storage.pin("X")).column_names == ["datetime", *expected]
    assert storage.verify().findings == []


@pytest.mark.parametrize("how", ["no bars", "no values"])
def test_a_store_that_lacks_such_columns_is_read_and_written(storage: DuckDBDataStorage, how: str) -> None:
    """As earlier releases left it: the columns are noted, and the table does not have them."""
    expected = store_nothing_in_them(storage, how)
    storage.close()
    with duckdb.connect(str(storage.path)) as store:
        store.execute("DROP VIEW ohlcv_data")
        store.execute("ALTER TABLE bar DROP COLUMN IF EXISTS vwap")
        store.execute("ALTER TABLE bar DROP COLUMN IF EXISTS x_signal_double")
    again = DuckDBDataStorage(storage.path)
    assert_same(again.get_historical_prices("X"), expected)
    pin = again.pin("X")
    assert again.read_bars(pin, columns=["vwap"]).columns["vwap"].shape == (len(expected),)
    assert again.last_time_at_or_before(pin, 2**31, "vwap") is None
    values = FURTHER.assign(vwap=1.5, signal=pd.array([None, 1, 2, 3], dtype="Int64"))
    again.store_ohlcv_data("X", values, "test", "minute")
    assert_same(again.get_historical_prices("X"), values)
    assert again.verify().findings == []


def test_what_one_write_has_stays_known_of_the_column(storage: DuckDBDataStorage) -> None:
    third = minute_bars("2024-01-02 13:00", rows=2)
    for frame in (FIRST.assign(x=[1, 2, 3, 4]), SECOND.assign(x=[0.5, np.nan, 1.5]), third.assign(x=[2.5, 3.5])):
        storage.store_ohlcv_data("X", frame, "test", "minute")
    (column,) = (each for each in storage.facts(storage.pin("X")).columns if each.name == "x")
    assert (column.dtype, column.has_nulls, column.mixed) == ("float64", True, True)


def test_arrow_tables_have_the_types_of_the_columns(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", FIRST.assign(x=np.array([1, 2, 3, 4], "int32")), "test", "minute")
    table = storage.read_arrow(storage.pin("X"))
    assert (table["x"].type, table["close"].type) == (pa.int32(), pa.float64())
