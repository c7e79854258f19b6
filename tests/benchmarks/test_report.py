"""RESULTS.md shows both sides and their ratio, the terminal also the budgets; unmeasured sections are kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def sample(*values: float):
    from benchmarks.measure import Sample

    return Sample.of(values)


def test_a_row_meets_its_budget_only_from_the_ratio_on():
    from benchmarks.measure import against

    def met(ours: float, higher_is_better: bool = False):
        return against(
            "a read", "ms", "them", sample(ours), sample(100.0), at_least=10.0, higher_is_better=higher_is_better
        ).met

    assert met(10.0) is True
    assert met(10.1) is False
    assert met(1000.0, higher_is_better=True) is True
    assert met(999.0, higher_is_better=True) is False
    assert against("a read", "ms", "them", sample(1.0), sample(2.0)).met is None


def test_a_sample_shows_its_median_and_spread():
    assert sample(3.0, 1.0, 2.0).text() == "2.00 (1.00 to 3.00)"
    assert sample(5.0).text() == "5.00"
    assert sample(123456.7).text() == "123,457"
    assert sample(0.001234).text() == "0.00123"


def test_budgets_are_on_the_terminal_and_not_in_the_results():
    from benchmarks.measure import against
    from benchmarks.report import line, table

    row = against("a read", "ms", "them", sample(4.0), sample(2.0), at_least=1.0, budget="faster", note="n")
    assert "budget: faster, SHORT" in line(row)
    assert "| a read | them | 2.00 ms | 4.00 ms | 0.5 x |" in table([row])
    assert table([row]).endswith("\n\n- n")
    assert "faster" not in table([row])


def test_updating_some_sections_keeps_the_others_in_order():
    from benchmarks.measure import Row
    from benchmarks.report import renewed

    order = {name: f"What {name} measures." for name in ("first", "second", "third")}
    both = renewed("", {name: [Row(f"old {name}", "s", "", sample(1.0))] for name in ("third", "first")}, order)
    again = renewed(both, {"first": [Row("new first", "s", "", sample(2.0))]}, order)
    assert "old first" not in again
    assert again.index("new first") < again.index("old third")
    assert again.count("## `") == 2
    assert again.count("What first measures.") == again.count("What third measures.") == 1
    assert renewed(again, {}, order) == again


def test_the_command_lists_its_benchmarks_and_refuses_unknown_names():
    def benchmarks(*arguments: str):
        command = [sys.executable, "-m", "benchmarks", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    listed = benchmarks("--list")
    assert listed.returncode == 0
    names = {line.split()[0] for line in listed.stdout.splitlines()}
    assert {"steady", "memory_100", "range_read", "ingest", "polygon_steady", "polygon_backtest"} <= names
    refused = benchmarks("no_such")
    assert refused.returncode == 2
    assert "no such benchmark: no_such" in refused.stderr
