"""Results of a small sweep and of a recorded backtest, for the tests of commands and the pages that show these."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa

from lumibot_duckdb.results import ResultsDatabase, SweepRecord, TrialRecord
from lumibot_duckdb.results.records import DAILY_SCHEMA, EQUITY_SCHEMA, TRADES_SCHEMA

STARTED = datetime(2024, 6, 3, 14, 0, tzinfo=timezone.utc)
VERSIONS = {"python": "3.11.7", "lumibot": "4.6.30"}
SHARPES = {(5, 20): 0.41, (5, 50): 0.87, (10, 20): 0.22, (10, 50): 1.13, (20, 50): 0.94}
"""The Sharpe ratio of each pair of lengths."""
ERROR = "ZeroDivisionError: division by zero"


def fill(path: Path) -> ResultsDatabase:
    """Store a sweep of six trials, one of which failed, and a recorded backtest."""
    results = ResultsDatabase(path)
    settings = {"objective": "sharpe", "direction": "maximize", "search": "grid"}
    space = {"fast": [5, 10, 20], "slow": [20, 50]}
    results.begin_sweep(
        SweepRecord("crossover", "Crossover", "my_strategy.py", space, settings, STARTED, STARTED, None, VERSIONS)
    )
    trials = [_trial({"fast": fast, "slow": slow, "symbol": "SPY"}, sharpe) for (fast, slow), sharpe in SHARPES.items()]
    trace = f'Traceback (most recent call last):\n  File "my_strategy.py", line 14, in on_trading_iteration\n{ERROR}\n'
    failed = TrialRecord(
        {"fast": 20, "slow": 20, "symbol": "SPY"}, "failed", STARTED, 0.21, error=ERROR, traceback=trace
    )
    results.add_trials("crossover", list(enumerate([*trials, failed], 1)))
    results.finish_sweep("crossover")
    run = SweepRecord("first-try", "Crossover", "my_strategy.py", {}, {}, STARTED + timedelta(hours=1), None, None)
    results.add_run(run, _trial({"fast": 8, "slow": 21, "symbol": "SPY"}, 0.64))
    return results


def _trial(parameters: dict[str, Any], sharpe: float) -> TrialRecord:
    days = [(STARTED + timedelta(days=day)).date() for day in range(-40, 0)]
    times = [STARTED + timedelta(days=day) for day in range(-40, 0)]
    changes = [sharpe / 1_000 * (-1 if day % 3 else 3) for day in range(40)]
    values = [100_000.0]
    for change in changes[1:]:
        values.append(values[-1] * (1 + change))
    fills = [
        {"time": times[5], "event": "fill", "asset": "SPY", "side": "buy", "quantity": 100.0, "price": 509.25},
        {"time": times[30], "event": "fill", "asset": "SPY", "side": "sell", "quantity": 100.0, "price": 527.5},
    ]
    return TrialRecord(
        parameters,
        "complete",
        STARTED,
        0.83,
        cpu_seconds=0.79,
        peak_memory=214_000_000,
        own_memory=28_400_000,
        statistics={
            "total_return": values[-1] / 100_000 - 1,
            "cagr": sharpe / 5,
            "volatility": 0.18,
            "sharpe": sharpe,
            "max_drawdown": -0.1 / (1 + sharpe),
            "closed_trades": 12.0,
            "fees": 24.0,
            "end_value": values[-1],
        },
        objective=sharpe,
        versions=VERSIONS,
        equity=pa.table([times, values, [1_000.0] * 40], schema=EQUITY_SCHEMA),
        trades=pa.Table.from_pylist([{**fill, "type": "market", "fees": 2.0} for fill in fills], TRADES_SCHEMA),
        daily_returns=pa.table([days, [0.0, *changes[1:]], [None] * 40], schema=DAILY_SCHEMA),
    )
