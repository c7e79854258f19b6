"""What `lumibot-duckdb sweep` prints, its exit codes and its errors, with trials by a formula."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.files import Command
from lumibot_duckdb.cli.parser import CommandLineParser
from lumibot_duckdb.results.database import ResultsDatabase
from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.storage.errors import DiskFullError
from lumibot_duckdb.sweeps import examination, result_writer
from lumibot_duckdb.sweeps.errors import TargetError
from lumibot_duckdb.sweeps.sweep_lock import sweep_lock
from lumibot_duckdb.sweeps.trials.target import ScriptTarget, Target
from lumibot_duckdb.sweeps.trials.trial import Trial
from sweeps.fakes import FakeTrials, backtested


@pytest.fixture
def fake(command: Command, monkeypatch: pytest.MonkeyPatch) -> FakeTrials:
    fake = FakeTrials()
    fake.install(monkeypatch.setattr)
    monkeypatch.setenv("LUMIBOT_DISABLE_DOTENV", "1")
    (command.folder / "crossing.py").write_text("print('never run')\n")
    return fake


def failing(trial: Trial) -> TrialRecord:
    error = {1: "ZeroDivisionError: division by zero", 4: "no result\nafter 5 s"}.get(trial.number)
    status = {1: "failed", 4: "timeout"}.get(trial.number, "complete")
    return replace(backtested(trial), status=status, error=error)  # type: ignore[arg-type]


def test_the_best_trials_and_the_reasons_of_failures_are_shown(command: Command, fake: FakeTrials) -> None:
    fake.run = failing
    ended = command("sweep", "crossing.py", "--set", "x=1:3:1", "--set", "label=a,b", "--jobs", "2")
    results, report = (command.store.with_name(f"lumibot-results{end}") for end in (".duckdb", "-crossing-1.html"))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[:9] == [
        "Sweep crossing-1: 6 trials of Strategy, 2 at a time",
        "6 trials: 4 complete, 1 failed, 1 timeout",
        "  1 failed: ZeroDivisionError: division by zero",
        "  1 timeout: no result\\nafter 5 s",
        "",
        "The best sharpe (maximized) is -0.99:",
        "trial  x  label  sharpe  total_return  max_drawdown  closed_trades",
        "-----  -  -----  ------  ------------  ------------  -------------",
        "    2  1      b   -0.99       -1.02 %                            2",
    ]
    assert ended.out.splitlines()[-3:] == [
        f"The results are in {results}:",
        f"  lumibot-duckdb results show crossing-1 --results {results}",
        f"The report is in {report}.",
    ]
    assert report.read_text().startswith("<!doctype html")
    assert command("results", "best", "crossing-1").out.splitlines()[-1].split()[:2] == ["4", "6"]


def test_a_sweep_without_a_complete_trial_fails(command: Command, fake: FakeTrials) -> None:
    fake.run = lambda trial: replace(backtested(trial), status="crashed", error="killed by SIGSEGV")
    ended = command("sweep", "crossing.py", "--set", "x=1,2")
    assert ended.code == 1
    assert "2 trials: 2 crashed\n  2 crashed: killed by SIGSEGV\n\nNo trial has a value of sharpe.\n" in ended.out


def test_windows_are_shown_with_what_they_amount_to(command: Command, fake: FakeTrials) -> None:
    ended = command("sweep", "crossing.py", "--set", "x=0:4:1", "--walk-forward", "train=12M,test=6M")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[:7] == [
        f"Sweep crossing-1: 12 trials of Strategy, {lines[0].split(', ')[1]}",
        "12 trials: 12 complete",
        "",
        "window  trial  x  sharpe in sample  out of sample  return out of sample",
        "------  -----  -  ----------------  -------------  --------------------",
        "     1      6  1              0.01           0.01               -1.02 %",
        "     2     12  2              0.01           0.01               -0.04 %",
    ]
    assert lines[8].startswith("All windows joined, out of sample: sharpe ")
    assert "total_return -1.06 %, " in lines[8]
    assert lines[9] == "  x: 1 in 1 of 2 windows, 1 change"


def test_a_dry_run_shows_the_backtest_and_runs_nothing(command: Command, fake: FakeTrials) -> None:
    ended = command(
        "sweep",
        "crossing.py",
        "--set",
        "x=1:9:1",
        "--where",
        "x != 2",
        "--walk-forward",
        "train=12M,test=6M",
        "--dry-run",
    )
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "Strategy on PandasDataBacktesting, from 2020-01-01 to 2022-01-01",
        "  x = 1, searched",
        "  y = 0.5",
        "  label = 'a'",
        "  where x != 2",
        "2 windows:",
        "  1: search from 2020-01-01 to 2021-01-01, test from 2021-01-01 to 2021-07-01",
        "  2: search from 2020-07-01 to 2021-07-01, test from 2021-07-01 to 2022-01-01",
        ended.out.splitlines()[8],
        "The first ones:",
        *(f"  x={x}" for x in (1, 3, 4, 5, 6)),
        f"Results would be in {command.store.with_name('lumibot-results.duckdb')}.",
    ]
    assert ended.out.splitlines()[8].startswith("18 trials would run, ")
    assert fake.trials == []
    assert not command.store.parent.exists()


def test_a_dry_run_refuses_a_name_that_the_sweep_could_not_have(command: Command, fake: FakeTrials) -> None:
    options = ("sweep", "crossing.py", "--set", "x=1,2", "--name")
    assert "cannot be the name of a sweep or a session" in command(*options, "a\nb", "--dry-run").err
    assert command(*options, "taken").code == 0
    assert "there is a sweep taken" in command(*options, "taken", "--dry-run").err


def test_options_come_before_or_after_the_script_and_its_arguments_after_two_dashes(
    command: Command, fake: FakeTrials, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets: list[Target] = []

    def described(target: Target) -> object:
        targets.append(target)
        return fake.describe(target)

    monkeypatch.setattr(examination, "describe", described)
    options = ("--set", "x=1", "--strategy", "Mine", "--dry-run")
    assert command("sweep", *options, "crossing.py", "--", "--set", "y", "-m").code == 0
    assert command("sweep", "crossing.py", *options, "--", "--set", "y", "-m").code == 0
    assert command("sweep", "-m", "crossing", *options).code == 0
    expected = ScriptTarget("crossing.py", ("--set", "y", "-m"), strategy="Mine", store=command.store)
    assert targets == [expected, expected, ScriptTarget("crossing", (), True, "Mine", command.store)]


def test_options_reach_the_sweep(command: Command, fake: FakeTrials) -> None:
    results = command.folder / "mine.duckdb"
    options = ("--set", "x=1:100:1", "--random", "7", "--seed", "3", "--objective", "max-drawdown", "--jobs", "3")
    limits = ("--timeout", "60", "--memory", "500MB", "--artifacts", "kept", "--results", results, "--name", "r")
    assert command("sweep", "crossing.py", *options, *limits).code == 0
    shown = command("results", "show", "r", "--results", results, "--json").out
    assert shown.count('"number"') == 7
    assert {each.artifacts for each in fake.settings} == {Path("kept/r")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: SCRIPT"),
        (("crossin.py",), "there is no script crossin.py; did you mean crossing.py?"),
        (("-m", "nowhere"), "no module named nowhere"),
        (("crossing.py",), "there is no parameter to search; give one or more, such as fast=5:50:5"),
        (("crossing.py", "--set", "x"), "x: expected NAME=VALUES"),
        (("crossing.py", "--set", "z=1"), "Strategy has no parameter 'z': it has x, y, label"),
        (("crossing.py", "--set", "x=1", "--where", "x < q"), "x < q: unknown name q at position 5"),
        (("crossing.py", "--set", "x=1", "--wher", "x < 1"), "unrecognized arguments: --wher; did you mean --where?"),
        (
            ("crossing.py", "--set", "x=1", "SPY"),
            "arguments: SPY; the script's own arguments come after --",
        ),
        (("crossing.py", "--set", "x=1", "--symbol", "SPY"), "--symbol SPY; the script's own arguments come after --"),
        (("crossing.py", "--set", "x=1", "--objective", "shape"), "unknown objective shape; did you mean sharpe?"),
        (("crossing.py", "--set", "x=1", "--random", "0"), "'0' is not a whole number of at least 1"),
        (("crossing.py", "--set", "x=1", "--random", "1", "--optuna", "1"), "not allowed with argument --random"),
        (("crossing.py", "--set", "x=1", "--seed", "1"), "--seed is for --random and --optuna"),
        (("crossing.py", "--set", "x=1", "--pruner", "median"), "--sampler and --pruner are Optuna's: add --optuna N"),
        (("crossing.py", "--set", "x=1", "--optuna", "1", "--pruner", "medan"), "did you mean median?"),
        (("crossing.py", "--set", "x=1", "--resume"), "which sweep is to be resumed? Add --name"),
        (("crossing.py", "--set", "x=1", "--retry-failed"), "--retry-failed continues a sweep: add --resume"),
        (("crossing.py", "--set", "x=1", "--name", "n", "--resume"), "there are no results at "),
        (("crossing.py", "--set", "x=1", "--name", "-n"), "argument --name: expected one argument"),
        (("crossing.py", "--set", "x=1", "--name", "a\tb"), "cannot be the name of a sweep or a session"),
        (("crossing.py", "--set", "x=1", "--memory", "lots"), "argument --memory: "),
        (("crossing.py", "--set", "x=1", "--timeout", "0"), "argument --timeout: '0' is not a number above zero"),
        (("crossing.py", "--set", "x=1", "--walk-forward", "train=1Q"), "train=1Q: test must be given"),
        (("crossing.py", "--set", "x=1", "--results", "x.csv"), "'x.csv' cannot be a results database"),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, command: Command, fake: FakeTrials
) -> None:
    ended = command("sweep", *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert message in ended.err
    assert fake.trials == []


def test_a_taken_name_and_a_script_without_a_backtest(
    command: Command, fake: FakeTrials, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.run = lambda trial: replace(backtested(trial), status="failed")
    command("sweep", "crossing.py", "--set", "x=1", "--name", "mine")
    again = command("sweep", "crossing.py", "--set", "x=1", "--name", "mine")
    assert (again.code, again.out) == (2, "")
    assert "there is a sweep mine in " in again.err
    changed = command("sweep", "crossing.py", "--set", "x=1,2", "--name", "mine", "--resume")
    assert (changed.code, changed.out) == (2, "")
    assert "the sweep mine was begun differently: space parameters x values was [1] and is now [1, 2]" in changed.err
    (command.folder / "crossing.py").write_text("print('another script')\n")
    changed = command("sweep", "crossing.py", "--set", "x=1", "--name", "mine", "--resume")
    assert "begun differently: the script has been changed since. Repeat" in changed.err

    def broken(target: Target) -> None:
        raise TargetError("the script crossing.py failed before its backtest: ValueError: 1", "Traceback:\n  line 1")

    monkeypatch.setattr(examination, "describe", broken)
    ended = command("sweep", "crossing.py", "--set", "x=1")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "Traceback:\n  line 1\nlumibot-duckdb: the script crossing.py failed before its backtest: ValueError: 1\n"
    )


def test_a_report_that_cannot_be_written_is_not_an_error(command: Command, fake: FakeTrials) -> None:
    report = command.store.with_name("lumibot-results-mine.html")
    report.mkdir(parents=True)
    ended = command("sweep", "crossing.py", "--set", "x=1", "--name", "mine")
    assert ended.code == 0
    assert ended.out.splitlines()[-1].startswith(f"There is no report: {report} cannot be written (")


def test_a_full_disk_ends_a_sweep_and_keeps_what_is_stored(
    command: Command, fake: FakeTrials, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = ResultsDatabase.add_trials
    calls: list[int] = []

    def full(self: ResultsDatabase, sweep: str, trials: Any) -> None:
        calls.append(1)
        if len(calls) > 2:
            raise DiskFullError("the disk is full; nothing was stored")
        add(self, sweep, trials)

    monkeypatch.setattr(ResultsDatabase, "add_trials", full)
    monkeypatch.setattr(result_writer, "_PAUSE", 0.0)
    ended = command("sweep", "crossing.py", "--set", "x=1:9:1", "--jobs", "1", "--name", "mine")
    assert (ended.code, ended.err) == (3, "lumibot-duckdb: the disk is full; nothing was stored\n")
    assert fake.closed.is_set()
    monkeypatch.undo()
    database = ResultsDatabase(command.store.with_name("lumibot-results.duckdb"))
    assert (sorted(database.records("mine")), database.sweep("mine").status) == ([1, 2], "failed")


def test_a_lock_that_cannot_be_written_is_an_error_of_the_results(command: Command, fake: FakeTrials) -> None:
    options = ("sweep", "crossing.py", "--set", "x=1", "--name", "mine")
    command.store.parent.mkdir(parents=True)
    with sweep_lock(command.store.with_name("lumibot-results.duckdb"), "mine"):
        (lock,) = command.store.parent.glob("*.running")
    lock.mkdir()
    ended = command(*options)
    assert (ended.code, ended.out, ended.err.count("\n")) == (3, "", 1)
    assert "the sweep mine has not begun" in ended.err


def test_a_sweep_whose_trials_all_fail_alike_is_stopped(command: Command, fake: FakeTrials) -> None:
    fake.run = lambda trial: replace(backtested(trial), status="failed", error="KeyError: 'symbl'")
    options = ("sweep", "crossing.py", "--set", "x=1:40:1", "--jobs", "1", "--name", "my own")
    ended = command(*options)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "the first 11 trials all failed with the same error" in ended.err
    assert "KeyError: 'symbl'" in ended.err
    assert "lumibot-duckdb results show 'my own' --trial 1 --results " in ended.err
    assert "--resume --name 'my own' --keep-going" in ended.err
    ended = command(*options, "--resume", "--keep-going")
    assert (ended.code, ended.err) == (1, "")
    assert "40 trials: 40 failed" in ended.out


def test_a_random_search_is_extended(command: Command, fake: FakeTrials) -> None:
    options = ("sweep", "crossing.py", "--set", "x=1:900:1", "--jobs", "2", "--name", "mine")
    assert command(*options, "--random", "5").code == 0
    ended = command(*options, "--random", "9", "--resume")
    assert ended.out.splitlines()[0] == "Sweep mine: 9 trials of Strategy, 2 at a time; 5 are stored already"
    assert "9 trials: 9 complete" in ended.out


def test_a_first_trial_that_downloads_is_announced(command: Command, fake: FakeTrials) -> None:
    fake.source = "PolygonDataBacktesting"
    lines = command("sweep", "crossing.py", "--set", "x=1").out.splitlines()
    assert lines[1] == "A first trial runs alone, and downloads what is missing"


def test_a_name_is_checked_before_the_script_runs(
    command: Command, fake: FakeTrials, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("sweep", "crossing.py", "--set", "x=1", "--name", "mine")
    monkeypatch.setattr(examination, "describe", lambda target: pytest.fail("the script ran"))
    assert command("sweep", "crossing.py", "--set", "x=1", "--name", "mine").code == 2
    assert command("sweep", "crossing.py", "--set", "x=1", "--name", "other", "--resume").code == 2


def test_help_names_every_option() -> None:
    parser = CommandLineParser(["sweep"]).commands["sweep"]
    assert {"--walk-forward", "--retry-failed", "--dry-run"} <= set(parser.long_options())
