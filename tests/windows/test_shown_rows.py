"""The count of rows that were shown, against a set of row numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lumibot_duckdb.windows.shown_rows import ShownRows
from lumibot_duckdb.windows.window import WindowStatistics

ranges = st.lists(st.tuples(st.integers(0, 40), st.integers(-2, 12)), max_size=30)


@given(ranges)
def test_each_row_counts_once(asked: list[tuple[int, int]]) -> None:
    statistics = WindowStatistics()
    shown = ShownRows(statistics)
    rows: set[int] = set()
    for start, length in asked:
        shown.add(start, start + length)
        rows.update(range(start, start + length))
        assert statistics.rows_shown == len(rows)
