"""Indicators that are computed once for all rows: the bits are those of the rows up to each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pandas_ta_classic as ta
import pytest

from lumibot_duckdb.lumibot_contract.causal_indicators import CAUSAL, is_causal
from lumibot_duckdb.windows.computed_indicator import ComputedIndicator
from lumibot_duckdb.windows.window import MemoryBudget

ROWS = 500


def bars(seed: int = 0) -> pd.DataFrame:
    """Return minutes with halts, jumps, flat bars, and bars without volume."""
    rng = np.random.default_rng(seed)
    close = np.round(np.exp(np.cumsum(rng.normal(0, 0.003, ROWS))) * 100, 2)
    close[200:260] = close[200]
    close[300:] *= 0.01
    opened = np.round(close * (1 + rng.normal(0, 0.001, ROWS)), 4)
    opened[200:260] = close[200:260]
    spread = np.where(np.arange(ROWS) % 7 == 0, 0.0, np.round(rng.uniform(0, 0.3, ROWS), 2))
    table = {
        "open": opened,
        "high": np.maximum(opened, close) + spread,
        "low": np.minimum(opened, close) - spread / 100,
    }
    index = pd.date_range("2024-01-02 09:30", periods=ROWS, freq="min", tz="America/New_York")
    volume = np.where(rng.uniform(size=ROWS) < 0.2, 0.0, rng.integers(1, 1000, ROWS))
    return pd.DataFrame({**table, "close": close, "volume": volume}, index=index)


def computed(name: str, frame: pd.DataFrame, **settings: Any) -> Any:
    return getattr(ta, name)(**{column: frame[column] for column in frame.columns}, **settings)


def last_bits(result: Any) -> Any:
    """Return the last row of a result, to the bit, or what there is instead."""
    if result is None:
        return None
    row = result.iloc[-1]
    return (list(row.index), row.to_numpy().tobytes()) if isinstance(row, pd.Series) else float(row).hex()


@pytest.mark.parametrize("name", sorted(CAUSAL))
def test_later_rows_change_no_bit(name: str) -> None:
    frame = bars()
    whole = computed(name, frame)
    compared = 0
    for rows in (130, 203, 259, 262, 300, 302, 451, ROWS):
        part = computed(name, frame.iloc[:rows].copy())
        if part is not None:  # too few rows: Lumibot decides
            assert last_bits(part) == last_bits(whole.iloc[:rows])
            compared += 1
    assert compared >= 7


@pytest.mark.parametrize("settings", [{"length": 5}, {"length": 9.0, "drift": 2}])
@pytest.mark.parametrize("name", ["rsi", "ema", "atr", "bbands", "roc"])
def test_parameters_make_no_difference(name: str, settings: dict[str, Any]) -> None:
    assert is_causal(name, settings)
    frame = bars(1)
    whole = computed(name, frame, **settings)
    for rows in (99, 262, 302):
        assert last_bits(computed(name, frame.iloc[:rows].copy(), **settings)) == last_bits(whole.iloc[:rows])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("rsi", {"talib": True}),
        ("rsi", {"fill_method": "bfill"}),
        ("rsi", {"fillna": 0}),
        ("ema", {"offset": 2}),
        ("rsi", {"length": True}),
        ("rsi", {"length": None}),
        ("sma", {"length": 3}),
        ("ichimoku", {}),
        ("my_own", {}),
    ],
)
def test_lumibot_computes_everything_else(name: str, parameters: dict[str, Any]) -> None:
    assert not is_causal(name, parameters)


def test_values_are_rows_of_the_result() -> None:
    frame, budget = bars(), MemoryBudget(10_000_000)
    strength = ComputedIndicator(lambda rows: computed("rsi", rows), lambda: frame, budget)
    bands = ComputedIndicator(lambda rows: computed("bbands", rows), lambda: frame, budget)
    expected = computed("rsi", frame), computed("bbands", frame)
    for row in (40, 333):
        assert strength.value(row, frame.index[row]) == expected[0].iloc[row]
        assert type(strength.value(row, frame.index[row])) is np.float64
        pd.testing.assert_series_equal(bands.value(row, frame.index[row]), expected[1].iloc[row], check_exact=True)
    assert strength.value(3, frame.index[3]) is None  # Lumibot would have no result of four rows
    assert budget.bytes_held() == ROWS * 8 * (1 + expected[1].shape[1])


def test_values_are_computed_once_and_again_after_they_were_dropped() -> None:
    frame, budget, calls = bars(), MemoryBudget(10_000_000), []

    def compute(rows: pd.DataFrame) -> Any:
        calls.append(len(rows))
        return computed("rsi", rows)

    indicator = ComputedIndicator(compute, lambda: frame, budget)
    before = [indicator.value(row, frame.index[row]) for row in range(50, 100)]
    assert calls == [ROWS]
    indicator.drop()
    assert budget.bytes_held() == 0
    assert [indicator.value(row, frame.index[row]) for row in range(50, 100)] == before
    assert calls == [ROWS, ROWS]


@pytest.mark.parametrize(
    "result",
    [
        None,
        3.0,
        lambda frame: frame["no such column"],
        lambda frame: frame["close"].head(3),
        lambda frame: frame["close"].astype("int64"),
    ],
)
def test_what_is_no_number_for_each_row_is_left_to_lumibot(result: Any) -> None:
    frame = bars()
    indicator = ComputedIndicator(
        lambda rows: result(rows) if callable(result) else result, lambda: frame, MemoryBudget(10_000_000)
    )
    assert indicator.value(100, frame.index[100]) is None
