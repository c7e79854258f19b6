"""The first and last bar of every New York day, however far apart and however long ago the bars are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.storage.bars.sessions import session_bounds


@examples(50)
@given(
    first=st.integers(-(2**33), 2**33),
    steps=st.lists(st.sampled_from([60, 300, 3_600, 7_200, 40_000, 86_400, 10**6, 10**8]), max_size=300),
)
def test_bounds_are_those_of_the_calendar_days(first: int, steps: list[int]) -> None:
    times = np.cumsum([first, *steps])
    days: dict[object, list[int]] = {}
    for time, local in zip(
        times, pd.DatetimeIndex(times.view("M8[s]"), tz="UTC").tz_convert("America/New_York"), strict=True
    ):
        days.setdefault((local.year, local.month, local.day), []).append(int(time))
    assert session_bounds(times).tolist() == [[day[0], day[-1]] for day in days.values()]


def test_no_bars_have_no_bounds() -> None:
    assert session_bounds(np.empty(0, np.int64)).shape == (0, 2)
