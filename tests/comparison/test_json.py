"""`compare --json` prints one object and nothing else to standard output, with statistics and causes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from comparison.ground import Answer, compare
from comparison.test_page import DIFFERENCE, EVIL, result
from lumibot_duckdb.comparison import comparison
from lumibot_duckdb.comparison.comparison import DifferingRun, Result, ScriptFailedError
from lumibot_duckdb.comparison.outcome import Table
from lumibot_duckdb.comparison.runner import RunError
from lumibot_duckdb.comparison.trading_statistics import STYLES

pytestmark = pytest.mark.xdist_group("statistics")  # importing quantstats takes seconds

Run = Callable[..., Answer]


@pytest.fixture
def json_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command, with a comparison that has a given result."""

    def run(found: Result | Exception, *options: object) -> Answer:
        def compare_script(*_: object, **__: object) -> Result:
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(comparison, "compare_script", compare_script)
        script = tmp_path / "script.py"
        script.write_text("")
        return compare("--json", *options, script)

    return run


def finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    return all(map(finite, value)) if isinstance(value, list) else not isinstance(value, float) or math.isfinite(value)


def test_statistics_of_both_sides_are_printed(json_of: Run) -> None:
    answer = json_of(result())
    assert answer.code == 0
    printed = json.loads(answer.out)
    assert printed["identical"] is True
    assert printed["compared"]["frames"] == 40
    assert finite(printed)
    mine, _ = printed["backtests"]
    assert (mine["name"], mine["benchmark"], mine["parameters"]) == ("Mine", "QQQ", {"length": "20"})
    assert list(mine["statistics"]["lumibot"]) == list(STYLES)
    assert mine["statistics"]["lumibot"] == mine["statistics"]["duckdb"]
    assert mine["statistics"]["duckdb"]["win_rate"] == 1.0
    assert mine["statistics"]["duckdb"]["closed_trades"] == 1
    assert set(mine["missing"]["duckdb"]) == {"exposure"}
    assert mine["statistics"]["benchmark"]["sharpe"] != mine["statistics"]["duckdb"]["sharpe"]
    assert printed["costs"]["lumibot"]["seconds"] == 9.0
    assert printed["costs"]["duckdb"]["seconds"] == 3.0
    assert "Comparing" in answer.err


def test_differences_are_grouped_by_cause(json_of: Run) -> None:
    evil = replace(DIFFERENCE, kind="portfolio", subject="", place=EVIL, left="\ud800")
    run = DifferingRun("duckdb", 2, evil)
    answer = json_of(replace(result(differences=[DIFFERENCE, evil]), differing_runs=[run]))
    assert answer.code == 1
    printed = json.loads(answer.out)
    (cause,) = printed["differences"]["causes"]
    assert (cause["title"], cause["shown_in"], cause["effects"]) == (
        "Mine, SPY: other values",
        {"frame": 1},
        {"portfolio": 1},
    )
    assert cause["differences"][0]["lumibot"] == "470.25"
    assert cause["differences"][1]["place"] == EVIL
    assert printed["differing_runs"][0]["first"] == "\ud800"
    assert printed["differences"]["counts"] == {"frame": 7, "portfolio": 7}


def test_what_has_no_value_is_null_with_a_reason(json_of: Run) -> None:
    found = result()
    for backtest in (each for run in (found.reference, *found.duckdb) for each in run.outcome.backtests):
        object.__setattr__(backtest, "returns", Table([], []))
    (mine, _) = json.loads(json_of(found).out)["backtests"]
    assert mine["statistics"]["duckdb"]["cagr"] is None
    assert "no values" in mine["missing"]["duckdb"]["cagr"]
    assert mine["statistics"]["benchmark"] is None


def test_a_failed_script_prints_no_object(json_of: Run) -> None:
    answer = json_of(ScriptFailedError([RunError("lumibot", "it is wrong", ["last line"])]))
    assert (answer.code, answer.out) == (1, "")
    assert "last line" in answer.err


def test_the_report_can_be_written_as_well(json_of: Run, tmp_path: Path) -> None:
    answer = json_of(result(), "--html", tmp_path / "report.html")
    assert json.loads(answer.out)["identical"] is True
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html")


def test_quantstats_is_imported_for_statistics_only() -> None:
    """It takes seconds, and no comparison without a report or `--json` needs it."""
    code = (
        "import sys; from lumibot_duckdb.comparison import page, result_json, summary, trading_statistics;"
        "print([name for name in ('quantstats_lumi', 'matplotlib', 'seaborn') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
