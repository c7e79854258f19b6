"""Arrays of columns out of pandas' blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb.lumibot_contract import pandas_blocks

FRAME = pd.DataFrame(
    {
        "open": [1.5, -0.0, np.nan],
        "volume": [1, 2**62, -3],
        "close": [2.5, 3.5, np.inf],
        "nullable": pd.array([1.0, None, 2.0], "Float64"),
        "time": pd.date_range("2024-03-08", periods=3, tz="America/New_York"),
        "name": ["a", "b", None],
    }
)


@pytest.mark.parametrize("has_arrays", [True, False])
@pytest.mark.parametrize("part", [slice(None), slice(1, 3), slice(0, 0)])
def test_values_are_those_of_the_column(has_arrays: bool, part: slice, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pandas_blocks._HAS_COLUMN_ARRAYS
    monkeypatch.setattr(pandas_blocks, "_HAS_COLUMN_ARRAYS", has_arrays)
    frame = FRAME.iloc[part]
    for place, name in enumerate(frame):
        values = pandas_blocks.column_values(frame, place)
        assert values.dtype == frame[name].dtype
        pd.testing.assert_series_equal(pd.Series(values, frame.index, name=name), frame[name], check_exact=True)


def test_columns_of_the_same_name_are_told_apart_by_their_place() -> None:
    frame = pd.DataFrame([[1.0, 2.0]], columns=["close", "close"])
    assert [pandas_blocks.column_values(frame, place)[0] for place in (0, 1)] == [1.0, 2.0]


def test_columns_of_one_dtype_are_the_rows_of_one_array() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    for same in (frame, frame[["b", "a"]], frame.iloc[1:], frame.iloc[:, ::-1], frame.iloc[:0]):
        values = pandas_blocks.columns_in_one_array(same)
        assert values.T.tolist() == same.to_numpy().tolist()
    for other in (
        FRAME,
        frame.astype({"a": int}),
        frame.astype("Float64"),
        frame[[]],
        pd.concat([frame, frame], axis=1),
    ):
        values = pandas_blocks.columns_in_one_array(other)
        assert values is None or values.T.tolist() == other.to_numpy().tolist()
    assert pandas_blocks.columns_in_one_array(object()) is None
