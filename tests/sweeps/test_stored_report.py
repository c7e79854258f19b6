"""The report of a sweep in a results database has what was stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lumibot_duckdb.results.database import ResultsDatabase
from lumibot_duckdb.results.errors import SweepNotFoundError
from lumibot_duckdb.results.records import DAILY_SCHEMA, EQUITY_SCHEMA, SweepRecord, TrialRecord
from lumibot_duckdb.sweeps.report import report_page, stored_report

NOW = datetime(2024, 6, 3, 15, tzinfo=timezone.utc)
SPACE = {
    "parameters": {"fast": {"start": 5, "stop": 15, "step": 5}, "ma": {"values": ["sma", None]}},
    "conditions": ["fast < 20"],
}


def sweep(**settings: Any) -> SweepRecord:
    found = {"objective": "sharpe", "direction": "maximize", "search": "grid", **settings}
    return SweepRecord("mine", "Crossing", "crossing.py", SPACE, found, NOW, NOW, "bars.duckdb", {"lumibot": "4.6.30"})


def trial(seed: int, parameters: Mapping[str, Any], start: str = "2020-01-01", days: int = 100) -> TrialRecord:
    """A trial whose objective is its seed."""
    index = pd.date_range(start, periods=days)
    returns = 0.01 * np.random.default_rng(seed).standard_normal(days)
    daily = pa.table({"day": index.date, "value": returns, "benchmark": returns}, DAILY_SCHEMA)
    values = 100_000 * np.cumprod(1 + returns)
    times = (index + pd.Timedelta(hours=21)).tz_localize("UTC")
    equity = pa.table({"time": times, "value": values, "cash": values}, EQUITY_SCHEMA)
    return TrialRecord(
        {**parameters, "other": 1},
        "complete",
        NOW,
        0.5,
        statistics={"sharpe": float(seed), "max_drawdown": -0.1, "cagr": None},
        objective=float(seed),
        risk_free_rate=0.02,
        equity=equity,
        daily_returns=daily,
    )


def failed(parameters: Mapping[str, Any]) -> TrialRecord:
    return TrialRecord(parameters, "failed", NOW, 0.1, error="ValueError: no", traceback="...")


@pytest.fixture
def database(tmp_path: Path) -> ResultsDatabase:
    return ResultsDatabase(tmp_path / "my-results.duckdb")


def test_a_sweep_has_its_trials_equity_and_returns(database: ResultsDatabase) -> None:
    database.begin_sweep(sweep())
    values = [{"fast": fast, "ma": ma} for fast in (5, 10, 15) for ma in ("sma", None)]
    trials = {number: trial(number, each) for number, each in enumerate(values, 1)}
    trials[4] = failed(values[3])
    database.add_trials("mine", trials.items())
    report = stored_report(database, "mine", others=7)
    assert report.sweep == sweep()
    assert (report.objective, report.minimize, report.risk_free, report.others) == ("sharpe", False, 0.02, 7)
    assert report.ranking == [6, 5, 3, 2, 1]
    assert report.parameters.to_dict("list") == {"fast": [5, 5, 10, 10, 15, 15], "ma": ["sma", None] * 3}
    assert report.trials.loc[4, ["status", "error"]].tolist() == ["failed", "ValueError: no"]
    assert report.statistics["sharpe"].dropna().tolist() == [1, 2, 3, 5, 6]
    assert report.statistics["cagr"].isna().all()
    assert sorted(report.equity) == [1, 2, 3, 5, 6]
    stored = trials[6].equity
    assert stored is not None
    assert report.equity[6].tolist() == stored.column("value").to_pylist()
    assert report.equity[6].index[0] == pd.Timestamp("2020-01-01 21:00", tz="UTC")
    returns = trials[3].daily_returns
    assert returns is not None
    assert report.daily_returns[3].tolist() == returns.column("value").to_pylist()
    assert report.assessment is not None
    assert (report.assessment.best, report.assessment.tried) == (6, 12)
    assert report.walk_forward is None
    page = report_page(report)
    assert "5 to 15 in steps of 5" in page
    assert "fast &lt; 20" in page


def test_a_walk_forward_sweep_is_that_of_its_last_window(database: ResultsDatabase) -> None:
    database.begin_sweep(sweep(walk_forward="train=3M,test=1M"))
    trials = {}
    for window, start in ((1, "2020-01-01"), (2, "2020-02-01"), (3, "2020-03-01")):
        first = 10 * (window - 1)
        for number, fast in ((1, 5), (2, 10), (3, 15)):
            seed = first + number + (5 if fast == 5 * window else 0)
            found = trial(seed, {"fast": fast, "ma": "sma"}, start)
            trials[first + number] = replace(found, phase="in-sample", window=window)
        best = {"fast": 5 * window, "ma": "sma"}
        later = trial(100 + window, best, f"2020-0{window + 4}-01", 30)
        trials[first + 4] = replace(later, phase="out-of-sample", window=window)
    trials[14] = replace(failed({"fast": 10, "ma": "sma"}), phase="out-of-sample", window=2)
    trials[31] = replace(trial(77, {}, "2020-05-01", 90), phase="joined")
    database.add_trials("mine", trials.items())
    report = stored_report(database, "mine")
    assert report.trials.index.tolist() == [21, 22, 23]
    assert report.ranking == [23, 22, 21]
    assert report.daily_returns.columns.tolist() == [21, 22, 23]
    assert report.failed is not None
    assert report.failed.index.tolist() == sorted(set(trials) - {31})
    walks = report.walk_forward
    assert walks is not None
    assert [window.number for window in walks.windows] == [1, 2, 3]
    assert [window.parameters for window in walks.windows] == [{"fast": fast, "ma": "sma"} for fast in (5, 10, 15)]
    assert [window.in_sample for window in walks.windows] == [6.0, 17.0, 28.0]
    assert [window.out_of_sample for window in walks.windows] == [101.0, None, 103.0]
    spans = [[f"{day:%m-%d}" for day in (*(window.train or ()), *(window.test or ()))] for window in walks.windows]
    assert spans == [
        ["01-01", "04-09", "05-01", "05-30"], ["02-01", "05-10"], ["03-01", "06-08", "07-01", "07-30"],
    ]  # fmt: skip
    assert [(each.name, each.share) for each in walks.stability] == [("fast", pytest.approx(1 / 3)), ("ma", 1.0)]
    assert walks.equity is not None
    assert len(walks.equity) == 90
    assert walks.daily_returns is not None
    assert "Out of sample" in report_page(report)


def test_a_sweep_without_trials_has_a_page(database: ResultsDatabase) -> None:
    database.begin_sweep(sweep())
    report = stored_report(database, "mine")
    assert report.assessment is None
    assert "No trial is complete" in report_page(report)
    with pytest.raises(SweepNotFoundError, match="there is no sweep other"):
        stored_report(database, "other")
