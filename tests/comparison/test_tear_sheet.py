"""The statistics of the report equal those of the tear sheet that Lumibot writes in the same run."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lumibot.tools.indicators import create_tearsheet
from quantstats_lumi import reports

from comparison.ground import SCRIPT, Ground, compare
from lumibot_duckdb.comparison.trading_statistics import Statistic, return_statistics
from lumibot_duckdb.lumibot_contract import strategy_access

pytestmark = pytest.mark.xdist_group("statistics")  # importing quantstats takes seconds

# As the tear sheet names them. It rounds total returns to whole percents, ratios to two decimals, and others to four.
NAMES = {
    "total_return": ("Total Return", 0.005),
    "cagr": ("CAGR% (Annual Return)", 0.00005),
    "volatility": ("Volatility (ann.)", 0.00005),
    "sharpe": ("Sharpe", 0.005),
    "sortino": ("Sortino", 0.005),
    "max_drawdown": ("Max Drawdown", 0.00005),
    "winning_days": ("Win Days%", 0.00005),
}


def assert_equal(found: dict[str, Any], sheet: dict[str, Any], column: str) -> None:
    for name, (label, rounding) in NAMES.items():
        value = sheet[label][column] if isinstance(sheet[label], dict) else sheet[label]
        assert found[name] == pytest.approx(value, abs=rounding * 1.001), (column, name)


def values_of(statistics: dict[str, Statistic]) -> dict[str, float | None]:
    return {name: statistic.value for name, statistic in statistics.items()}


class Ended:
    """What `daily_returns` reads of a strategy whose backtest has ended."""

    def __init__(self, values: pd.DataFrame | None, benchmark: pd.DataFrame | None) -> None:
        self._strategy_returns_df = values
        self._benchmark_returns_df = benchmark


def curve(times: pd.DatetimeIndex, deviation: float, seed: int) -> pd.Series[float]:
    steps = np.random.default_rng(seed).normal(deviation / 20, deviation, len(times))
    return pd.Series(100_000 * np.exp(steps.cumsum()), times)


SPANS = {
    "days of a stock": pd.bdate_range("2021-03-01", "2022-06-30", tz="America/New_York"),
    "hours of a coin": pd.date_range("2023-01-01", "2023-04-30", freq="h", tz="UTC"),
    "half hours of a stock, over the start of summer time": pd.DatetimeIndex(
        [
            day + pd.Timedelta(minutes=570 + 30 * step)
            for day in pd.bdate_range("2023-03-01", "2023-03-24", tz="America/New_York")
            for step in range(13)
        ]
    ),
}


@pytest.mark.parametrize(("span", "rate"), list(zip(SPANS, (0.0, 0.045, 0.02), strict=True)))
def test_returns_and_rates_are_those_of_lumibots_tear_sheet(
    span: str, rate: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Lumibot passes its returns to quantstats' report, whose numbers the tear sheet shows."""
    times = SPANS[span]
    values = pd.DataFrame({"portfolio_value": curve(times, 0.01, 1)})
    benchmark = pd.DataFrame({"symbol_cumprod": curve(times, 0.02, 2) / 100_000})
    passed: list[tuple[Any, ...]] = []
    monkeypatch.setattr(reports, "html", lambda *args, **keywords: passed.append((*args, keywords)))
    create_tearsheet(values, "Mine", str(tmp_path / "page.html"), benchmark, "SPY", False, True, rate)
    ((returns, of_benchmark, keywords),) = passed
    metrics = reports.metrics_json(
        returns, of_benchmark, rf=keywords["rf"], match_dates=keywords["match_dates"], summary_only=True
    )["scalar_metrics"]
    found = strategy_access.daily_returns(Ended(values, benchmark))
    assert found is not None
    for column, label in (("strategy", "Strategy"), ("benchmark", "Benchmark")):
        assert_equal(values_of(return_statistics(found[column], rate)), metrics, label)


def test_a_backtest_without_a_benchmark_has_the_same_returns() -> None:
    values = pd.DataFrame({"portfolio_value": curve(SPANS["hours of a coin"], 0.01, 1)})
    flat = pd.DataFrame({"symbol_cumprod": 1.0}, index=values.index)
    alone = strategy_access.daily_returns(Ended(values, None))
    beside = strategy_access.daily_returns(Ended(values, flat))
    assert alone is not None
    assert beside is not None
    assert list(alone.columns) == ["strategy"]
    pd.testing.assert_series_equal(alone["strategy"], beside["strategy"])
    assert math.prod(1 + alone["strategy"]) == pytest.approx(values["portfolio_value"].iloc[-1] / values.iloc[0, 0])
    assert strategy_access.daily_returns(Ended(None, None)) is None


@pytest.mark.long
@pytest.mark.parametrize("rate", [0.0, 0.05])
def test_statistics_are_those_of_the_tear_sheet_of_the_run(
    rate: float, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUMIBOT_CACHE_FOLDER", str(ground.folder / f"cache {rate}"))  # a filled one may give other bars
    text = SCRIPT.replace("datetime(2023, 3, 8)", "datetime(2023, 3, 14)").replace("None,", '"SPY",', 1)
    text = text.replace("risk_free_rate=0.0", f"risk_free_rate={rate}, save_tearsheet=True, show_tearsheet=False")
    script = ground.script(f"tear_sheet_{rate}.py", text)
    kept = ground.folder / f"tear sheet {rate}"
    answer = compare("--json", "--keep", kept, script, "--analyze")
    assert answer.code == 0, answer
    (printed,) = json.loads(answer.out)["backtests"]
    assert printed["risk_free_rate"] == rate
    assert printed["benchmark"] == "SPY"
    for side in ("lumibot", "duckdb"):
        (file,) = (kept / f"{side}-1" / "logs").glob("*tearsheet*.json")
        sheet = json.loads(file.read_text())["scalar_metrics"]
        assert_equal(printed["statistics"][side], sheet, "Strategy")
        assert_equal(printed["statistics"]["benchmark"], sheet, "Benchmark")
