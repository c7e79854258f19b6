"""Joins against what pandas makes of the same columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.analytics.cross_asset.joins import JOINS, joined

TIMES = st.lists(st.integers(0, 30), max_size=20, unique=True).map(sorted)


@pytest.mark.parametrize("join", JOINS)
@given(calendars=st.lists(TIMES, min_size=1, max_size=4), alike=st.booleans())
@examples(150)
def test_joins_are_those_of_pandas(join: str, calendars: list[list[int]], alike: bool) -> None:
    if alike:
        calendars = [calendars[0]] * len(calendars)
    columns = [
        pd.Series(np.arange(len(times)) + 100.0 * place, index=pd.Index(times, dtype="int64"))
        for place, times in enumerate(calendars)
    ]
    times, rows = joined([(column.index.to_numpy(), column.to_numpy()) for column in columns], join)
    if join == "asof":
        expected = pd.concat([column.reindex(columns[0].index, method="ffill") for column in columns], axis=1)
    else:
        expected = pd.concat(columns, axis=1, join=join).sort_index()
    assert times.tolist() == expected.index.tolist()
    np.testing.assert_array_equal(rows, expected.to_numpy())
