"""The verdict on two runs: identical only if each side ran on its own storage and finished."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from comparison.test_differences import EVENT, Recorded, asked, bars, price
from lumibot_duckdb.cli.compare import _show, _show_failure
from lumibot_duckdb.comparison import comparison as trial
from lumibot_duckdb.comparison import summary
from lumibot_duckdb.comparison.comparison import DifferingRun, Result, ScriptFailedError, compare_script
from lumibot_duckdb.comparison.differences import Run, compare_runs
from lumibot_duckdb.comparison.notes import (
    CACHES_DIFFER,
    explain_difference,
    note_on_changed_files,
    note_on_varying_results,
    notes_on_comparison,
)
from lumibot_duckdb.comparison.page import report_page
from lumibot_duckdb.comparison.runner import RunError, Script

LUMIBOTS = "lumibot.backtesting.yahoo_backtesting.YahooDataBacktesting"
OURS = "lumibot_duckdb.sources.yahoo.source.YahooDataBacktesting"


def changed(run: Run, **changes: object) -> Run:
    backtests = [replace(backtest, **changes) for backtest in run.outcome.backtests]  # type: ignore[arg-type]
    return Run(replace(run.outcome, backtests=backtests), run.folder)


def result(theirs: Run, ours: Run) -> Result:
    return Result(Path("script.py"), theirs, [theirs], [ours], compare_runs(theirs, ours))


@pytest.fixture
def theirs(tmp_path: Path) -> Run:
    return changed(Recorded().run(tmp_path / "theirs"), covered=False, source=LUMIBOTS)


@pytest.fixture
def ours(tmp_path: Path) -> Run:
    return changed(Recorded().run(tmp_path / "ours"), source=OURS)


def test_each_on_its_own_storage(theirs: Run, ours: Run) -> None:
    found = result(theirs, ours)
    assert found.identical
    assert summary.verdict(found).startswith("identical: 1 fill")


def test_both_on_the_store(theirs: Run, ours: Run) -> None:
    found = result(changed(theirs, covered=True), ours)
    assert not found.identical
    said = "Nothing compared: both sides ran on the store, because the script or its .env file sets LUMIBOT_USE_DUCKDB"
    assert summary.verdict(found).startswith(said)
    page = report_page(found)
    assert said in page
    assert "Nothing was compared." in page
    assert '"verdict good"' not in page


def test_a_later_run_of_lumibots_side_on_the_store(theirs: Run, ours: Run) -> None:
    found = replace(result(theirs, ours), lumibot=[theirs, changed(theirs, covered=True)])
    assert not found.identical
    assert "both sides ran on the store" in summary.verdict(found)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (OURS, "ran on Lumibot's storage on both sides, because LUMIBOT_USE_DUCKDB=false or use_duckdb=False is set."),
        (LUMIBOTS, "was Lumibot's own class on both sides, because the script called deactivate()"),
        ("lumibot.backtesting.thetadata_backtesting.ThetaData", "has no counterpart in lumibot-duckdb"),
    ],
)
def test_both_on_lumibots_storage(source: str, said: str, theirs: Run, ours: Run) -> None:
    found = result(theirs, changed(ours, covered=False, source=source))
    assert not found.identical
    assert "Nothing compared: no backtest of the script ran on lumibot-duckdb." in summary.verdict(found)
    (note,) = summary.uncovered_notes(found)
    assert note.startswith(f"{source} {said}")


def test_the_same_error_on_both_sides(theirs: Run, ours: Run) -> None:
    found = result(*(changed(run, failure="KeyError: 'mine'") for run in (theirs, ours)))
    assert not found.identical
    said = summary.verdict(found)
    assert said.startswith(
        "The backtest failed on both storages: Mine 0, KeyError: 'mine'. Everything else is identical: 1 fill"
    )


def test_an_error_on_one_side(theirs: Run, ours: Run) -> None:
    found = result(theirs, changed(ours, failure="KeyError: 'mine'"))
    assert summary.verdict(found) == "NOT identical. Different: 1 end of a backtest."
    (difference,) = found.comparison.differences
    assert (difference.left, difference.right) == ("ended without an error", "KeyError: 'mine'")


def test_a_backtest_that_the_script_did_not_wait_for(theirs: Run, ours: Run) -> None:
    found = result(changed(theirs, ended=False), changed(ours, ended=False))
    assert not found.identical
    assert summary.verdict(found) == (
        "Nothing compared: the script ended before its backtests: Mine 0. Let it wait for them."
    )


def test_one_of_two_backtests_that_the_script_did_not_wait_for(tmp_path: Path) -> None:
    runs = [changed(Recorded(count=2).run(tmp_path / name), covered=name == "ours") for name in ("theirs", "ours")]
    for run in runs:
        run.outcome.backtests[1] = replace(run.outcome.backtests[1], ended=False)
    found = result(*runs)
    assert not found.identical
    assert summary.verdict(found).endswith("; but not compared, because the script ended first: Mine 1")


def test_backtests_in_other_processes_are_named(theirs: Run, ours: Run) -> None:
    both = (Run(replace(run.outcome, forked=["Child 1", "Child 2"]), run.folder) for run in (theirs, ours))
    (note,) = summary.uncovered_notes(result(*both))
    assert note.startswith("Not compared, because they ran in processes that the script started: Child 1, Child 2. ")


def test_a_strategy_that_requested_nothing_and_traded_nothing_is_named(tmp_path: Path) -> None:
    nothing = Recorded([], events=[])
    found = result(changed(nothing.run(tmp_path / "theirs"), covered=False), nothing.run(tmp_path / "ours"))
    assert found.identical
    assert summary.verdict(found).startswith("identical: 0 fills with")
    (note,) = notes_on_comparison(found.comparison)
    assert note.startswith("Mine 0 requested no bars, prices or quotes, and filled no order, so only ")


@pytest.mark.parametrize(("times", "words"), [(1, "At one time of a"), (1_200, "At 1,200 times of a")])
def test_questions_in_another_order_are_counted_in_words(times: int, words: str, theirs: Run, ours: Run) -> None:
    found = replace(compare_runs(theirs, ours), reordered=times)
    (note,) = notes_on_comparison(found)
    assert note.startswith(f"{words} backtest the strategy made the same requests in a different order")


CONTROL = "\x1b[31m\x07"


def test_no_control_character_of_a_script_reaches_the_terminal(
    theirs: Run, ours: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = result(theirs, changed(ours, name=CONTROL, failure=f"KeyError: {CONTROL}"))
    differing_runs = [DifferingRun("duckdb", 2, difference) for difference in failed.comparison.differences]
    _show(replace(failed, notes=[CONTROL], differing_runs=differing_runs), repeat=2)
    _show_failure(ScriptFailedError([RunError("duckdb", "", [CONTROL])]))
    shown = capsys.readouterr().out
    assert shown.count("\\x1b[31m\\x07") >= 5
    assert "\x1b" not in shown
    assert "The first difference:\n" in shown


# -- where a difference comes from ------------------------------------------------------------------------------------

OTHER_PRICE = [asked(bars()), price(470.51)]
LARGER = [{**EVENT, "filled_quantity": "7"}]
STEADY = [{**EVENT, "filled_quantity": "5"}]
SMALLER = [{**EVENT, "filled_quantity": "3"}]


def said(folder: Path, *recorded: Recorded, left: str = "") -> str:
    runs = [each.run(folder / str(number)) for number, each in enumerate(recorded)]
    return explain_difference(*runs, left=left)


def test_a_script_that_differs_from_run_to_run(tmp_path: Path) -> None:
    runs = (Recorded(events=each) for each in (STEADY, LARGER, SMALLER))
    shown = f"{EVENT['time']}, SPY, number 1: buy fill, filled_quantity was 5 and became 7."
    assert said(tmp_path, *runs) == f"{note_on_varying_results('')} Two runs on Lumibot's storage: {shown}"


def test_a_script_that_goes_by_a_file_that_it_left(tmp_path: Path) -> None:
    """The first run requested bars; all later ones found the file, on either storage."""
    asks, does_not = Recorded([asked(bars()), price(470.5)]), Recorded([asked(bars())])
    assert said(tmp_path, asks, does_not, does_not, left="memo.pkl") == (
        f"{note_on_changed_files('memo.pkl')} Otherwise: {CACHES_DIFFER}"
    )
    assert said(tmp_path, asks, does_not, does_not) == CACHES_DIFFER


def test_a_script_that_goes_by_a_file_that_it_changes_each_time(tmp_path: Path) -> None:
    runs = (Recorded(events=each) for each in (STEADY, LARGER, SMALLER))
    assert said(tmp_path, *runs, left="memo.pkl").startswith(note_on_varying_results("memo.pkl"))
    assert note_on_changed_files("memo.pkl") in note_on_varying_results("memo.pkl")


def test_a_file_that_was_left_is_not_put_down_for_another_price(tmp_path: Path) -> None:
    assert said(tmp_path, Recorded(OTHER_PRICE), Recorded(), Recorded(), left="memo.pkl") == CACHES_DIFFER


def test_a_difference_of_storages(tmp_path: Path) -> None:
    found = said(tmp_path, Recorded(), Recorded(), Recorded(OTHER_PRICE))
    assert found.endswith("is filled from the store, and equal those of its own first run.")


def test_a_difference_of_caches(tmp_path: Path) -> None:
    found = said(tmp_path, Recorded(OTHER_PRICE), Recorded(), Recorded())
    assert "either your cache has different bars than the store" in found


def test_a_difference_that_may_be_of_both(tmp_path: Path) -> None:
    found = said(tmp_path, Recorded(OTHER_PRICE), Recorded(), Recorded([asked(bars()), price(470.52)]))
    assert (
        "and from those of its own first run: 2024-01-02T09:45:00-05:00, SPY, get_last_price(SPY) was 470.51" in found
    )
    assert "--repeat 2 shows which" in found


@pytest.mark.parametrize("column", ["price", "time"])
def test_another_fill_is_not_put_down_to_the_script(column: str, tmp_path: Path) -> None:
    runs = (Recorded(events=[{**EVENT, column: each}]) for each in ("2024-01-03", "2024-01-04", "2024-01-05"))
    assert note_on_varying_results("") not in said(tmp_path, *runs)


@pytest.fixture
def asks_unless_it_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Return the made-up runs of a script that caches its answer in a file and makes no request if it finds that."""
    memo = tmp_path / "memo.pkl"

    def run_side(script: Script, side: str, folder: Path, cache: Path | None = None) -> Run:
        found = memo.exists()
        memo.touch()
        asked_for = Recorded([asked(bars())] if found else [asked(bars()), price(470.5)])
        return changed(asked_for.run(folder), covered=side == "duckdb")

    monkeypatch.setattr(trial, "run_side", run_side)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    return Script(tmp_path / "script.py", (), tmp_path / "lumibot.duckdb")


