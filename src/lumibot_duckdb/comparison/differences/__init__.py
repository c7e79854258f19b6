"""Finds the differences between two runs of a script in all that was recorded of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lumibot_duckdb.comparison.differences.answers import AnswerComparison
from lumibot_duckdb.comparison.differences.causes import Cause, causes_of, counts_of
from lumibot_duckdb.comparison.differences.difference import LISTED, MISSING, Difference, in_order, truncated
from lumibot_duckdb.comparison.differences.inputs import input_differences
from lumibot_duckdb.comparison.differences.pairing import paired
from lumibot_duckdb.comparison.differences.tables import (
    count_orders,
    count_rows,
    file_differences,
    statistic_differences,
    table_differences,
)
from lumibot_duckdb.comparison.outcome import (
    Backtest,
    Outcome,
    answers_file,
    charts_file,
    inputs_folder,
    messages_file,
    orders_file,
)

__all__ = ["MISSING", "Cause", "Comparison", "Difference", "Run", "compare_runs", "counts_of", "paired"]


@dataclass(frozen=True)
class Run:
    """A run that succeeded: its outcome, and the folder with its recordings."""

    outcome: Outcome
    folder: Path


@dataclass(frozen=True)
class Comparison:
    """How much was compared, counted in the first of the two runs, and the differences in chronological order.

    `counts` has the number of differences of each kind, including those that are not in `differences`. `idle` names the
    backtests that made no request and filled no order. `failures` are the names of backtests that an error stopped,
    with the error. At `reordered` times of the backtests, the same requests were made in another order.
    """

    fills: int
    fees: float
    values: int
    frames: int
    answers: int
    differences: list[Difference]
    counts: dict[str, int]
    orders: int = 0
    chart_points: int = 0
    idle: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    reordered: int = 0

    @property
    def identical(self) -> bool:
        """Whether no difference was found."""
        return not self.differences

    @cached_property
    def causes(self) -> list[Cause]:
        """The differences, grouped by their causes."""
        return causes_of(self.differences)

    @property
    def caused_by_script(self) -> bool:
        """Whether the script was the first to differ, although it had received identical data until then."""
        if self.identical:
            return False
        return self.differences[0].is_caused_by_script


def compare_runs(left: Run, right: Run) -> Comparison:
    """Compare the recordings of two runs, backtest by backtest."""
    found: list[Difference] = []
    counts: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    idle: list[str] = []
    numbers = paired(left.outcome.backtests, right.outcome.backtests)
    for number, other in numbers:
        if number is None or other is None:
            continue
        theirs, ours = left.outcome.backtests[number], right.outcome.backtests[other]
        if not theirs.ended or not ours.ended:
            continue
        answered = AnswerComparison(theirs.name, (answers_file(left.folder, number), answers_file(right.folder, other)))
        kinds = {
            **{kind: [each for each in answered.differences if each.kind == kind] for kind in answered.counts},
            **_result_differences(theirs, ours, (left.folder, number), (right.folder, other)),
        }
        if not answered.differences:
            inputs = inputs_folder(left.folder, number), inputs_folder(right.folder, other)
            kinds["input"] = list(input_differences(theirs.name, *inputs))
        totals["frames"] += answered.frames
        totals["answers"] += answered.others
        totals["reordered"] += answered.reordered
        totals["orders"] += count_orders(orders_file(left.folder, number))
        totals["chart_points"] += count_rows(charts_file(left.folder, number))
        if not (answered.frames or answered.others or theirs.fills):
            idle.append(theirs.name)
        for kind, differences in kinds.items():
            counts[kind] += answered.counts.get(kind, len(differences))
            found += differences[:LISTED]
    found += _unpaired(left.outcome.backtests, right.outcome.backtests, numbers)
    return Comparison(
        fills=sum(len(backtest.fills) for backtest in left.outcome.backtests),
        fees=sum(backtest.fees for backtest in left.outcome.backtests),
        values=sum(len(backtest.values.rows) for backtest in left.outcome.backtests),
        frames=totals["frames"],
        answers=totals["answers"],
        differences=in_order(found),
        counts={kind: count for kind, count in counts.items() if count},
        orders=totals["orders"],
        chart_points=totals["chart_points"],
        idle=idle,
        failures=[(each.name, each.failure) for each in left.outcome.backtests if each.failure is not None],
        reordered=totals["reordered"],
    )


def _result_differences(
    theirs: Backtest, ours: Backtest, left: tuple[Path, int], right: tuple[Path, int]
) -> dict[str, list[Difference]]:
    """Compare what two backtests did and what became of it. `left` and `right` are folders and numbers of backtests."""
    name = theirs.name
    return {
        "trade": list(table_differences(name, "trade", theirs.events, ours.events)),
        "order": list(file_differences(name, "order", orders_file(*left), orders_file(*right))),
        "portfolio": list(table_differences(name, "portfolio", theirs.values, ours.values)),
        "chart": list(file_differences(name, "chart", charts_file(*left), charts_file(*right))),
        "message": list(file_differences(name, "message", messages_file(*left), messages_file(*right))),
        "analysis": list(statistic_differences(name, theirs.analysis, ours.analysis)),
        "failure": list(_failures(theirs, ours)),
    }


def _failures(theirs: Backtest, ours: Backtest) -> Iterator[Difference]:
    if theirs.failure != ours.failure:
        ends = ["ended without an error" if each.failure is None else each.failure for each in (theirs, ours)]
        yield Difference("failure", theirs.name, "", "", "how the backtest ended", *truncated(*ends))


def _unpaired(
    left: Sequence[Backtest], right: Sequence[Backtest], numbers: Sequence[tuple[int | None, int | None]]
) -> Iterator[Difference]:
    for number, other in numbers:
        theirs = left[number].name if number is not None else MISSING
        ours = right[other].name if other is not None else MISSING
        if theirs != ours:
            yield Difference("backtests", theirs, "", "", "the strategy of a backtest", theirs, ours)
