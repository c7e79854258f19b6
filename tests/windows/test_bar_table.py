"""Frames cut from a table of bars equal those of the public constructor, and share no memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb.windows import bar_table
from lumibot_duckdb.windows.bar_table import BarTable, slice_index

INDEX = pd.date_range("2024-03-08 09:30", periods=50, freq="h", tz="America/New_York", name="datetime")
COLUMNS = {
    "open": np.linspace(1, 2, 50),
    "volume": np.arange(50),
    "close": np.linspace(2, 3, 50),
    "flag": np.arange(50) % 2 == 0,
    "text": np.array(["a", None] * 25, dtype=object),
    "small": np.linspace(0, 1, 50, dtype="float32"),
}
SETS = [["open", "close"], ["open", "volume", "close"], list(COLUMNS), ["small", "flag", "volume"]]


@pytest.fixture(params=[True, False], ids=["from blocks", "public constructor"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(bar_table, "_FROM_BLOCKS", request.param)
    return request.param


def test_the_fast_way_is_in_use_with_the_pandas_that_is_installed() -> None:
    assert bar_table._FROM_BLOCKS


@pytest.mark.parametrize("names", SETS)
def test_a_cut_is_a_slice(names: list[str], way: bool) -> None:
    columns = {name: COLUMNS[name] for name in names}
    expected = pd.DataFrame(columns, index=INDEX).iloc[7:19]
    pd.testing.assert_frame_equal(BarTable(columns, INDEX).frame(7, 19), expected, check_freq=True)


@pytest.mark.parametrize("names", SETS)
def test_patches_replace_bars_in_the_cut_only(names: list[str], way: bool) -> None:
    columns = {name: COLUMNS[name] for name in names}
    table = BarTable(columns, INDEX)
    patch = {name: columns[name][40] for name in names[:1]}
    frame = table.patched(7, 19, INDEX[20:32], {0: patch, 11: patch})
    expected = pd.DataFrame({name: values[7:19] for name, values in columns.items()}, index=INDEX[20:32])
    expected.loc[expected.index[[0, 11]], names[0]] = columns[names[0]][40]
    pd.testing.assert_frame_equal(frame, expected)
    pd.testing.assert_frame_equal(table.frame(0, 50), pd.DataFrame(columns, index=INDEX))


def test_writing_into_a_frame_leaves_the_table_alone(way: bool) -> None:
    table = BarTable({name: COLUMNS[name] for name in ("open", "volume")}, INDEX)
    frame = table.frame(0, 10)
    frame.iloc[0, 0] = 99.0
    frame["open"].to_numpy()[1] = 98.0
    frame["new"] = 1
    assert table.frame(0, 10)["open"].iloc[:2].tolist() == COLUMNS["open"][:2].tolist()
    assert list(table.frame(0, 10).columns) == ["open", "volume"]


def test_times_with_a_zone_keep_their_dtype() -> None:
    frame = pd.DataFrame({"close": COLUMNS["close"], "traded": INDEX}, index=INDEX)
    pd.testing.assert_frame_equal(BarTable.of_frame(frame).frame(3, 9), frame.iloc[3:9])


def test_a_sliced_index_keeps_frequency_name_and_zone(way: bool) -> None:
    cut = slice_index(INDEX, 5, 20)
    pd.testing.assert_index_equal(cut, INDEX[5:20], exact=True)
    assert cut.freq == INDEX.freq
