"""Runs a strategy on a data source and keeps all results that must be equal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lumibot_duckdb.comparison.headless import UNATTENDED


@dataclass(frozen=True)
class BacktestResult:
    """Trades, the portfolio value series, what the strategy wrote down, and Lumibot's own record of frames it saw."""

    trades: pd.DataFrame
    values: pd.DataFrame
    seen: list[Any]
    inputs: pd.DataFrame
    observations: pd.DataFrame
    strategy: Any


# Columns of the trade log with random identifiers, or times of the computer's clock.
UNREPEATABLE = ("identifier", "order_identifier", "parent_identifier", "audit.timestamp")


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run(
    strategy_class: Any,
    source_class: Any,
    folder: Path,
    start: Any,
    end: Any,
    parameters: dict[str, Any],
    **settings: Any,
) -> BacktestResult:
    """Backtest from `start` to `end` in a new folder."""
    with working_in(folder):
        _, strategy = strategy_class.run_backtest(
            source_class,
            pd.Timestamp(start).to_pydatetime(),
            pd.Timestamp(end).to_pydatetime(),
            parameters=parameters,
            **{**UNATTENDED, **settings},
        )
        return BacktestResult(
            trades=_without_chance(strategy.broker._trade_event_log_df),
            values=strategy.stats[["portfolio_value", "cash"]].copy(),
            seen=getattr(strategy, "seen", []),  # strategies not written for this keep no notes
            inputs=_read(folder / "logs" / "market_inputs.csv"),
            observations=_read(folder / "logs" / "market_input_observations.csv"),
            strategy=strategy,
        )


def _without_chance(trades: pd.DataFrame) -> pd.DataFrame:
    return trades.drop(columns=[name for name in UNREPEATABLE if name in trades.columns]).reset_index(drop=True)


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str) if path.exists() else pd.DataFrame()


def assert_same_result(expected: BacktestResult, actual: BacktestResult, *, fills: int = 0) -> None:
    """Compare two backtests bit for bit; at least `fills` fills are required for the comparison to be meaningful."""
    filled = 0 if expected.trades.empty else int((expected.trades["status"] == "fill").sum())
    assert filled >= fills, f"{fills} fills expected, there were {filled}"
    assert expected.seen == actual.seen or _first_difference(expected.seen, actual.seen) is None
    pd.testing.assert_frame_equal(expected.trades, actual.trades, check_exact=True)
    pd.testing.assert_frame_equal(expected.values, actual.values, check_exact=True)
    pd.testing.assert_frame_equal(expected.inputs, actual.inputs, check_exact=True)
    pd.testing.assert_frame_equal(expected.observations, actual.observations, check_exact=True)


def _first_difference(expected: list[Any], actual: list[Any]) -> str | None:
    assert len(expected) == len(actual), f"{len(expected)} notes expected, got {len(actual)}"
    for number, (left, right) in enumerate(zip(expected, actual, strict=True)):
        # NaN is not equal to itself, its text is.
        assert repr(left) == repr(right), f"note {number}: {left!r} expected, got {right!r}"
    return None
