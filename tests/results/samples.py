"""Sweeps and trials of tests, whose rows tell which trial they belong to."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa

from lumibot_duckdb.results import ResultsDatabase, SweepRecord, TrialRecord
from lumibot_duckdb.results.records import DAILY_SCHEMA, EQUITY_SCHEMA, TRADES_SCHEMA

NOW = datetime(2024, 6, 3, 14, 30, tzinfo=timezone.utc)


def sweep(name: str = "one", **more: Any) -> SweepRecord:
    settings = {"objective": "sharpe", "direction": "maximize", **more.pop("settings", {})}
    return SweepRecord(name, "Crossover", "my.py", {"fast": [5, 10]}, settings, NOW, None, None, **more)


def trial(value: float | None = 1.0, rows: int = 3, status: str = "complete", **more: Any) -> TrialRecord:
    """Return a record with `rows` iterations, trades and days, all of which have `value`."""
    parameters = more.pop("parameters", {"x": value, "rows": rows})
    statistics = more.pop("statistics", {"sharpe": value})
    known = 0.0 if value is None else value
    return TrialRecord(
        parameters,
        status,  # type: ignore[arg-type]
        NOW,
        0.5,
        statistics=statistics,
        objective=value if status == "complete" else None,
        equity=equity(known, rows),
        trades=trades(known, rows),
        daily_returns=daily(known, rows),
        **more,
    )


def equity(value: float, rows: int) -> pa.Table:
    times = [NOW + timedelta(minutes=minute) for minute in range(rows)]
    return pa.table([times, [value + row for row in range(rows)], [value] * rows], schema=EQUITY_SCHEMA)


def trades(value: float, rows: int) -> pa.Table:
    fill = {"time": NOW, "event": "fill", "asset": "SPY", "side": "buy", "type": "market", "price": value}
    return pa.Table.from_pylist([{**fill, "quantity": float(row), "fees": None} for row in range(rows)], TRADES_SCHEMA)


def daily(value: float, rows: int) -> pa.Table:
    days = [{"day": date(2024, 1, 1) + timedelta(days=day), "value": value + day} for day in range(rows)]
    return pa.Table.from_pylist(days, DAILY_SCHEMA)


def results_at(folder: Path, **settings: Any) -> ResultsDatabase:
    return ResultsDatabase(folder / "my-results.duckdb", **settings)
