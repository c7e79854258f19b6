"""What `sweep` prints when it begins, and at its end."""

from __future__ import annotations

import shlex
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.layout import count, printable, table, terminal_width
from lumibot_duckdb.comparison.trading_statistics import style_of, value_text

if TYPE_CHECKING:
    from lumibot_duckdb.results.records import TrialRecord
    from lumibot_duckdb.sweeps.plan import SweepPlan
    from lumibot_duckdb.sweeps.report import SweepReport
    from lumibot_duckdb.sweeps.sweep import Sweep
    from lumibot_duckdb.sweeps.sweep_run import SweepRun

_BEST = 10
_REASONS = 5
_WIDTH = 100
_FIXED = "\N{NO-BREAK SPACE}"
_SHOWN = ("total_return", "sharpe", "max_drawdown", "closed_trades")
"""The statistics that are shown beside the objective."""


def beginning(plan: SweepPlan, run: SweepRun) -> str:
    """Return the line that says what begins."""
    how_many = "trials" if run.total is None else count(run.total, "trial")
    line = f"Sweep {run.record.name}: {how_many} of {run.record.strategy}, {plan.jobs} at a time"
    if run.standing.done:
        line += f"; {run.standing.done:,} are stored already"
    first = "\nA first trial runs alone, and downloads what is missing" if run.downloads else ""
    return f"{printable(line)}{first}"


def summary(sweep: Sweep) -> str:
    """Return what a sweep has found and whether it is luck, and write the report."""
    from lumibot_duckdb.sweeps.report.stored import stored_report

    records = sweep.records
    trials = [each for each in records.values() if each.phase != "joined"]
    is_walk_forward = any(each.phase for each in trials)
    report = stored_report(sweep.database, sweep.name)
    lines = [_counts(trials), *_reasons(trials), ""]
    lines += _windows(sweep, records) if is_walk_forward else _best(sweep, records)
    lines += [*_luck(report), "", *_places(sweep, report)]
    return "\n".join(lines)


def _luck(report: SweepReport) -> list[str]:
    """Return whether the result may be luck: the tests of a walk-forward sweep, or the best trial of another one."""
    from lumibot_duckdb.sweeps.overfitting.verdict import out_of_sample_verdict, verdict

    if report.walk_forward is not None:
        tested = report.assessment_of_tests
        found = out_of_sample_verdict(tested) if tested else None
    else:
        found = verdict(report.assessment) if report.assessment else None
    if found is None:
        return []
    paragraph = f"{'Warning: ' if found.mood == 'bad' else ''}{found.headline} {' '.join(found.sentences)}"
    lines = textwrap.wrap(paragraph.replace(" %", f"{_FIXED}%"), _WIDTH)
    return ["", *(line.replace(_FIXED, " ") for line in lines)]


def _places(sweep: Sweep, report: SweepReport) -> list[str]:
    """Write the report, and return where it is and where the results are."""
    from lumibot_duckdb.sweeps.report import write_report

    show = shlex.join(["lumibot-duckdb", "results", "show", sweep.name, "--results", str(sweep.path)])
    lines = [f"The results are in {printable(str(sweep.path))}:", f"  {printable(show)}"]
    try:
        return [*lines, f"The report is in {printable(str(write_report(report, sweep.report_path)))}."]
    except OSError as error:
        reason = f"{printable(str(sweep.report_path))} cannot be written ({error.strerror})"
        return [*lines, f"There is no report: {reason}."]


def _counts(trials: Sequence[TrialRecord]) -> str:
    counts = Counter(each.status for each in trials)
    return (
        f"{count(len(trials), 'trial')}: {', '.join(f'{number:,} {status}' for status, number in counts.most_common())}"
    )


def _reasons(trials: Iterable[TrialRecord]) -> list[str]:
    """Return the most frequent reasons for failures."""
    reasons = Counter((each.status, each.error or "no reason is known") for each in trials if each.status != "complete")
    lines = [f"  {number:,} {status}: {printable(error)}" for (status, error), number in reasons.most_common(_REASONS)]
    left = len(reasons) - len(lines)
    return [*lines, f"  and {count(left, 'other reason')}"] if left else lines


def _best(sweep: Sweep, records: Mapping[int, TrialRecord]) -> list[str]:
    """Return the best trials as a table."""
    ranked = sweep.ranked(records)[:_BEST]
    if not ranked:
        return [f"No trial has a value of {sweep.objective.name}."]
    best = records[ranked[0]]
    objective = sweep.objective
    title = f"The best {objective.name} ({objective.direction}d) is {_value(objective.name, best.objective)}:"
    names = [name for name in _SHOWN if name != sweep.objective.name]
    header = ["trial", *sweep.searched, sweep.objective.name, *names]
    rows = [
        [str(number), *_values(sweep, records[number]), _value(sweep.objective.name, records[number].objective)]
        + [_value(name, records[number].statistics.get(name)) for name in names]
        for number in ranked
    ]
    return [title, _table(header, rows)]


def _windows(sweep: Sweep, records: Mapping[int, TrialRecord]) -> list[str]:
    """Return the windows of a walk-forward sweep as a table, with what they amount to."""
    tests = {each.window: (number, each) for number, each in records.items() if each.phase == "out-of-sample"}
    windows = sorted({each.window for each in records.values() if each.window is not None})
    name = sweep.objective.name
    rows = []
    for window in windows:
        searched = {number: each for number, each in records.items() if each.window == window}
        ranked = sweep.ranked({number: each for number, each in searched.items() if each.phase == "in-sample"})
        if not ranked:
            rows.append([str(window), "", *([""] * len(sweep.searched)), "", "", ""])
            continue
        best = searched[ranked[0]]
        number, test = tests.get(window, (None, None))
        rows.append(
            [
                str(window),
                "" if number is None else str(number),
                *_values(sweep, best),
                _value(name, best.objective),
                "" if test is None else _value(name, test.objective),
                "" if test is None else _value("total_return", test.statistics.get("total_return")),
            ]
        )
    header = ["window", "trial", *sweep.searched, f"{name} in sample", "out of sample", "return out of sample"]
    return [_table(header, rows), *_joined(sweep, records)]


def _joined(sweep: Sweep, records: Mapping[int, TrialRecord]) -> list[str]:
    joined = next((each for each in records.values() if each.phase == "joined"), None)
    if joined is None:
        return []
    if joined.error:
        return ["", f"The windows are not joined: {joined.error}"]
    names = dict.fromkeys((sweep.objective.name, *_SHOWN))
    values = [
        f"{name} {_value(name, joined.objective if name == sweep.objective.name else joined.statistics.get(name))}"
        for name in names
    ]
    lines = ["", f"All windows joined, out of sample: {', '.join(values)}"]
    for each in sweep.stability:
        (value, most), windows = each.counts[0], sum(number for _, number in each.counts)
        changes = count(each.changes, "change")
        lines.append(printable(f"  {each.name}: {value} in {most} of {windows} windows, {changes}"))
    return lines


def _values(sweep: Sweep, record: TrialRecord) -> list[str]:
    return [str(record.parameters.get(name)) for name in sweep.searched]


def _value(name: str, value: float | None) -> str:
    """Return the value of a statistic as people read it; "" if it has none."""
    return "" if value is None else value_text(value, style_of(name))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return table(header, rows, [True] * len(header), terminal_width())
