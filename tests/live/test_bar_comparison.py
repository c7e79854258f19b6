"""Comparing bars, against a plain model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.live.bar_comparison import EXAMPLES, DifferentValue, compared_bars, joined_bars

Bars = dict[int, tuple[float, float]]
VALUES = st.sampled_from([1.0, 2.0, float("nan")])
BARS = st.dictionaries(st.integers(0, 12).map(lambda minute: minute * 60), st.tuples(VALUES, VALUES))


def frame_of(bars: Bars, columns: tuple[str, ...] = ("close", "volume")) -> pd.DataFrame:
    index = pd.to_datetime(sorted(bars), unit="s", utc=True)
    values = np.array([bars[start] for start in sorted(bars)], dtype=float).reshape(-1, 2)
    return pd.DataFrame(values, index=index, columns=list(columns))


@examples(100)
@given(BARS, BARS)
def test_the_comparison_equals_a_plain_one(stored: Bars, returned: Bars) -> None:
    found = compared_bars(frame_of(stored), frame_of(returned))
    common = sorted(stored.keys() & returned.keys())
    differing = [start for start in common if repr(stored[start]) != repr(returned[start])]
    assert (found.compared, found.different) == (len(common), len(differing))
    assert found.missing == tuple(sorted(returned.keys() - stored.keys()))
    assert found.extra == tuple(sorted(stored.keys() - returned.keys()))
    assert found.equal == (not differing and stored.keys() == returned.keys())
    assert list(dict.fromkeys(each.start for each in found.values)) == differing[:EXAMPLES]
    assert not found.lacking


def test_the_first_different_values_are_kept() -> None:
    stored, returned = frame_of({0: (1.0, 2.0), 60: (1.0, 2.0)}), frame_of({0: (1.0, 3.0), 60: (1.5, 2.0)})
    assert compared_bars(stored, returned).values == (
        DifferentValue(0, "volume", 2.0, 3.0),
        DifferentValue(60, "close", 1.0, 1.5),
    )


@pytest.mark.parametrize(("value", "lacking"), [(3.0, ("vwap",)), (float("nan"), ())])
def test_columns_that_only_the_provider_has_are_named(value: float, lacking: tuple[str, ...]) -> None:
    stored = frame_of({0: (1.0, 2.0)})
    found = compared_bars(stored, stored.assign(vwap=value))
    assert (found.equal, found.lacking) == (True, lacking)


def test_whole_numbers_equal_floating_point_numbers() -> None:
    stored = frame_of({0: (1.0, 2.0)})
    assert compared_bars(stored.astype("Int64"), stored).equal


def test_nothing_is_compared_with_nothing() -> None:
    empty = joined_bars([])
    assert compared_bars(empty, empty).compared == 0
    assert compared_bars(frame_of({60: (1.0, 1.0)}), empty).extra == (60,)
    assert compared_bars(empty, frame_of({60: (1.0, 1.0)})).missing == (60,)
