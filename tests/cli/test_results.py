"""`results` shows, compares and deletes what is stored, as text for people and as rows for programs."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from cli.files import Command, Ended
from cli.sample_results import ERROR, SHARPES, fill
from cli.test_delete import answering
from lumibot_duckdb.results import ResultsDatabase, SweepRecord, TrialRecord


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("results") / "samples.duckdb").path


@pytest.fixture
def filled(command: Command, samples: Path) -> Command:
    command.store.parent.mkdir()
    shutil.copy(samples, command.store.with_name("lumibot-results.duckdb"))
    return command


def results(command: Command) -> ResultsDatabase:
    return ResultsDatabase(command.store.with_name("lumibot-results.duckdb"))


def rows(ended: Ended) -> list[dict[str, str]]:
    assert (ended.code, ended.err) == (0, "")
    return list(csv.DictReader(io.StringIO(ended.out)))


def cells(ended: Ended, column: int) -> list[str]:
    """Return a column of a table whose cells have no spaces, without its header."""
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("----")) + 1
    return [line.split()[column] for line in lines[start:] if line]


def test_sweeps_and_recorded_backtests_are_listed(filled: Command) -> None:
    ended = filled("results")
    assert cells(Ended(0, ended.out.partition("\n\n")[0], ended.err), 0) == ["crossover", "first-try"]
    assert "2024-06-03 10:00" in ended.out
    listed = json.loads(filled("results", "list", "--json").out)
    assert [(each["sweep"], each["kind"], each["trials"], each["complete"]) for each in listed] == [
        ("crossover", "sweep", 6, 5),
        ("first-try", "run", 1, 1),
    ]
    assert listed[0]["best"] == max(filter(None, SHARPES))
    assert listed[0]["started"] == "2024-06-03T14:00:00+00:00"


def test_the_trials_of_a_sweep(filled: Command) -> None:
    ended = filled("results", "show", "crossover")
    assert cells(ended, 0) == ["1", "2", "3", "4", "5", "6"]
    assert cells(ended, 1) == [*["complete"] * 4, "failed", "complete"]
    assert ended.out.splitlines()[0].endswith("complete; the best has the highest sharpe")
    assert "symbol" not in ended.out  # it is AAPL everywhere
    assert ERROR in ended.out
    printed = rows(filled("results", "show", "crossover", "--csv"))
    assert [row["param_symbol"] for row in printed] == ["AAPL"] * 6
    assert printed[4]["error"] == ERROR


def test_the_best_trials(filled: Command) -> None:
    ended = filled("results", "best", "crossover", "-n", 2)
    assert cells(ended, 1) == ["1", "3"]
    assert cells(ended, 2) == ["5", "10"]
    assert cells(ended, 3) == ["20", "20"]  # equal in these, but not in all
    assert [float(row["sharpe"]) for row in rows(filled("results", "best", "crossover", "--csv"))] == sorted(
        filter(None, SHARPES), reverse=True
    )


def test_a_trial(filled: Command) -> None:
    shown = filled("results", "show", "crossover", "--trial", 4).out
    for expected in ("MB at most, ", " MB not shared", "Sharpe ratio", "1.56", "77.473342", "symbol"):
        assert expected in shown
    failed = filled("results", "show", "crossover", "--trial", 5).out
    assert f"failed: {ERROR}" in failed
    assert "line 16, in on_trading_iteration" in failed
    assert "Sharpe ratio" not in failed
    found = json.loads(filled("results", "show", "crossover", "--trial", 4, "--json").out)
    assert (found["sweep"], found["number"], found["status"]) == ("crossover", 4, "complete")
    assert found["parameters"] == {"fast": 10, "slow": 50, "symbol": "AAPL"}
    assert found["statistics"]["sharpe"] == SHARPES[3]
    prices = [each["price"] for each in found["trades"] if each["event"] == "fill"]
    assert prices == pytest.approx([77.473342, 83.438961], abs=1e-6)
    trades = rows(filled("results", "show", "crossover", "--trial", 4, "--csv"))
    assert [row["side"] for row in trades if row["event"] == "fill"] == ["buy", "sell"]


def test_a_recorded_backtest_is_shown_as_its_trial(filled: Command) -> None:
    assert "1.77" in filled("results", "show", "first-try").out
    assert json.loads(filled("results", "show", "first-try", "--json").out)["parameters"]["fast"] == 8


def test_trials_and_sweeps_side_by_side(filled: Command) -> None:
    ended = filled("results", "compare", "crossover:2", "crossover", "first-try")
    header, _, *lines = ended.out.splitlines()
    assert header.split() == ["crossover:2", "crossover:1", "first-try"]
    found = {line[:30].strip(): line[30:].split() for line in lines}
    assert found["slow"] == ["50", "20", "21"]
    assert found["Sharpe ratio"] == ["1.43", "2.16", "1.77"]
    printed = rows(filled("results", "compare", "crossover:1", "first-try", "--csv"))
    assert {row["name"]: row["first-try"] for row in printed}["sharpe"][:4] == "1.77"
    first, second = json.loads(filled("results", "compare", "crossover:1", "first-try", "--json").out)
    assert (first["trial"], second["trial"]) == ("crossover:1", "first-try")
    assert first["statistics"]["sharpe"] == SHARPES[0]


def test_a_name_with_a_colon(filled: Command) -> None:
    record = results(filled).sweep("first-try").record
    renamed = SweepRecord("crossover:2", "Other", None, {}, {}, record.started, None, None)
    results(filled).add_run(renamed, TrialRecord({"only": 1}, "complete", record.started, 1.0))
    assert "only" in filled("results", "compare", "crossover:2", "crossover:3").out


def test_the_joined_tests_stand_for_a_walk_forward_sweep(filled: Command) -> None:
    made, started = results(filled), results(filled).sweep("first-try").record.started
    made.begin_sweep(SweepRecord("walk", "Crossover", None, {}, {"objective": "sortino"}, started, None, None))
    for number, (phase, window) in enumerate([("in-sample", 1), ("out-of-sample", 1), ("joined", None)], 1):
        record = TrialRecord({"n": number}, "complete", started, 1.0, objective=1.0, phase=phase, window=window)  # type: ignore[arg-type]
        made.add_trials("walk", [(number, record)])
    assert filled("results", "compare", "walk", "crossover").out.split()[0] == "walk:3"
    shown = filled("results", "show", "walk").out
    assert "out-of-sample" in shown
    assert "sortino" in shown.splitlines()[2]


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_rows_are_written_to_a_file(filled: Command, ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"trials.{ending}"
    ended = filled("results", "show", "crossover", "--output", file)
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    read = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}[ending]
    frame = read(file)
    assert frame["param_fast"].tolist() == [5, 5, 10, 10, 20, 20]
    assert filled("results", "best", "crossover", "--output", file).code == 2  # it exists, and nobody can answer
    assert filled("results", "best", "crossover", "--output", file, "--yes").code == 0
    assert len(read(file)) == 5


def test_the_report_is_written_beside_the_results_or_to_a_file(filled: Command, tmp_path: Path) -> None:
    beside = results(filled).path.with_name("lumibot-results-crossover.html")
    ended = filled("results", "report", "crossover")
    assert (ended.code, ended.out, ended.err) == (0, f"The report is in {beside}.\n", "")
    chosen = tmp_path / "page.html"
    assert filled("results", "report", "crossover", "-o", chosen).out == f"The report is in {chosen}.\n"
    for file in (beside, chosen):
        page = file.read_text()
        assert page.lower().startswith("<!doctype html")
        assert "Sweep crossover: Crossover" in page
        assert ERROR in page


def test_a_report_replaces_no_file_of_another_kind(filled: Command, tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("date,close")
    ended = filled("results", "report", "crossover", "-o", mine)
    assert ended.code == 2
    assert "exists and is not an HTML page" in ended.err
    assert mine.read_text() == "date,close"


def test_deleting_asks(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "6 trials would be deleted" in filled("results", "delete", "crossover", "--dry-run").out
    refused = filled("results", "delete", "crossover")
    assert (refused.code, refused.out) == (2, "")
    assert "Delete the sweep crossover with 6 trials?" in refused.err
    answering(monkeypatch, "n\n")
    assert filled("results", "delete", "crossover").code == 1
    assert results(filled).has_sweep("crossover")
    answering(monkeypatch, "y\n")
    assert filled("results", "delete", "crossover").out == "The sweep crossover with 6 trials deleted.\n"
    assert not results(filled).has_sweep("crossover")
    assert json.loads(filled("results", "delete", "first-try", "--yes", "--json").out) == {
        "dry_run": False,
        "deleted": {"name": "first-try", "trials": 1},
    }
    assert "no sweeps and no recorded backtests" in filled("results").out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("show", "crossing"), 1, "there is no sweep crossing in"),
        (("show", "crossover", "--trial", 9), 1, "has no trial 9"),
        (("compare", "crossover:9", "first-try"), 1, "has no trial 9"),
        (("show",), 2, "results show takes one NAME"),
        (("best", "a", "b"), 2, "results best takes one NAME"),
        (("compare", "crossover"), 2, "results compare takes at least two names"),
        (("list", "crossover"), 2, "results list takes no NAME"),
        (("list", "--trial", 1), 2, "--trial is for results show"),
        (("show", "crossover", "-n", 3), 2, "-n is for results best"),
        (("delete", "crossover", "--csv"), 2, "results delete prints text or"),
        (("report",), 2, "results report takes one NAME"),
        (("report", "crossing"), 1, "there is no sweep crossing in"),
        (("report", "first-try"), 2, "first-try is a recorded backtest, and reports are about sweeps"),
        (("report", "crossover", "--csv"), 2, "results report writes an HTML page"),
        (("report", "crossover", "-o", "missing/page.html"), 2, "name a file in an existing folder"),
        (("list", "--format", "parquet"), 2, "--format parquet needs --output FILE"),
        (("list", "--results", "results.csv"), 2, "name a file that ends in .duckdb"),
        (("list", "--results", "other.duckdb"), 1, "there are no results at"),
        (("shwo", "crossover"), 2, "did you mean show?"),
    ],
)
def test_mistakes(filled: Command, arguments: tuple[object, ...], code: int, message: str) -> None:
    ended = filled("results", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_file_that_cannot_be_used(filled: Command) -> None:
    results(filled).path.write_text("no database")
    ended = filled("results")
    assert (ended.code, ended.out) == (3, "")
    assert "not a DuckDB file" in ended.err


def test_nothing_of_a_script_moves_the_cursor(filled: Command) -> None:
    made, started = results(filled), results(filled).sweep("first-try").record.started
    bell = "a\x1b[2Jb"
    sweep = SweepRecord("odd", bell, bell, {}, {}, started, None, None)
    made.add_run(sweep, TrialRecord({bell: bell}, "failed", started, 1.0, error=bell, traceback=bell))
    for arguments in (("list",), ("show", "odd"), ("compare", "odd", "first-try")):
        assert "\x1b" not in filled("results", *arguments).out


def test_run_record_refuses_a_name_that_is_taken(filled: Command, tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text("raise SystemExit('the script ran')")
    taken = filled("run", "--record", "--name", "first-try", "my.py")
    assert taken.code == 2
    assert "has results with the name first-try already" in taken.err
    assert "cannot be the name" in filled("run", "--record", "--name", " ", "my.py").err
    assert "--name is for run --record and run --live" in filled("run", "--name", "x", "my.py").err
    assert "--results is for run --record and run --live" in filled("run", "--results", "x.duckdb", "my.py").err
