"""The record of a walk-forward sweep's tests, joined as if they were one backtest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from statistics import fmean
from typing import TYPE_CHECKING

from lumibot_duckdb.comparison.trading_statistics import return_statistics
from lumibot_duckdb.comparison.versions import versions_of_run
from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps.search.objectives import Objective
from lumibot_duckdb.sweeps.walk_forward.out_of_sample import joined_daily_returns, joined_equity

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def joined_record(tests: Sequence[TrialRecord | None], objective: Objective, started: datetime) -> TrialRecord:
    """Return the record of the tests of all windows, in their order.

    Its statistics are computed from the joined daily returns as those of a backtest are. Closed trades and the share of
    winning ones are those of all tests. Exposure and fees have no value: each test has its own budget.

    A window whose search found nothing has no test (None), and its money is not invested. If a test has failed, the
    record is failed, because its part of the equity is missing.

    Parameters:
        tests: The whole records of the tests.
        objective: What makes a trial the best.
        started: The start of the sweep, in UTC.
    """
    run = [test for test in tests if test is not None]
    failed = [number for number, test in enumerate(tests, 1) if test is not None and test.status != "complete"]
    costs = TrialRecord(
        parameters={},
        status="failed" if failed or not run else "complete",
        started=started,
        seconds=sum(test.seconds for test in run),
        cpu_seconds=sum(test.cpu_seconds for test in run),
        peak_memory=max((test.peak_memory for test in run), default=0),
        error=_reason(failed, run),
        versions=versions_of_run(),
        phase="joined",
    )
    return costs if costs.error else _with_results(costs, tests, run, objective)


def _reason(failed: Sequence[int], run: Sequence[TrialRecord]) -> str | None:
    if failed:
        windows = "window" if len(failed) == 1 else "windows"
        return f"the test of {windows} {', '.join(map(str, failed))} failed"
    return None if run else "no window has a test: no trial of a search has a value of the objective"


def _with_results(
    record: TrialRecord, tests: Sequence[TrialRecord | None], run: Sequence[TrialRecord], objective: Objective
) -> TrialRecord:
    equity = joined_equity([None if test is None else test.equity for test in tests])
    returns = joined_daily_returns([None if test is None else test.daily_returns for test in tests])
    rate = fmean([test.risk_free_rate or 0.0 for test in run])
    statistics = _statistics(equity, returns, rate, run)
    return replace(
        record,
        statistics=statistics,
        risk_free_rate=rate,
        objective=objective.value(statistics),
        equity=equity,
        daily_returns=returns,
    )


def _statistics(
    equity: pa.Table, returns: pa.Table, rate: float, run: Sequence[TrialRecord]
) -> dict[str, float | None]:
    found = {name: each.value for name, each in return_statistics(_series(returns), rate).items()}
    closed = [(test.statistics.get("closed_trades") or 0.0, test.statistics.get("win_rate") or 0.0) for test in run]
    trades = sum(number for number, _ in closed)
    values = equity.column("value").to_pylist()
    return {
        **found,
        "closed_trades": trades,
        "win_rate": sum(number * won for number, won in closed) / trades if trades else None,
        "end_value": values[-1] if values else None,
    }


def _series(returns: pa.Table) -> pd.Series[float]:
    import pandas as pd

    days = pd.DatetimeIndex(returns.column("day").to_pandas(date_as_object=False))
    made: pd.Series[float] = pd.Series(returns.column("value").to_numpy(), days, float)
    return made
