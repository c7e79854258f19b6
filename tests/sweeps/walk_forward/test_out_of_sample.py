"""The windows together: equity, returns and parameters, against plain loops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.results.records import DAILY_SCHEMA, EQUITY_SCHEMA
from lumibot_duckdb.sweeps.search.dimensions import Interval, Steps
from lumibot_duckdb.sweeps.search.errors import SearchError
from lumibot_duckdb.sweeps.walk_forward.out_of_sample import (
    joined_daily_returns,
    joined_equity,
    parameter_stability,
)

START = datetime(2024, 1, 1, tzinfo=timezone.utc)


def equity(first_day: int, values: Sequence[float | None], cash: Sequence[float] | None = None) -> pa.Table:
    """Return a table with a value each day."""
    times = [START + timedelta(days=first_day + day) for day in range(len(values))]
    return pa.table([times, values, cash or [0.0] * len(values)], schema=EQUITY_SCHEMA)


def rows(table: pa.Table) -> dict[int, float]:
    """Return the value of each day."""
    assert table.schema == EQUITY_SCHEMA
    days = [(time - START).days for time in table.column("time").to_pylist()]
    assert days == sorted(set(days))
    return dict(zip(days, table.column("value").to_pylist(), strict=True))


def test_each_window_begins_with_what_the_last_one_ended_with() -> None:
    joined = joined_equity([equity(0, [100, 110], [100, 50]), equity(2, [200, 220, 180], [200, 20, 180])])
    assert rows(joined) == pytest.approx({0: 100, 1: 110, 2: 110, 3: 121, 4: 99})
    assert joined.column("cash").to_pylist() == pytest.approx([100, 50, 110, 11, 99])


def test_a_window_without_a_backtest_changes_nothing() -> None:
    empty = EQUITY_SCHEMA.empty_table()
    joined = joined_equity([None, equity(0, [100, 50]), None, empty, equity(9, [10, 30]), None])
    assert rows(joined) == pytest.approx({0: 100, 1: 50, 9: 50, 10: 150})
    assert joined_equity([None, empty]).num_rows == 0
    assert joined_equity([]).schema == EQUITY_SCHEMA


def test_the_capital_at_the_start() -> None:
    assert rows(joined_equity([equity(0, [100, 110])], capital=1_000)) == pytest.approx({0: 1000, 1: 1100})


def test_the_later_window_counts_where_two_overlap() -> None:
    """Backtests of `pandas_data` include the bar at their end, which the next window begins with."""
    joined = joined_equity([equity(0, [100, 120, 600]), equity(2, [100, 110])])
    assert rows(joined) == pytest.approx({0: 100, 1: 120, 2: 120, 3: 132})


def test_values_that_are_missing_are_kept_and_not_counted() -> None:
    joined = joined_equity([equity(0, [None, 100, 110, math.nan]), equity(4, [100, 200])])
    values = joined.column("value").to_pylist()
    assert values[0] is None
    assert math.isnan(values[3])
    assert values[4:] == pytest.approx([110, 220])


def test_after_a_total_loss_nothing_follows() -> None:
    for end in (0.0, -5.0):
        joined = joined_equity([equity(0, [100, end]), equity(2, [100, 200])])
        assert rows(joined) == {0: 100, 1: end}


def test_what_cannot_be_joined() -> None:
    with pytest.raises(SearchError, match="window 2 begins with a value of 0"):
        joined_equity([equity(0, [100]), equity(2, [0, 5])])
    with pytest.raises(SearchError, match=r"window 1 begins at .* not in order"):
        joined_equity([equity(5, [100]), equity(2, [100])])


@examples(150)
@given(
    st.lists(st.none() | st.lists(st.integers(1, 10**6).map(float), min_size=1, max_size=6), max_size=6),
    st.none() | st.floats(1, 1e6),
)
def test_growth_multiplies(windows: list[list[float] | None], capital: float | None) -> None:
    parts, expected, now, day = [], {}, capital, 0
    for values in windows:
        parts.append(None if values is None else equity(day, values))
        if values is not None:
            now = values[0] if now is None else now
            expected |= {day + offset: now * value / values[0] for offset, value in enumerate(values)}
            now *= values[-1] / values[0]
        day += 7
    assert rows(joined_equity(parts, capital)) == pytest.approx(expected, rel=1e-9)


def returns(first_day: int, values: Sequence[float]) -> pa.Table:
    days = [date(2024, 1, 1) + timedelta(days=first_day + day) for day in range(len(values))]
    return pa.table([days, values, [None] * len(values)], schema=DAILY_SCHEMA)


def test_daily_returns_follow_one_another() -> None:
    joined = joined_daily_returns([returns(0, [0.0, 0.1, 0.9]), None, returns(2, [0.0, -0.1])])
    assert joined.schema == DAILY_SCHEMA
    assert [(row["day"].day, row["value"]) for row in joined.to_pylist()] == [(1, 0.0), (2, 0.1), (3, 0.0), (4, -0.1)]
    assert joined_daily_returns([]).schema == DAILY_SCHEMA
    with pytest.raises(SearchError, match="not in order"):
        joined_daily_returns([returns(3, [0.1]), returns(3, [0.1])])


def test_stability() -> None:
    parameters = {"fast": Steps(10, 50, 10), "stop": Interval(0.0, 2.0), "average": ("sma", "ema"), "fixed": (7,)}
    chosen: list[dict[str, Any] | None] = [
        {"fast": 10, "stop": 0.5, "average": "sma", "fixed": 7},
        None,
        {"fast": 30, "stop": 1.5, "average": "ema", "fixed": 7},
        {"fast": 30, "stop": 1.0, "average": "sma", "fixed": 7},
    ]
    fast, stop, average, fixed = parameter_stability(chosen, parameters)
    assert (fast.name, fast.counts, fast.changes) == ("fast", ((30, 2), (10, 1)), 1)
    assert (fast.share, fast.low, fast.high, fast.spread) == (2 / 3, 10, 30, 0.5)
    assert (stop.share, stop.changes, stop.spread) == (1 / 3, 2, 0.5)
    assert (average.counts, average.changes, average.spread, average.low) == ((("sma", 2), ("ema", 1)), 2, None, None)
    assert (fixed.share, fixed.changes, fixed.spread, fixed.low) == (1.0, 0, None, 7)


def test_no_window_with_a_choice() -> None:
    assert parameter_stability([None, None], {"fast": (1, 2)}) == []


@examples(150)
@given(st.lists(st.sampled_from([1, 1.0, True, None, "1", 2]), min_size=1, max_size=12))
def test_stability_against_a_plain_loop(values: list[Any]) -> None:
    (found,) = parameter_stability([{"x": value} for value in values], {"x": (1, 1.0, True, None, "1", 2)})
    written = [repr(value) for value in values]
    assert {repr(value): windows for value, windows in found.counts} == {each: written.count(each) for each in written}
    assert found.share == max(written.count(each) for each in written) / len(written)
    assert found.changes == sum(written[at] != written[at - 1] for at in range(1, len(written)))
    are_numbers = all(each in ("1", "1.0", "2") for each in written)
    assert (found.low, found.high) == ((min(values), max(values)) if are_numbers else (None, None))