@pytest.mark.parametrize(("from_cache", "repeat"), [(False, 1), (False, 2), (True, 1)])
def test_files_that_a_script_left_are_named(
    from_cache: bool, repeat: int, asks_unless_it_finds: Script, tmp_path: Path
) -> None:
    stored_as_of = datetime(2024, 1, 2, tzinfo=timezone.utc) if from_cache else None
    script = replace(asks_unless_it_finds, stored_as_of=stored_as_of)
    found = compare_script(script, tmp_path / "runs", lambda what: nullcontext(), repeat=repeat)
    assert not found.identical
    assert [note for note in found.notes if note_on_changed_files("memo.pkl") in note]


def test_files_that_a_script_left_are_named_when_it_fails_on_them(
    asks_unless_it_finds: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_side = trial.run_side

    def fails_if_it_finds(script: Script, side: str, folder: Path, cache: Path | None = None) -> Run:
        if Path("memo.pkl").exists():
            raise RunError(side, "FileExistsError: memo.pkl", [])
        return run_side(script, side, folder, cache)

    monkeypatch.setattr(trial, "run_side", fails_if_it_finds)
    with pytest.raises(ScriptFailedError) as failed:
        compare_script(asks_unless_it_finds, tmp_path / "runs", lambda what: nullcontext())
    assert failed.value.notes == [note_on_changed_files("memo.pkl")]


# -- backtests of two runs are paired ---------------------------------------------------------------------------------


def with_names(run: Run, names: Sequence[str], settings: Sequence[str] = ("", "")) -> Run:
    named = [
        replace(backtest, name=name, settings=setting)
        for backtest, name, setting in zip(run.outcome.backtests, names, settings, strict=False)
    ]
    return Run(replace(run.outcome, backtests=named), run.folder)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((["A", "B"], ["", ""]), (["B", "A"], ["", ""])),
        ((["A", "A"], ["1", "2"]), (["A", "A"], ["2", "1"])),
    ],
    ids=["by name", "by settings"],
)
def test_backtests_that_threads_started_in_another_order(
    left: tuple[list[str], list[str]], right: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    first, second = Recorded([price(1.0)], analysis={"sharpe": "1"}), Recorded([price(2.0)], analysis={"sharpe": "2"})
    runs = []
    for name, two in (("left", (first, second)), ("right", (second, first))):
        run, other = two[0].run(tmp_path / name), two[1].run(tmp_path / f"{name}-2")
        (other.folder / "answers-1.zst").rename(run.folder / "answers-2.zst")
        runs.append(Run(replace(run.outcome, backtests=[*run.outcome.backtests, *other.outcome.backtests]), run.folder))
    assert compare_runs(with_names(runs[0], *left), with_names(runs[1], *right)).identical


def test_a_name_with_the_time_is_the_only_difference(tmp_path: Path) -> None:
    runs = [with_names(Recorded().run(tmp_path / name), [name]) for name in ("Mine 10:01", "Mine 10:02")]
    found = compare_runs(*runs)
    (difference,) = found.differences
    assert (difference.kind, difference.left, difference.right) == ("backtests", "Mine 10:01", "Mine 10:02")
    assert found.caused_by_script
