"""The report of a comparison, as plain text and as table rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from lumibot_duckdb.activation.activation import LUMIBOT_MODULES
from lumibot_duckdb.comparison.comparison import Result
from lumibot_duckdb.comparison.differences import Cause, Comparison, Difference, counts_of
from lumibot_duckdb.comparison.differences.difference import BARS, COLUMNS, DTYPES, HOLDER, LISTED, VALUES
from lumibot_duckdb.comparison.meters import PHASES, Costs
from lumibot_duckdb.comparison.runner import NAMES
from lumibot_duckdb.comparison.tables import cost_row, indented, side_by_side
from lumibot_duckdb.comparison.truncate import truncate
from lumibot_duckdb.sources.shared.switch import USE_DUCKDB

KINDS = {
    "backtests": ("backtest", "backtests"),
    "frame": ("frame", "frames"),
    "dtypes": ("frame (only its dtypes)", "frames (only their dtypes)"),
    "answer": ("price, quote or other answer", "prices, quotes and other answers"),
    "request": ("request", "requests"),
    "input": ("difference in Lumibot's own record", "differences in Lumibot's own record"),
    "trade": ("trade event", "trade events"),
    "order": ("order", "orders"),
    "portfolio": ("portfolio value", "portfolio values"),
    "chart": ("chart point", "chart points"),
    "message": ("number of log messages", "numbers of log messages"),
    "analysis": ("statistic", "statistics"),
    "failure": ("end of a backtest", "ends of backtests"),
}
COST_HEADERS = ("", "Lumibot", "lumibot-duckdb", "")
_ASPECTS = {
    VALUES: "other values",
    BARS: "other bars",
    COLUMNS: "other columns",
    DTYPES: "other dtypes",
    HOLDER: "another object around the bars",
}
_CAUSES_SHOWN = 10
"""Causes that are printed."""
_MEGABYTE = 1e6
_SHORTEST_PHASE = 0.05
"""Phases shorter than this (in seconds) are not listed."""


def costs_of(result: Result) -> list[list[str]]:
    """Return rows of (label, Lumibot's cost, ours, ratio), as medians of all runs."""
    rows = [
        *time_and_memory(result),
        _row("requests to providers", result, lambda costs: sum(costs.requests.values()), ",.0f"),
        _row("MB on disk, the whole cache", result, lambda costs: costs.disk_after / _MEGABYTE, ",.1f"),
        _row("- written by this run", result, _written, ",.1f"),
    ]
    return [row for row in rows if row[:1] != ["- written by this run"] or row[1:3] != ["0.0", "0.0"]]


def time_and_memory(result: Result) -> list[list[str]]:
    """Return the rows of `costs_of` without requests and disk space."""
    return [
        _row("seconds", result, lambda costs: costs.seconds, ",.1f"),
        *(
            _row(f"- {phase}", result, lambda costs, phase=phase: costs.phases[phase], ",.2f")  # type: ignore[misc]
            for phase in PHASES
            if max(medians(result, lambda costs, phase=phase: costs.phases[phase])) > _SHORTEST_PHASE  # type: ignore[misc]
        ),
        _row("seconds of CPU", result, lambda costs: costs.cpu_seconds, ",.1f"),
        _row("MB of peak memory", result, lambda costs: costs.peak_bytes / _MEGABYTE, ",.0f"),
    ]


def medians(result: Result, measure: Callable[[Costs], float]) -> tuple[float, float]:
    """Return the median of a measure over all runs, for each side."""
    theirs, ours = ([measure(run.outcome.costs) for run in runs] for runs in (result.lumibot, result.duckdb))
    return median(theirs), median(ours)


def _row(what: str, result: Result, measure: Callable[[Costs], float], style: str) -> list[str]:
    return cost_row(what, *medians(result, measure), style)


def _written(costs: Costs) -> float:
    return max(costs.disk_after - costs.disk_before, 0) / _MEGABYTE


def cost_table(result: Result) -> str:
    """Return the costs as a plain-text table."""
    return side_by_side(costs_of(result), COST_HEADERS)


def verdict(result: Result) -> str:
    """Return one line on whether the results are identical, and what was compared."""
    if refusal := _refusal(result):
        return f"Nothing compared: {refusal}"
    comparison = result.comparison
    if not comparison.identical:
        return f"NOT identical. Different: {differing(comparison)}."
    found = f"identical: {compared(comparison)}"
    if comparison.failures:
        failures = "; ".join(f"{name}, {failure}" for name, failure in comparison.failures)
        count = len(comparison.failures)
        what = (
            "The backtest"
            if count == len(result.reference.outcome.backtests) == 1
            else counted(count, *KINDS["backtests"])
        )
        return f"{what} failed on both storages: {failures}. Everything else is {found}"
    doubts = ["a repeated run was not"] if result.differing_runs else []
    if result.unfinished:
        doubts.append(f"not compared, because the script ended first: {', '.join(result.unfinished)}")
    return f"{found}; but {', and '.join(doubts)}" if doubts else found


def _refusal(result: Result) -> str | None:
    """Return why nothing was compared; None if something was."""
    theirs, ours = result.reference.outcome.backtests, result.duckdb[0].outcome.backtests
    if not theirs and not ours:
        return "the script ran no backtest."
    if result.unchecked:
        return (
            f"both sides ran on the store, because the script or its .env file sets {USE_DUCKDB}. Remove that setting, "
            f"so that compare can control it. Ran on the store twice: {', '.join(result.unchecked)}"
        )
    if not any(backtest.covered and backtest.ended for backtest in ours):
        if result.unfinished:
            return f"the script ended before its backtests: {', '.join(result.unfinished)}. Let it wait for them."
        return "no backtest of the script ran on lumibot-duckdb. Both runs used Lumibot's storage."
    return None


def compared(comparison: Comparison) -> str:
    """Return how much was compared."""
    fills = f"{counted(comparison.fills, 'fill', 'fills')} with fees of {comparison.fees:,.2f}"
    return (
        f"{fills}, {counted(comparison.values, *KINDS['portfolio'])}, "
        f"{counted(comparison.frames, *KINDS['frame'])}, {counted(comparison.answers, *KINDS['answer'])}, "
        f"{counted(comparison.orders, *KINDS['order'])}, {counted(comparison.chart_points, *KINDS['chart'])}"
    )


def differing(comparison: Comparison) -> str:
    """Return how much differs."""
    if not comparison.counts:
        return "the backtests themselves"
    return ", ".join(counted(count, *KINDS[kind]) for kind, count in comparison.counts.items())


def uncovered_notes(result: Result) -> list[str]:
    """Return notes on backtests that were not compared: on Lumibot's storage on both sides, or in other processes."""
    notes = [f"{source} {_why_uncovered(source)}" for source in result.uncovered]
    runs = (result.reference, *result.lumibot, *result.duckdb)
    if forked := list(dict.fromkeys(name for run in runs for name in run.outcome.forked)):
        notes.append(
            "Not compared, because they ran in processes that the script started: "
            f"{truncate(', '.join(forked))}. To compare them, let the script run them in its own process."
        )
    return notes


def _why_uncovered(source: str) -> str:
    module, _, name = source.rpartition(".")
    if module.startswith("lumibot_duckdb."):
        return f"ran on Lumibot's storage on both sides, because {USE_DUCKDB}=false or use_duckdb=False is set."
    if LUMIBOT_MODULES.get(name) == module:
        return (
            "was Lumibot's own class on both sides, because the script called deactivate() or got the class from "
            "Lumibot's internals."
        )
    return "has no counterpart in lumibot-duckdb, so its backtests ran on Lumibot's own class on both sides."


def differences_text(result: Result) -> str:
    """Return the causes of all differences, each with its first difference and the first of each other kind."""
    comparison = result.comparison
    shown = comparison.causes[:_CAUSES_SHOWN]
    blocks = [_cause_text(number, len(comparison.causes), cause) for number, cause in enumerate(shown, start=1)]
    if len(shown) < len(comparison.causes):
        blocks.append(f"and {len(comparison.causes) - len(shown):,} more causes, which --html FILE and --json list")
    return "\n\n".join([*blocks, *filter(None, [listed(comparison)])])


def _cause_text(number: int, count: int, cause: Cause) -> str:
    lines = [f"Cause {number:,} of {count:,}: {cause_title(cause)} {cause_counts(cause)}"]
    lines += ["The first difference:", indented(difference_text(cause.first))]
    kinds = {cause.first.kind}
    for difference in cause.differences:
        if difference.kind not in kinds:
            kinds.add(difference.kind)
            lines += [f"The first of the {KINDS[difference.kind][1]}:", indented(difference_text(difference))]
    return "\n".join(lines)


def cause_title(cause: Cause) -> str:
    """Return what differs first: "Mine, SPY: other values"."""
    first = cause.first
    if first.kind in ("frame", "dtypes", "answer", "input"):
        what = _ASPECTS[first.aspect]
    else:
        what = f"a different {KINDS[first.kind][0]}"
    return f"{', '.join(filter(None, [first.backtest, first.subject]))}: {what}"


def cause_counts(cause: Cause) -> str:
    """Return how many differences show a cause, and how many follow from it: "in 4 frames; then 2 orders"."""
    shown = f"in {_counts_text(cause.shown_in)}"
    return f"{shown}; then {_counts_text(cause.effects)}" if cause.effects else shown


def _counts_text(differences: Sequence[Difference]) -> str:
    return ", ".join(counted(count, *KINDS[kind]) for kind, count in counts_of(differences).items())


def listed(comparison: Comparison) -> str:
    """Return which of the differences are listed and grouped; "" if all are."""
    found, total = len(comparison.differences), sum(comparison.counts.values())
    return f"Grouped are {found:,} of {total:,} differences, the first {LISTED} of each kind." if total > found else ""


def differing_runs_text(result: Result) -> str:
    """Return the first differences of runs that differ from the first run on the same side."""
    lines = []
    for run in result.differing_runs:
        lines.append(f"Run {run.number} on {NAMES[run.side]} differs from its own first run:")
        lines.append(indented(difference_text(run.difference, ("run 1", f"run {run.number}"))))
    return "\n".join(lines)


def difference_text(difference: Difference, sides: tuple[str, str] = ("Lumibot", "lumibot-duckdb")) -> str:
    """Return a difference with both values, each on a separate line."""
    where = ", ".join(filter(None, [difference.when, difference.subject]))
    width = max(map(len, sides))
    return "\n".join(
        [
            f"{difference.backtest}, {where or KINDS[difference.kind][0]}",
            f"{difference.place}",
            f"  {sides[0]:<{width}}  {difference.left}",
            f"  {sides[1]:<{width}}  {difference.right}",
        ]
    )


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun, such as "1 fill" or "2 fills"."""
    return f"{number:,} {one if number == 1 else many}"
