"""The order in which similar assets are next to each other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.charts import correlation_heatmap
from lumibot_duckdb.charts.errors import ChartError
from lumibot_duckdb.charts.similarity import similar_next_to_each_other


def blocks(groups: list[int], within: float, across: float) -> np.ndarray:  # type: ignore[type-arg]
    """Return correlations of assets that belong to groups."""
    same = np.equal.outer(groups, groups)
    return np.where(np.eye(len(groups), dtype=bool), 1.0, np.where(same, within, across))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=25), st.floats(-0.4, 0.3), st.floats(0.5, 0.95))
@examples(20)
def test_groups_stay_together(groups: list[int], across: float, within: float) -> None:
    order = similar_next_to_each_other(blocks(groups, within, across))
    assert sorted(order) == list(range(len(groups)))
    seen = [groups[place] for place in order]
    changes = sum(one != other for one, other in pairwise(seen))
    assert changes == len(set(groups)) - 1


def test_missing_correlations_count_as_none_at_all() -> None:
    matrix = blocks([0, 1, 0, 1], 0.9, np.nan)
    order = similar_next_to_each_other(matrix)
    assert [place % 2 for place in order] in ([0, 0, 1, 1], [1, 1, 0, 0])
    assert sorted(similar_next_to_each_other(np.full((5, 5), np.nan))) == [0, 1, 2, 3, 4]


def test_a_heat_map_in_this_order() -> None:
    names = ["A", "B", "C", "D"]
    matrix = pd.DataFrame(blocks([0, 1, 0, 1], 0.8, -0.25), names, names)
    (cells,) = correlation_heatmap(matrix, order="similar").data
    assert sorted([set(cells.x[:2]), set(cells.x[2:])], key=min) == [{"A", "C"}, {"B", "D"}]
    drawn = pd.DataFrame([list(row) for row in cells.z], list(cells.y), list(cells.x))
    pd.testing.assert_frame_equal(drawn.loc[names, names], matrix)
    with pytest.raises(ChartError, match="'size' is not an order: write 'given' or 'similar'"):
        correlation_heatmap(matrix, order="size")  # type: ignore[arg-type]
