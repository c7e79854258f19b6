"""Filled rows of a series with columns other than prices and volume, against those that Lumibot fills."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from lumibot.entities import Asset, Data

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.windows.series_view import StoredView
from lumibot_duckdb.windows.windowed_data import WindowedData
from windows.stored_minutes import minutes

AAA = Asset("AAA")
ROWS = 600


def sparse_bars(otc: list[Any]) -> pd.DataFrame:
    """Return minutes with gaps, whose last column repeats some objects."""
    bars = minutes(5, days=3).iloc[:ROWS]
    bars["transactions"] = np.arange(len(bars))
    bars["otc"] = pd.Series((otc * ROWS)[:ROWS], index=bars.index, dtype=object)
    kept: pd.DataFrame = bars[np.random.default_rng(6).random(ROWS) < 0.3]
    return kept


@pytest.mark.parametrize("otc", [[None], ["a", None, None, "b"], [None, None, "c", None]])
def test_objects_are_carried_forward_as_lumibot_does(
    otc: list[Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = sparse_bars(otc)
    storage = DuckDBDataStorage(tmp_path / "bars.duckdb")
    storage.store_ohlcv_data("AAA", bars, "own", "minute")
    index = minutes(5, days=3).index[:ROWS]
    theirs = Data(AAA, bars.copy(), timestep="minute")
    theirs.repair_times_and_fill(index)

    repair = Data.repair_times_and_fill
    filled = []
    monkeypatch.setattr(Data, "repair_times_and_fill", lambda data, idx: (filled.append(data), repair(data, idx)))
    view = StoredView(storage, storage.pin("AAA", timeframe="minute", source="own"))
    ours = WindowedData(AAA, view, timestep="minute")
    ours.repair_times_and_fill(index)
    assert list(ours.datalines) == list(theirs.datalines)
    pd.testing.assert_frame_equal(ours.df, theirs.df, check_exact=True)
    for first in (1, 7, 100):
        part = ours._aligned.windows.frame(first, first + 5)
        pd.testing.assert_frame_equal(part, theirs.df.iloc[first : first + 5], check_exact=True)
        assert [repr(value) for value in part["otc"]] == [repr(v) for v in theirs.df["otc"].iloc[first : first + 5]]
    assert not filled, "no piece of it is filled by Lumibot's own Data, which takes milliseconds"
