"""The progress of a run reaches the terminal or a log, with an estimate of the time that is left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from comparison.test_differences import Recorded
from comparison.test_verdict import changed
from lumibot_duckdb.comparison import comparison as trial
from lumibot_duckdb.comparison import step_display
from lumibot_duckdb.comparison.comparison import compare_script
from lumibot_duckdb.comparison.differences import Run
from lumibot_duckdb.comparison.notes import _notes_on_waiting
from lumibot_duckdb.comparison.progress import Outlook, Progress, ProgressReport, progress_file, read_progress
from lumibot_duckdb.comparison.runner import Script
from lumibot_duckdb.comparison.step_display import step


@pytest.mark.parametrize(
    ("outlook", "progress", "elapsed", "done", "left"),
    [
        ({}, Progress(0, 0.0), 5.0, 0.0, None),
        ({}, Progress(0, 0.25), 5.0, 0.25, 15.0),
        ({"later": 2}, Progress(0, 0.25), 5.0, 0.25, 15.0 + 2 * 20.0),
        ({"usual": 8.0, "backtests": 1, "later": 1}, Progress(0, 0.0), 5.0, 0.0, 3.0 + 8.0),
        ({"usual": 8.0, "backtests": 1, "later": 1}, Progress(0, 0.5), 5.0, 0.5, 5.0 + 8.0),
        ({"usual": 8.0, "backtests": 4}, Progress(1, 0.0), 5.0, 0.25, 15.0),
        ({"usual": 8.0, "backtests": 4}, Progress(9, 0.0), 10.0, 1.0, 0.0),
        ({}, Progress(1, 0.5), 5.0, None, None),
        ({"usual": 3.0, "backtests": 0}, Progress(0, 0.0), 5.0, 0.0, 0.0),
    ],
)
def test_estimates(
    outlook: dict[str, object], progress: Progress, elapsed: float, done: float | None, left: float | None
) -> None:
    expected = Outlook(Path("unused"), **outlook)  # type: ignore[arg-type]
    assert expected.done(progress) == done
    assert expected.seconds_left(progress, elapsed) == (pytest.approx(left) if left is not None else None)


def test_progress_is_reported_and_read(tmp_path: Path) -> None:
    file = progress_file(tmp_path)
    assert read_progress(file) == Progress()
    ProgressReport(file, lambda: Progress(2, 0.5)).start()
    until = time.monotonic() + 10
    while read_progress(file) != Progress(2, 0.5):
        assert time.monotonic() < until
        time.sleep(0.05)
    file.write_text("[1")
    assert read_progress(file) == Progress()


def test_a_step_in_plain_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_display, "_PLAIN_SECONDS", 0.01)
    file = progress_file(tmp_path)
    file.write_text(json.dumps([0, 0.5]))
    with step("a run") as shown:
        shown(Outlook(file, usual=100.0, later=1))
        time.sleep(0.2)
    line = capsys.readouterr().out
    assert line.startswith("  a run ... 50 %, about ")
    assert line.count("\n") == 1
    assert line.endswith(" s\n")


def test_a_step_that_fails_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), step("a run"):
        raise KeyError
    assert capsys.readouterr().out == "  a run ... stopped\n"


def test_a_step_in_a_terminal_leaves_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr(step_display, "_REFRESH_SECONDS", 0.01)
    monkeypatch.setenv("TERM", "xterm")
    file = progress_file(tmp_path)
    file.write_text(json.dumps([0, 0.5]))
    with step("a run") as shown:
        shown(Outlook(file))
        time.sleep(0.3)
    printed = capsys.readouterr().out
    assert "about " in printed
    assert printed.splitlines()[-1].endswith(" s")
    assert "a run ... " in printed.splitlines()[-1]


def test_sides_run_in_alternating_order_with_an_outlook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    outlooks: list[Outlook] = []

    def run_side(script: Script, side: str, folder: Path, cache: Path | None = None) -> Run:
        order.append(side)
        return changed(Recorded().run(folder), covered=side == "duckdb")

    @contextmanager
    def watched(what: str) -> Iterator[object]:
        yield outlooks.append

    monkeypatch.setattr(trial, "run_side", run_side)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    script = Script(tmp_path / "script.py", (), tmp_path / "lumibot.duckdb")
    assert compare_script(script, tmp_path / "runs", watched, repeat=3).identical  # type: ignore[arg-type]
    assert order == ["lumibot", "duckdb", "duckdb", "lumibot", "lumibot", "duckdb"]
    assert [outlook.later for outlook in outlooks] == [5, 4, 3, 2, 1, 0]
    assert [outlook.backtests for outlook in outlooks] == [None, 1, 1, 1, 1, 1]
    assert [outlook.usual is None for outlook in outlooks] == [True, *[False] * 5]
    assert [outlook.file.parent.name for outlook in outlooks] == [
        "lumibot-1", "duckdb-1", "duckdb-2", "lumibot-2", "lumibot-3", "duckdb-3"
    ]  # fmt: skip


@pytest.mark.parametrize(("seconds", "noted"), [(1.9, False), (2.1, True), (100.0, True)])
def test_a_run_that_waited_is_noted(seconds: float, noted: bool, tmp_path: Path) -> None:
    from dataclasses import replace

    run = Recorded().run(tmp_path / "run")
    waited = replace(run, outcome=replace(run.outcome, costs=replace(run.outcome.costs, seconds=seconds)))
    notes = _notes_on_waiting({"lumibot": [run, waited], "duckdb": [run]})
    assert len(notes) == noted
    if noted:
        assert notes[0].startswith(f"Lumibot's storage took {seconds:,.1f} s with 1.0 s of CPU. The rest was waiting")
