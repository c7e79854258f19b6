"""What `lumibot-duckdb demo` shows, and what it leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from comparison.test_differences import EVENT, Recorded
from lumibot_duckdb.cli.main import main
from lumibot_duckdb.comparison.differences import Run
from lumibot_duckdb.comparison.outcome import DUCKDB, LUMIBOT
from lumibot_duckdb.comparison.runner import RunError, Script, sandbox_of
from lumibot_duckdb.demo import both_sides, tour
from lumibot_duckdb.demo.job import REQUESTS_FILE, Job
from lumibot_duckdb.demo.sweep_process import sweep_in_sandbox

# Loaded by Python before anything else in every process of the demo: notes and refuses every way out.
NO_NETWORK = """
import socket
def refuse(self, address, *rest):
    if self.family != socket.AF_UNIX:
        with open({log!r}, "a") as log:
            log.write(f"{{address}}\\n")
        raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = refuse
"""
TINY = ["--symbols", "1", "--years", "0.2"]
RunSide = Callable[[Path], Run]


def finished_run(seconds: float, megabytes: float, recorded: Recorded | None = None) -> RunSide:
    """Return a stand-in for a backtest that ended with these costs."""

    def run(folder: Path) -> Run:
        done = (recorded or Recorded()).run(folder)
        costs = replace(done.outcome.costs, seconds=seconds, peak_bytes=int(megabytes * 1e6))
        backtests = [replace(each, covered=folder.name == DUCKDB) for each in done.outcome.backtests]
        return replace(done, outcome=replace(done.outcome, costs=costs, backtests=backtests))

    return run


def failed_run(error: BaseException) -> RunSide:
    """Return a stand-in for a backtest that an error stopped."""

    def run(folder: Path) -> Run:
        raise error

    return run


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    """Replace the backtests by prepared runs, by side."""
    runs = {LUMIBOT: finished_run(20.0, 900), DUCKDB: finished_run(30.0, 300)}

    def run_in_sandbox(script: Script, side: str, folder: Path) -> Run:
        sandbox = sandbox_of(side, folder)
        sandbox.mkdir()
        (sandbox / REQUESTS_FILE).write_text('{"60 minute": [0.001, 0.003]}')
        return runs[side](folder / side)

    monkeypatch.setattr(both_sides, "run_in_sandbox", run_in_sandbox)
    monkeypatch.setattr(tour, "warm_up", lambda: None)
    monkeypatch.setattr(tour, "sweep_in_sandbox", lambda *arguments: "what the sweep has found")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return runs


def test_a_real_demo_is_identical_offline_and_leaves_nothing_behind(tmp_path):
    places = {name: tmp_path / name for name in ("home", "temporary", "here", "python")}
    for place in places.values():
        place.mkdir()
    network_log = tmp_path / "network.log"
    (places["python"] / "sitecustomize.py").write_text(NO_NETWORK.format(log=str(network_log)))
    (places["here"] / ".env").write_text("BACKTESTING_DATA_SOURCE=polygon\nBACKTESTING_START=1999-01-01\n")
    environment = {
        **os.environ,
        "HOME": str(places["home"]),
        "TMPDIR": str(places["temporary"]),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(places["python"]), os.environ.get("PYTHONPATH")])),
        "BACKTESTING_DATA_SOURCE": "yahoo",
        "LUMIBOT_DUCKDB_PATH": str(places["home"] / "own.duckdb"),
    }
    command = [sys.executable, "-m", "lumibot_duckdb.cli.main", "demo", "--quick", *TINY]
    finished = subprocess.run(command, cwd=places["here"], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.count("Results identical: ") == 2
    assert " 0 fills" not in finished.stdout
    assert "AAPL              3270" in finished.stdout, "the answer of the SQL query"
    assert "Try next" in finished.stdout
    assert finished.stderr == ""
    assert max(map(len, finished.stdout.splitlines())) <= 100
    assert list(places["temporary"].iterdir()) == []
    assert list(places["home"].iterdir()) == []
    assert sorted(file.name for file in places["here"].iterdir()) == [".env", "demo-sweep.html"]
    assert (
        "3. A parameter sweep: the momentum strategy with 6 combinations of lookback and hold_days" in finished.stdout
    )
    assert "The report with all trials is in demo-sweep.html." in finished.stdout
    page = (places["here"] / "demo-sweep.html").read_text()
    assert page.lower().startswith("<!doctype html")
    assert "Sweep momentum: MomentumRotation" in page
    assert not network_log.exists()


def test_costs_are_shown_as_they_are_also_when_ours_are_higher(pretended, capsys):
    assert main(["demo", *TINY]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "seconds 20.0 30.0 1.5 x more" in shown
    assert "MB of peak memory 900 300 3.0 x less" in shown
    assert "microseconds per request for 60 minute bars 2,000 2,000 about the same" in shown


def test_a_difference_is_shown_and_ends_with_code_1(pretended, capsys, tmp_path):
    pretended[DUCKDB] = finished_run(30.0, 300, Recorded(events=[{**EVENT, "price": "101.26"}]))
    assert main(["demo", *TINY]) == 1
    shown = capsys.readouterr().out
    assert "Results NOT identical. Different: 1 trade event" in shown
    assert "101.26" in shown
    assert "Results identical" not in shown
    assert "Try next" not in shown
    assert list(tmp_path.iterdir()) == []


def test_a_failed_backtest_is_one_line_and_cleans_up(pretended, capsys, tmp_path):
    pretended[DUCKDB] = failed_run(RunError(DUCKDB, "ValueError: no bars", []))
    assert main(["demo", *TINY]) == 1
    assert capsys.readouterr().err == "lumibot-duckdb: the script failed on lumibot-duckdb: ValueError: no bars\n"
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_demo_cleans_up(pretended, capsys, tmp_path):
    pretended[LUMIBOT] = failed_run(KeyboardInterrupt())
    assert main(["demo", *TINY]) == 130
    assert list(tmp_path.iterdir()) == []


def test_no_sweep_follows_a_difference(pretended, capsys, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("no sweep is expected")

    monkeypatch.setattr(tour, "sweep_in_sandbox", refuse)
    pretended[DUCKDB] = finished_run(30.0, 300, Recorded(events=[{**EVENT, "price": "101.26"}]))
    assert main(["demo", *TINY]) == 1
    assert "parameter sweep" not in capsys.readouterr().out


def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(pretended, capsys, tmp_path):
    mine = tmp_path / "notes.txt"
    mine.write_text("mine")
    assert main(["demo", "--report", str(mine)]) == 2
    shown = capsys.readouterr()
    assert "exists and is not an HTML page" in shown.err
    assert shown.out == ""
    assert mine.read_text() == "mine"


def test_a_sweep_that_fails_says_why(tmp_path):
    job = Job("MomentumRotation", ["AAA"], "day", "2024-01-01", "2024-02-01", files=str(tmp_path))
    with pytest.raises(RunError, match=r"the script failed on lumibot-duckdb: .*SearchError: .*lookback"):
        sweep_in_sandbox(job, tmp_path / "bars.duckdb", tmp_path / "sweep", tmp_path / "page.html", {"lookback": []})
    assert not (tmp_path / "page.html").exists()


def test_keep_leaves_stores_that_the_other_commands_read(pretended, capsys, tmp_path):
    kept = tmp_path / "kept"
    assert main(["demo", *TINY, "--keep", str(kept)]) == 0
    store = kept / "minute" / "bars.duckdb"
    assert f"lumibot-duckdb status --store {store}" in capsys.readouterr().out
    assert main(["status", "--store", str(store)]) == 0
    assert "SIM001" in capsys.readouterr().out


def test_keep_refuses_a_folder_that_exists(pretended, capsys, tmp_path):
    assert main(["demo", "--keep", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_demo_takes_no_store(pretended, capsys, tmp_path):
    assert main(["--store", str(tmp_path / "mine.duckdb"), "demo"]) == 2
    assert "--keep" in capsys.readouterr().err


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys):
    find = tour.importlib.util.find_spec
    monkeypatch.setattr(
        tour.importlib.util, "find_spec", lambda name: None if name == "bokeh_sampledata" else find(name)
    )
    assert main(["demo"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pip install 'lumibot-duckdb[demo]'" in error


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--symbols", "0", "'0' is not a whole number of at least 1"),
        ("--symbols", "2.5", "'2.5' is not a whole number of at least 1"),
        ("--years", "-1", "'-1' is not a number above zero"),
        ("--years", "nan", "'nan' is not a number above zero"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(option, value, message, capsys):
    assert main(["demo", option, value]) == 2
    assert message in capsys.readouterr().err


def test_a_backtest_that_fails_keeps_its_output(tmp_path):
    job = Job("MomentumRotation", ["AAA"], "day", "2024-01-01", "2024-02-01", files=str(tmp_path / "no files"))
    with pytest.raises(RunError, match="the script failed on Lumibot's storage: FileNotFoundError: ") as failure:
        both_sides.compare_sides(job, tmp_path / "no-store.duckdb", tmp_path / "runs")
    assert "\n" not in str(failure.value)
    assert "Traceback" in (tmp_path / "runs" / "lumibot" / "output.txt").read_text()
