"""Sweeps for the tests of the report and of its picture: averages that cross, on a generated price."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.results.records import SweepRecord
from lumibot_duckdb.sweeps.report import SweepReport, WalkForwardReport, Window
from lumibot_duckdb.sweeps.walk_forward.out_of_sample import parameter_stability

SPACE: dict[str, list[Any]] = {
    "fast": list(range(5, 51, 5)),
    "slow": [20, 50, 100, 150, 200],
    "ma": ["sma", "ema"],
    "stop": [0.02, 0.05],
}


def example(
    space: Mapping[str, list[Any]] = SPACE,
    *,
    days: int = 1_500,
    edge: float = 0.0,
    failed: int = 4,
    name: str = "crossing",
) -> SweepReport:
    """Return a sweep over all combinations. `edge` is earned per day by those with the longest averages."""
    trials = [dict(zip(space, values, strict=True)) for values in product(*space.values())]
    rng = np.random.default_rng(7)
    market = 0.01 * rng.standard_normal(days)
    price = np.concatenate([[0.0], np.cumsum(market)])
    returns = np.column_stack([_returns(price, market, values, rng) for values in trials])
    returns[:, [values.get("slow", 0) >= 200 for values in trials]] += edge
    index = pd.date_range("2020-01-01", periods=days)
    numbers = pd.RangeIndex(1, len(trials) + 1)
    daily = pd.DataFrame(returns, index, numbers)
    statistics = _statistics(daily)
    frame = pd.DataFrame(
        {
            "status": "complete",
            "objective": statistics["sharpe"],
            "seconds": rng.gamma(9, 0.05, len(trials)),
            "error": None,
        },
        numbers,
    )
    broken = numbers[3 :: max(1, len(trials) // failed)][:failed] if failed else []
    for place, number in enumerate(broken):
        status = ("failed", "timeout", "failed", "memory")[place % 4]
        error = {"failed": "ValueError: fast must be below slow", "timeout": "no result after 60 s"}.get(status)
        frame.loc[number, ["status", "error"]] = [status, error]
        frame.loc[number, "objective"] = np.nan
        statistics.loc[number] = np.nan
    times = pd.DatetimeIndex(index).tz_localize("UTC") + pd.Timedelta(hours=21)
    equity = {int(number): pd.Series(100_000 * (1 + daily[number]).cumprod().to_numpy(), times) for number in numbers}
    return SweepReport(
        sweep=SweepRecord(
            name=name,
            strategy="Crossing",
            script="crossing.py",
            space={"parameters": {key: {"values": list(values)} for key, values in space.items()}, "conditions": []},
            settings={"objective": "sharpe", "direction": "maximize", "search": "grid", "jobs": 2, "seed": None},
            started=datetime(2024, 1, 2, 15, tzinfo=timezone.utc),
            as_of=datetime(2024, 1, 2, 15, tzinfo=timezone.utc),
            store="bars.duckdb",
            versions={"lumibot": "4.6.30", "duckdb": "2.0.0"},
        ),
        objective="sharpe",
        minimize=False,
        trials=frame,
        parameters=pd.DataFrame(trials, numbers),
        statistics=statistics,
        equity=equity,
        daily_returns=daily.drop(columns=list(broken)),
    )


def walk_forward(count: int = 5) -> WalkForwardReport:
    """Return walk-forward windows of a year and a quarter."""
    rng = np.random.default_rng(2)
    found = []
    for number in range(1, count + 1):
        start, middle, end = (
            (pd.Timestamp("2020-01-01") + pd.DateOffset(months=3 * (number - 1) + months)).date()
            for months in (0, 12, 15)
        )
        chosen = {"fast": int(rng.choice([5, 10])), "slow": 50}
        inside, outside = float(rng.uniform(0.8, 1.8)), float(rng.uniform(-0.5, 1.2))
        found.append(Window(number, (start, middle), (middle, end), chosen, inside, outside))
    days = pd.date_range("2021-01-01", periods=91 * count)
    returns = pd.Series(0.0003 + 0.01 * rng.standard_normal(len(days)), days)
    stability = parameter_stability([window.parameters for window in found], {"fast": (5, 10, 20), "slow": (20, 50)})
    equity = 100_000 * (1 + returns).cumprod()
    return WalkForwardReport(found, stability, equity.tz_localize("UTC"), returns)


def _returns(
    price: np.ndarray[Any, Any], market: np.ndarray[Any, Any], values: Mapping[str, Any], rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    """Return what holding earns while the fast average is above the slow one, and a little noise of its own."""
    fast, slow = (_average(price, int(values.get(name, 10)), values.get("ma")) for name in ("fast", "slow"))
    held = (fast > slow)[:-1]
    return np.clip(held * market, -float(values.get("stop", 1)), None) + 0.0005 * rng.standard_normal(len(market))


def _average(price: np.ndarray[Any, Any], length: int, kind: str | None) -> np.ndarray[Any, Any]:
    series = pd.Series(price)
    found = series.ewm(span=length).mean() if kind == "ema" else series.rolling(length, min_periods=1).mean()
    return found.to_numpy()


def _statistics(daily: pd.DataFrame) -> pd.DataFrame:
    growth = (1 + daily).cumprod()
    years = len(daily) / 365.25
    total = growth.iloc[-1] - 1
    return pd.DataFrame(
        {
            "total_return": total,
            "cagr": (1 + total) ** (1 / years) - 1,
            "volatility": daily.std() * 365**0.5,
            "sharpe": daily.mean() / daily.std() * 365**0.5,
            "sortino": daily.mean() / np.sqrt((daily.clip(upper=0) ** 2).mean()) * 365**0.5,
            "max_drawdown": (growth / growth.cummax()).min() - 1,
            "winning_days": (daily > 0).mean(),
            "win_rate": 0.5,
            "closed_trades": 42.0,
            "exposure": 0.6,
            "fees": 12.5,
            "end_value": 100_000 * growth.iloc[-1],
        }
    )
