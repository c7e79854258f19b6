"""Runs a strategy on a data source and keeps all results that must be equal."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from lumibot_duckdb.comparison.headless import UNATTENDED


@dataclass(frozen=True)
class BacktestResult:
    """Trades, the portfolio value series, what the strategy wrote down, and the frames it got."""

    trades: pd.DataFrame
    values: pd.DataFrame
    seen: list[Any]
    inputs: list[tuple[str, ...]]
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
    with working_in(folder), _inputs_kept() as inputs:
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
            inputs=inputs,
            strategy=strategy,
        )


def _without_chance(trades: pd.DataFrame) -> pd.DataFrame:
    return trades.drop(columns=[name for name in UNREPEATABLE if name in trades.columns]).reset_index(drop=True)


@contextmanager
def _inputs_kept() -> Iterator[list[tuple[str, ...]]]:
    """Keep a digest of each frame of history or of an indicator that Lumibot gives to a strategy.

    Lumibot records these frames row by row, which takes a third of a backtest, and stops after a number of frames.
    Older releases do not record them.
    """
    kept: list[tuple[str, ...]] = []

    def keep(*, source: Any, frame: Any, **context: Any) -> None:
        kept.append((*(f"{name}: {value!r}" for name, value in context.items()), digest_of(frame)))

    try:
        from lumibot.backtesting import market_input_evidence
    except ImportError:
        yield kept
    else:
        with mock.patch.object(market_input_evidence, "record_market_input", keep):
            yield kept


def digest_of(frame: Any) -> str:
    """Return a digest of all bits of a frame, with its names and types, or what there is instead of a frame."""
    if not isinstance(frame, pd.DataFrame):
        return repr(frame)
    types = [(name, str(dtype)) for name, dtype in frame.dtypes.items()]
    digest = hashlib.sha256(repr((types, str(frame.index.dtype), tuple(frame.index.names))).encode())
    for values in (frame.index, *(column for _, column in frame.items())):
        digest.update(_bits(values))
    return f"{len(frame)} rows: {digest.hexdigest()}"


def _bits(values: Any) -> bytes:
    """Return the bits of a column or an index. All NaN are the same; the digest has the types."""
    if isinstance(values, pd.DatetimeIndex):
        return values.asi8.tobytes()
    array = values.to_numpy()
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.nan, array)
    return array.tobytes() if array.dtype.kind in "biuf" else repr(array.tolist()).encode()


def assert_same_result(expected: BacktestResult, actual: BacktestResult, *, fills: int = 0) -> None:
    """Compare two backtests bit for bit; at least `fills` fills are required for the comparison to be meaningful."""
    filled = 0 if expected.trades.empty else int((expected.trades["status"] == "fill").sum())
    assert filled >= fills, f"{fills} fills expected, there were {filled}"
    assert expected.seen == actual.seen or _first_difference(expected.seen, actual.seen) is None
    pd.testing.assert_frame_equal(expected.trades, actual.trades, check_exact=True)
    pd.testing.assert_frame_equal(expected.values, actual.values, check_exact=True)
    assert expected.inputs == actual.inputs or _first_difference(expected.inputs, actual.inputs) is None


def _first_difference(expected: list[Any], actual: list[Any]) -> str | None:
    assert len(expected) == len(actual), f"{len(expected)} notes expected, got {len(actual)}"
    for number, (left, right) in enumerate(zip(expected, actual, strict=True)):
        # NaN is not equal to itself, its text is.
        assert repr(left) == repr(right), f"note {number}: {left!r} expected, got {right!r}"
    return None
