"""Writes what a backtest did, so that the benchmark can compare both sides."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lumibot_duckdb.comparison.headless import UNATTENDED
from lumibot_duckdb.comparison.memory import peak_resident_bytes

QUIET: dict[str, Any] = UNATTENDED
"""Arguments of `run_backtest` without files and windows at the end."""
RESULT_VARIABLE = "BENCHMARK_RESULT"
_TRADE = ["time", "symbol", "side", "type", "status", "price", "filled_quantity", "trade_cost"]


def outcome_of(strategy: Any) -> dict[str, list[Any]]:
    """Return the trade events and the portfolio values of a backtest that has ended."""
    events, stats = strategy.broker._trade_event_log_df, strategy.stats
    values = zip(stats.index, stats["portfolio_value"], stats["cash"], strict=True)
    return {
        "trades": events[_TRADE].astype(str).to_numpy().tolist() if len(events) else [],
        "values": [[str(time), float(value), float(cash)] for time, value, cash in values],
    }


def keep_outcome(strategy: Any) -> None:
    """Write the outcome and the peak memory, in bytes, to the file that the environment names."""
    outcome = {**outcome_of(strategy), "peak": peak_resident_bytes()}
    Path(os.environ[RESULT_VARIABLE]).write_text(json.dumps(outcome))
