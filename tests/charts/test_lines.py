"""Lines over time: what is drawn equals what is computed."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.charts import correlation_lines
from lumibot_duckdb.charts.candles import MOST_CANDLES
from lumibot_duckdb.charts.errors import ChartError
from lumibot_duckdb.charts.lines import LinePane, correlation_chart, line_chart


def closes(count: int, rows: int = 80) -> pd.DataFrame:
    """Return closes of some assets."""
    days = pd.bdate_range("2024-01-02", periods=rows, tz="America/New_York")
    changes = np.random.default_rng(0).normal(0, 0.01, (rows, count))
    return pd.DataFrame(100 * np.exp(changes.cumsum(axis=0)), days, [f"A{number}" for number in range(count)])


def test_a_line_for_each_pair(storage: DuckDBDataStorage) -> None:
    table = closes(3)
    for name in table:
        storage.store_ohlcv_data(str(name), table[[name]].set_axis(["close"], axis=1), "test", "day")
    rolling = storage.correlation([*table], window=20)
    figure = correlation_lines(rolling, title="Twenty days")
    assert [trace.name for trace in figure.data] == ["A0, A1", "A0, A2", "A1, A2"]
    returns = table.pct_change()
    for trace, (one, other) in zip(figure.data, combinations(table, 2), strict=True):
        expected = returns[one].rolling(20).corr(returns[other]).dropna()
        np.testing.assert_allclose(trace.y, expected, atol=1e-12)
        assert trace.x == tuple(expected.index.strftime("%Y-%m-%d"))
    assert (figure.layout.title.text, figure.layout.showlegend) == ("Twenty days", True)


def test_many_times_are_thinned_from_the_last_one() -> None:
    rows = 2 * MOST_CANDLES + 5
    times = pd.date_range("2024-01-02 09:30", periods=rows, freq="min", tz="America/New_York")
    frame = pd.DataFrame({"a<b": np.arange(rows, dtype=float)}, times)
    chart = line_chart("title", [LinePane(frame)])
    (trace,) = chart.plot["data"]
    assert len(trace["y"]) <= MOST_CANDLES
    assert trace["y"][-2:] == [rows - 4.0, rows - 1.0]
    assert trace["x"][-1] == times[-1].strftime("%Y-%m-%d<br>%H:%M")
    assert (trace["name"], chart.notes) == ("a&lt;b", ("One of 3 values is drawn.",))


def test_missing_values_and_panes() -> None:
    table = closes(2)
    table.iloc[3, 0] = np.nan
    chart = line_chart("title", [LinePane(table[["A0"]]), LinePane(table[["A1"]], "below", 100, {"nticks": 3})])
    first, second = chart.plot["data"]
    assert (first["y"][3], first["yaxis"], second["yaxis"]) == (None, "y", "y2")
    assert (chart.plot["layout"]["yaxis2"]["nticks"], chart.height > 500) == (3, True)
    assert chart.plot["layout"]["annotations"][0]["text"] == "below"


def test_no_two_lines_look_alike() -> None:
    names = [f"A{number}" for number in range(7)]
    rows = [(*pair, pd.Timestamp("2024-01-02", tz="UTC"), 0.5) for pair in combinations(names, 2)]
    columns = ["asset_symbol", "other_symbol", "timestamp", "correlation"]
    chart = correlation_chart(pd.DataFrame(rows, columns=columns), "title")
    looks = {(trace["line"]["color"], trace["line"]["dash"]) for trace in chart.plot["data"]}
    assert len(looks) == len(rows) == 21
    more = [(*pair, *rows[0][2:]) for pair in combinations([*names, "B"], 2)]
    with pytest.raises(ChartError, match="28 pairs are too many lines: choose 7 assets or fewer"):
        correlation_lines(pd.DataFrame(more, columns=columns))
    with pytest.raises(ChartError, match="nothing to draw"):
        correlation_lines(pd.DataFrame([], columns=columns))
    with pytest.raises(ChartError, match="correlations over windows are a frame as"):
        correlation_lines(closes(2).corr())
    naive = pd.DataFrame(rows, columns=columns).assign(timestamp=pd.Timestamp("2024-01-02"))
    with pytest.raises(ChartError, match="correlations over windows are a frame as"):
        correlation_lines(naive)
