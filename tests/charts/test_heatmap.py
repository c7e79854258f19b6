"""The heat map of correlations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb.charts import correlation_heatmap
from lumibot_duckdb.charts.errors import ChartError
from lumibot_duckdb.charts.heatmap import heat_map
from lumibot_duckdb.charts.page import chart_page

NAMES = ["SPY", "BTC/USD", "A<b>"]
MATRIX = pd.DataFrame([[1, 0.5, np.nan], [0.5, 1, -0.25], [np.nan, -0.25, 1]], NAMES, NAMES)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_cells_are_the_values(theme: str) -> None:
    (cells,) = correlation_heatmap(MATRIX, title="60 days", theme=theme).data
    np.testing.assert_array_equal(np.array(cells.z, float), MATRIX.to_numpy())
    assert (cells.zmin, cells.zmax, cells.texttemplate) == (-1, 1, "%{z:.2f}")
    (low, middle, high) = cells.colorscale
    assert [low[0], middle[0], high[0]] == [0, 0.5, 1]
    assert all(color.startswith("#") for _, color in cells.colorscale)
    assert cells.x == cells.y == ("SPY", "BTC/USD", "A&lt;b&gt;")


def test_many_assets_have_no_numbers() -> None:
    names = [f"S{number}" for number in range(30)]
    figure = correlation_heatmap(pd.DataFrame(np.eye(30), names, names))
    assert figure.data[0].texttemplate == ""
    assert figure.layout.title.text == "Correlation"
    with pytest.raises(ValueError, match="'blue' is not a theme"):
        correlation_heatmap(MATRIX, theme="blue")  # type: ignore[arg-type]


def test_many_assets_have_lists_of_pairs() -> None:
    rng = np.random.default_rng(0)
    names = [f"<{number}>" for number in range(20)]
    matrix = pd.DataFrame(rng.normal(size=(30, 20)), columns=names).corr()
    matrix.iloc[3, :3] = matrix.iloc[:3, 3] = np.nan
    highest, lowest = heat_map(matrix, "title", order="similar").tables
    pairs = {frozenset(pair): value for pair, value in matrix.stack().items() if pair[0] != pair[1]}
    ranked = sorted(pairs, key=lambda pair: pairs[pair])
    assert [frozenset(row[:2]) for row in highest.rows] == ranked[::-1][:10]
    assert [frozenset(row[:2]) for row in lowest.rows] == ranked[:10]
    assert [row[2] for row in lowest.rows] == [f"{pairs[pair]:.3f}" for pair in ranked[:10]]
    assert heat_map(MATRIX, "title").tables == ()
    page = chart_page(heat_map(matrix, "title"))
    assert (page.count("<h2>"), page.count('<td class="number">')) == (2, 20)
    assert "<td>&lt;3&gt;</td>" in page


def test_a_drawing_may_round_its_values() -> None:
    chart = heat_map(MATRIX * 0.98765432, "title", ("note",), decimals=3)
    assert chart.plot["data"][0]["z"][0] == [0.988, 0.494, None]
    assert (chart.title, chart.notes) == ("title", ("note",))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (pd.DataFrame(), "the same names as index and columns, and at least one"),
        (MATRIX.iloc[:2], "the same names"),
        (MATRIX.rename(index={"SPY": "QQQ"}), "the same names"),
        (MATRIX * 2, "between -1 and 1, not 2"),
        (MATRIX.astype(object).replace(1.0, "one"), "not numbers"),
    ],
)
def test_mistakes_are_named(matrix: pd.DataFrame, message: str) -> None:
    with pytest.raises(ChartError, match=message):
        correlation_heatmap(matrix)
