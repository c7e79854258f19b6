"""The result of a comparison as an object for `compare --json`. Every number in it is finite."""

from __future__ import annotations

from typing import Any

from lumibot_duckdb.comparison import summary
from lumibot_duckdb.comparison.comparison import DifferingRun, Result
from lumibot_duckdb.comparison.differences import Cause, Difference, counts_of
from lumibot_duckdb.comparison.meters import PHASES
from lumibot_duckdb.comparison.outcome import SIDES, Backtest
from lumibot_duckdb.comparison.trading_statistics import STYLES, Statistic, benchmark_statistics, trading_statistics


def result_object(result: Result) -> dict[str, Any]:
    """Return the result; `docs/cli.md` describes its keys. Computing statistics imports quantstats."""
    comparison = result.comparison
    return {
        "script": str(result.script),
        "identical": result.identical,
        "verdict": summary.verdict(result),
        "compared": {
            "fills": comparison.fills,
            "portfolio_values": comparison.values,
            "frames": comparison.frames,
            "answers": comparison.answers,
            "orders": comparison.orders,
            "chart_points": comparison.chart_points,
        },
        "costs": {side: _costs(result, number) for number, side in enumerate(SIDES)},
        "backtests": [_backtest(theirs, ours) for theirs, ours in result.paired],
        "differences": {"counts": comparison.counts, "causes": [_cause(cause) for cause in comparison.causes]},
        "differing_runs": [_differing_run(run) for run in result.differing_runs],
        "notes": [*summary.uncovered_notes(result), *result.notes],
        "versions": result.duckdb[0].outcome.versions,
    }


def _costs(result: Result, side: int) -> dict[str, Any]:
    """Return the medians of all runs of a side."""
    return {
        "seconds": summary.medians(result, lambda costs: costs.seconds)[side],
        "cpu_seconds": summary.medians(result, lambda costs: costs.cpu_seconds)[side],
        "peak_bytes": summary.medians(result, lambda costs: costs.peak_bytes)[side],
        "requests": summary.medians(result, lambda costs: sum(costs.requests.values()))[side],
        "disk_bytes": summary.medians(result, lambda costs: costs.disk_after)[side],
        "phases": {
            phase: summary.medians(result, lambda costs, phase=phase: costs.phases[phase])[side]  # type: ignore[misc]
            for phase in PHASES
        },
    }


def _backtest(theirs: Backtest, ours: Backtest) -> dict[str, Any]:
    columns = {
        "lumibot": trading_statistics(theirs),
        "duckdb": trading_statistics(ours),
        "benchmark": benchmark_statistics(theirs),
    }
    return {
        "name": theirs.name,
        "source": ours.source,
        "start": theirs.span[0],
        "end": theirs.span[1],
        "parameters": theirs.parameters,
        "risk_free_rate": theirs.risk_free_rate,
        "benchmark": theirs.benchmark or None,
        "failure": theirs.failure,
        "fills": len(theirs.fills),
        "statistics": {name: column and _values(column) for name, column in columns.items()},
        "missing": {name: column and _reasons(column) for name, column in columns.items()},
    }


def _values(statistics: dict[str, Statistic]) -> dict[str, float | None]:
    counts = {name for name, (_, style) in STYLES.items() if style == "count"}
    return {
        name: int(statistic.value) if name in counts and statistic.value is not None else statistic.value
        for name, statistic in statistics.items()
    }


def _reasons(statistics: dict[str, Statistic]) -> dict[str, str]:
    return {name: statistic.reason for name, statistic in statistics.items() if statistic.value is None}


def _cause(cause: Cause) -> dict[str, Any]:
    return {
        "title": summary.cause_title(cause),
        "shown_in": counts_of(cause.shown_in),
        "effects": counts_of(cause.effects),
        "differences": [_difference(each) for each in cause.differences],
    }


def _difference(difference: Difference) -> dict[str, str]:
    return {
        "kind": difference.kind,
        "backtest": difference.backtest,
        "time": difference.when,
        "subject": difference.subject,
        "aspect": difference.aspect,
        "place": difference.place,
        "lumibot": difference.left,
        "duckdb": difference.right,
    }


def _differing_run(run: DifferingRun) -> dict[str, Any]:
    difference = _difference(run.difference)
    values = {"first": difference.pop("lumibot"), "this": difference.pop("duckdb")}
    return {"side": run.side, "run": run.number, **difference, **values}
