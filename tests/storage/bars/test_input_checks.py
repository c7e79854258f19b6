"""Bars that cannot be kept are refused, with the asset and the first bad row, and nothing is stored."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.errors import InvalidBarsError
from storage.frames import index_of, minute_bars


def refused(storage: DuckDBDataStorage, frame: Any, **arguments: Any) -> str:
    with pytest.raises(InvalidBarsError) as caught:
        storage.store_ohlcv_data("XYZ", frame, "test", "minute", **arguments)
    assert not storage.path.exists()
    assert "XYZ stock, minute bars from test" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"close": [1.0]}, "must be a pandas or polars frame or an Arrow table, not dict. Make a pandas.DataFrame"),
        (pd.Series([1.0]), "or an Arrow table, not pandas.Series. Make a pandas.DataFrame whose index has tz-aware"),
        (pa.array([1.0]), "or an Arrow table, not pyarrow."),
        (None, "or an Arrow table, not None. Make"),
    ],
)
def test_not_a_frame(storage: DuckDBDataStorage, data: Any, says: str) -> None:
    assert says in refused(storage, data)


def test_an_index_that_holds_no_times(storage: DuckDBDataStorage) -> None:
    message = refused(storage, minute_bars().reset_index(drop=True))
    assert "the index holds int64, not times" in message
    assert "first row: 0" in message


def test_times_without_a_zone(storage: DuckDBDataStorage) -> None:
    message = refused(storage, minute_bars().tz_localize(None))
    assert "no time zone; first row: 2024-01-02 09:30:00" in message
    assert "tz_localize" in message


def test_a_time_that_is_there_twice(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=5)
    message = refused(storage, pd.concat([frame, frame.iloc[3:4]]))
    assert "the bar of 2024-01-02T14:33:00 UTC occurs twice" in message


def test_a_fraction_of_a_second(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=5)
    frame.index = frame.index[:2].append(frame.index[2:] + pd.Timedelta(milliseconds=250))
    assert "row 2 (2024-01-02 09:32:00.250000-05:00) is not on a whole second" in refused(storage, frame)


def test_a_missing_time(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=5)
    frame.index = frame.index.where(np.arange(5) != 3)
    assert "row 3 has no time (NaT)" in refused(storage, frame)


def test_times_that_no_calendar_has(storage: DuckDBDataStorage) -> None:
    frame = pd.DataFrame({"close": [1.0, 2.0]}, index=index_of([0, 400_000_000_000], "s"))
    assert "row 1 (14645-06-30T15:06:40) is outside of the years 1 to 9999" in refused(storage, frame)


def test_a_frame_without_prices(storage: DuckDBDataStorage) -> None:
    assert "none of the columns ['volume'] is open, high, low or close" in refused(storage, minute_bars()[["volume"]])


def test_columns_of_the_same_name(storage: DuckDBDataStorage) -> None:
    frame = minute_bars()
    frame["Close"] = 1.0
    assert "the column 'close' occurs twice" in refused(storage, frame)
    assert "the column 'bid' occurs twice" in refused(
        storage, pd.concat([minute_bars(), minute_bars()[["open", "open"]].set_axis(["bid", "bid"], axis=1)], axis=1)
    )


@pytest.mark.parametrize("name", [7, "", ("close", "X"), None])
def test_column_names_that_are_no_texts(storage: DuckDBDataStorage, name: Any) -> None:
    frame = minute_bars().rename(columns={"volume": "other"})
    frame.columns = pd.Index([*frame.columns[:-1], name], dtype=object, tupleize_cols=False)
    assert f"the column name {name!r} is not a string" in refused(storage, frame)


def test_a_column_named_like_the_index(storage: DuckDBDataStorage) -> None:
    assert "'datetime' is reserved for the index" in refused(storage, minute_bars().assign(datetime=1))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (pd.Categorical(["a"] * 60), "holds category"),
        (pd.array([1.5] * 60, dtype="double[pyarrow]"), r"holds double\[pyarrow\]"),
        (np.array([1 + 2j] * 60), "holds complex128"),
        (pd.to_timedelta(["1h"] * 60), "holds timedelta64"),
        (pd.period_range("2024-01", periods=60, freq="M"), "holds period"),
        (np.ones(60, dtype=">f8"), "holds >f8"),
        ([Decimal("1.5")] * 60, r"row 0 \(2024-01-02T14:30:00 UTC\) has Decimal"),
        (["a", "b", 3] * 20, r"row 2 \(2024-01-02T14:32:00 UTC\) has int 3"),
        ([True, None] * 30, "has bool True"),
        ([["nested"]] * 60, "has list"),
        (pd.Series([None, np.nan] * 30, dtype=object).array, "has both None and nan"),
    ],
)
def test_columns_that_would_not_come_back_the_same(storage: DuckDBDataStorage, values: Any, says: str) -> None:
    message = refused(storage, minute_bars().assign(odd=values))
    assert "'odd'" in message
    assert re.search(says, message), message


def test_metadata_that_is_no_json(storage: DuckDBDataStorage) -> None:
    with pytest.raises(InvalidBarsError, match="metadata cannot be written as JSON"):
        storage.store_ohlcv_data("XYZ", minute_bars(), "test", "minute", metadata={"of": object()})


@pytest.mark.parametrize(
    ("asset", "source", "timeframe", "says"),
    [
        ("", "test", "minute", "no symbol"),
        ("A\nB", "test", "minute", "no symbol"),
        (None, "test", "minute", "is not an asset"),
        (("A", "B", "C"), "test", "minute", r"not a \(base, quote\) pair"),
        ("X", "", "minute", "cannot name a source"),
        ("X", "two words", "minute", "cannot name a source"),
        ("X", "test", "sometimes", "is not a timeframe"),
    ],
)
def test_assets_sources_and_timeframes_that_are_none(
    storage: DuckDBDataStorage, asset: Any, source: str, timeframe: str, says: str
) -> None:
    with pytest.raises(InvalidBarsError, match=says):
        storage.store_ohlcv_data(asset, minute_bars(), source, timeframe)
    assert not storage.path.exists()


def test_an_option_must_say_which_contract_it_is(storage: DuckDBDataStorage) -> None:
    from lumibot.entities import Asset

    with pytest.raises(InvalidBarsError, match="needs an expiration, a strike and a right"):
        storage.store_ohlcv_data(Asset("SPY", "option"), minute_bars(), "test", "minute")


def test_implausible_prices_are_kept_and_reported(storage: DuckDBDataStorage) -> None:
    frame = minute_bars()
    frame.iloc[5, 1] = frame.iloc[5, 2] - 1
    storage.store_ohlcv_data("XYZ", frame, "test", "minute")
    report = storage.verify()
    assert report.sound
    assert [f.what for f in report.findings] == [
        "XYZ (stock), minute bars from test: 1 bars, the first of 2024-01-02 14:35:00 UTC"
    ]


def test_a_refused_range(storage: DuckDBDataStorage) -> None:
    with pytest.raises(ValueError, match="cannot end"):
        storage.record_coverage("XYZ", TimeRange(10, 5), "test", "minute")
