"""What is said of two runs: identical only when each side ran on its own storage, and to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from comparison.test_differences import EVENT, Recorded, asked, bars, price
from lumibot_duckdb.comparison import summary
from lumibot_duckdb.comparison.differences import Run, compare_runs
from lumibot_duckdb.comparison.page import report_page
from lumibot_duckdb.comparison.trial import RUN_TO_RUN, Result, notes_on_comparison, said_of_a_difference

LUMIBOTS = "lumibot.backtesting.yahoo_backtesting.YahooDataBacktesting"
OURS = "lumibot_duckdb.backtesting.yahoo.YahooDataBacktesting"


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
    said = "Nothing compared: both sides ran on the store, since the script or its .env file sets LUMIBOT_USE_DUCKDB"
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
        (OURS, "ran on Lumibot's storage on both sides, since LUMIBOT_USE_DUCKDB=false or use_duckdb=False says so."),
        (LUMIBOTS, "was Lumibot's own class on both sides, since the script called deactivate()"),
        ("lumibot.backtesting.thetadata_backtesting.ThetaData", "is not replaced by lumibot-duckdb"),
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
        "The backtest failed on both storages: Mine 0, KeyError: 'mine'. All else is identical: 1 fill"
    )


def test_an_error_on_one_side(theirs: Run, ours: Run) -> None:
    found = result(theirs, changed(ours, failure="KeyError: 'mine'"))
    assert summary.verdict(found) == "NOT identical. Different: 1 end of a backtest."
    (difference,) = found.comparison.differences
    assert (difference.left, difference.right) == ("came to its end", "KeyError: 'mine'")


def test_a_backtest_that_the_script_did_not_wait_for(theirs: Run, ours: Run) -> None:
    found = result(changed(theirs, ended=False), changed(ours, ended=False))
    assert not found.identical
    assert summary.verdict(found) == (
        "Nothing compared: the script ended before its backtests: Mine 0. Let it wait for their ends."
    )


def test_one_of_two_backtests_that_the_script_did_not_wait_for(tmp_path: Path) -> None:
    runs = [changed(Recorded(count=2).run(tmp_path / name), covered=name == "ours") for name in ("theirs", "ours")]
    for run in runs:
        run.outcome.backtests[1] = replace(run.outcome.backtests[1], ended=False)
    found = result(*runs)
    assert not found.identical
    assert summary.verdict(found).endswith("; but not compared, since the script ended first: Mine 1")


def test_backtests_in_other_processes_are_named(theirs: Run, ours: Run) -> None:
    both = (Run(replace(run.outcome, elsewhere=["Child 1", "Child 2"]), run.folder) for run in (theirs, ours))
    (note,) = summary.uncovered_notes(result(*both))
    assert note.startswith("Not compared, since they ran in processes that the script started: Child 1, Child 2. ")


def test_a_strategy_that_asked_for_nothing_and_traded_nothing_is_named(tmp_path: Path) -> None:
    nothing = Recorded([], events=[])
    found = result(changed(nothing.run(tmp_path / "theirs"), covered=False), nothing.run(tmp_path / "ours"))
    assert found.identical
    assert summary.verdict(found).startswith("identical: 0 fills with")
    (note,) = notes_on_comparison(found.comparison)
    assert note.startswith("Mine 0 asked for no bars, prices or quotes, and no order was filled: ")


# -- where a difference comes from ------------------------------------------------------------------------------------

OTHER_PRICE = [asked(bars()), price(470.51)]
LARGER = [{**EVENT, "filled_quantity": "7"}]
STEADY = [{**EVENT, "filled_quantity": "5"}]
SMALLER = [{**EVENT, "filled_quantity": "3"}]


def said(folder: Path, *recorded: Recorded) -> str:
    return said_of_a_difference(*(each.run(folder / str(number)) for number, each in enumerate(recorded)))


def test_a_script_that_differs_from_run_to_run(tmp_path: Path) -> None:
    runs = (Recorded(events=each) for each in (STEADY, LARGER, SMALLER))
    shown = f"{EVENT['time']}, SPY, number 1: buy fill, filled_quantity was 5 and became 7."
    assert said(tmp_path, *runs) == f"{RUN_TO_RUN} Two runs on Lumibot's storage: {shown}"


def test_a_difference_of_storages(tmp_path: Path) -> None:
    found = said(tmp_path, Recorded(), Recorded(), Recorded(OTHER_PRICE))
    assert found.endswith("is filled from the store, and gives the same as before then.")


def test_a_difference_of_caches(tmp_path: Path) -> None:
    found = said(tmp_path, Recorded(OTHER_PRICE), Recorded(), Recorded())
    assert "either its own cache has other bars than the store" in found


def test_a_difference_that_may_be_of_both(tmp_path: Path) -> None:
    found = said(tmp_path, Recorded(OTHER_PRICE), Recorded(), Recorded([asked(bars()), price(470.52)]))
    assert "but from its own first run as well: 2024-01-02T09:45:00-05:00, SPY, get_last_price(SPY) was 470.51" in found
    assert "--repeat 2 shows which" in found


@pytest.mark.parametrize("column", ["price", "time"])
def test_another_fill_is_not_put_down_to_the_script(column: str, tmp_path: Path) -> None:
    runs = (Recorded(events=[{**EVENT, column: each}]) for each in ("2024-01-03", "2024-01-04", "2024-01-05"))
    assert RUN_TO_RUN not in said(tmp_path, *runs)


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
    assert found.by_the_script
