"""Where two runs of a script differ: the first answer, trade, portfolio value or statistic, with both values."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from lumibot_duckdb.comparison.answers import Answer, Frame, Mark, complete, read_answers, read_frame
from lumibot_duckdb.comparison.outcome import Backtest, Outcome, Table, answers_file, inputs_folder

MISSING = "nothing"
_LISTED = 25
"""Differing answers that are listed; the others are counted."""
# The order in which causes come before effects at one time of a backtest.
_KINDS = ("backtests", "frame", "dtypes", "answer", "input", "trade", "portfolio", "analysis")
_AROUND = 60
"""Characters of long texts that are shown before the place where they differ."""
_LAST = datetime.max.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Run:
    """A run that ended: its outcome, and the folder with what was recorded."""

    outcome: Outcome
    folder: Path


@dataclass(frozen=True)
class Difference:
    """One place where two runs differ.

    `when` is the time of the backtest, `subject` the asset or the symbol, `place` what of it (call, bar and column),
    `left` and `right` are the values of the two runs.
    """

    kind: str
    backtest: str
    when: str
    subject: str
    place: str
    left: str
    right: str


@dataclass(frozen=True)
class Comparison:
    """What was compared, as the first of two runs has it, and the differences, the earliest first.

    `counts` says how many there are of each kind; not all of them are in `differences`.
    """

    fills: int
    fees: float
    values: int
    frames: int
    answers: int
    differences: list[Difference]
    counts: dict[str, int]

    @property
    def identical(self) -> bool:
        """Tell whether there is no difference."""
        return not self.differences


def compare_runs(left: Run, right: Run) -> Comparison:
    """Compare everything that was recorded of two runs, backtest by backtest."""
    found: list[Difference] = []
    counts: dict[str, int] = {}
    frames = answers = 0
    for number, (theirs, ours) in enumerate(zip(left.outcome.backtests, right.outcome.backtests, strict=False)):
        given = _Given(theirs.name, (left.folder, right.folder), number)
        kinds = {
            **{kind: [each for each in given.differences if each.kind == kind] for kind in given.counts},
            "input": [] if given.differences else list(_inputs(theirs.name, left.folder, right.folder, number)),
            "trade": list(_rows(theirs.name, "trade", theirs.events, ours.events)),
            "portfolio": list(_rows(theirs.name, "portfolio", theirs.values, ours.values)),
            "analysis": list(_analysis(theirs, ours)),
        }
        frames += given.frames
        answers += given.others
        for kind, differences in kinds.items():
            total = given.counts.get(kind, len(differences))
            counts[kind] = counts.get(kind, 0) + total
            found += differences[:_LISTED]
    found += _backtests(left.outcome.backtests, right.outcome.backtests)
    return Comparison(
        fills=sum(len(backtest.fills) for backtest in left.outcome.backtests),
        fees=sum(backtest.fees for backtest in left.outcome.backtests),
        values=sum(len(backtest.values.rows) for backtest in left.outcome.backtests),
        frames=frames,
        answers=answers,
        differences=sorted(found, key=_order),
        counts={kind: count for kind, count in counts.items() if count},
    )


def _order(difference: Difference) -> tuple[datetime, int]:
    try:
        when = datetime.fromisoformat(difference.when)
    except ValueError:
        return _LAST, _KINDS.index(difference.kind)
    when = when if when.tzinfo is not None else when.replace(tzinfo=timezone.utc)
    return when, _KINDS.index(difference.kind)


def _backtests(left: Sequence[Backtest], right: Sequence[Backtest]) -> Iterator[Difference]:
    for theirs, ours in zip_longest(left, right):
        names = [MISSING if backtest is None else backtest.name for backtest in (theirs, ours)]
        if names[0] != names[1]:
            yield Difference("backtests", names[0], "", "", "the strategy of a backtest", *names)


class _Given:
    """What the strategies of two backtests were given, answer by answer."""

    def __init__(self, backtest: str, folders: tuple[Path, Path], number: int) -> None:
        self.frames = self.others = 0
        self.counts = {"frame": 0, "dtypes": 0, "answer": 0}
        self.differences: list[Difference] = []
        self._backtest = backtest
        self._files = [answers_file(folder, number) for folder in folders]
        self._compare()

    def _compare(self) -> None:
        for left, right in zip_longest(*map(read_answers, self._files)):
            if left is not None:
                self.frames += left.is_frame
                self.others += not left.is_frame
            if left is None or right is None or (left.when, left.call) != (right.when, right.call):
                # From here on the two asked for other things, which says nothing about the answers.
                self._note(self._other_question(left, right))
                self.frames, self.others = _count_kinds(self._files[0])
                return
            if left != right:
                self._look_into(left, right)

    def _look_into(self, left: Answer, right: Answer) -> None:
        if not left.is_frame or not right.is_frame:
            kind = "frame" if left.is_frame or right.is_frame else "answer"
            texts = ["a frame" if each.is_frame else each.text for each in self._completed(left, right)]
            self._note(Difference(kind, self._backtest, left.when, left.asset, left.call, *_excerpts(*texts)))
        elif self.counts["frame"] > _LISTED and any(isinstance(part, Mark) for part in (*left.parts, *right.parts)):
            self.counts["frame"] += 1  # long ones are looked up in the whole file
        elif found := _frames(*map(read_frame, self._completed(left, right))):
            kind, place, *values = found
            self._note(Difference(kind, self._backtest, left.when, left.asset, f"{left.call}, {place}", *values))

    def _completed(self, *answers: Answer) -> list[Answer]:
        return [complete(answer, file) for answer, file in zip(answers, self._files, strict=True)]

    def _other_question(self, left: Answer | None, right: Answer | None) -> Difference:
        when = min((each.when for each in (left, right) if each is not None), default="")
        asked = ["no further request" if each is None else f"{each.call} at {each.when}" for each in (left, right)]
        subject = next(each.asset for each in (left, right) if each is not None)
        return Difference("answer", self._backtest, when, subject, "what the strategy asked for", *asked)

    def _note(self, difference: Difference) -> None:
        self.counts[difference.kind] += 1
        if self.counts[difference.kind] <= _LISTED:
            self.differences.append(difference)


def _count_kinds(path: Path) -> tuple[int, int]:
    """Return how many answers of a file are frames, and how many are not."""
    frames = others = 0
    for answer in read_answers(path):
        frames += answer.is_frame
        others += not answer.is_frame
    return frames, others


def _frames(left: Frame, right: Frame) -> tuple[str, str, str, str] | None:
    """Return the kind of the first difference, its place and both values: of bars, then of values, then of dtypes."""
    if list(left.columns) != list(right.columns):
        return "frame", "columns", ", ".join(left.columns), ", ".join(right.columns)
    if not np.array_equal(left.stamps, right.stamps):
        rows = min(len(left.stamps), len(right.stamps))
        row = next((row for row in range(rows) if left.stamps[row] != right.stamps[row]), rows)
        return "frame", "bar", _bar(left, row), _bar(right, row)
    others = {name: _other_rows(left.columns[name], right.columns[name]) for name in left.columns}
    if any(len(rows) for rows in others.values()):
        row, name = min(
            ((int(rows[0]), name) for name, rows in others.items() if len(rows)), key=lambda first: first[0]
        )
        return "frame", f"bar {left.bar(row)}, {name}", left.value(name, row), right.value(name, row)
    for name, dtype in left.dtypes.items():
        if dtype != right.dtypes[name]:
            return "dtypes", f"dtype of {name}", dtype, right.dtypes[name]
    return None


def _bar(frame: Frame, row: int) -> str:
    if row >= len(frame.stamps):
        return MISSING
    return f"{frame.bar(row)} (" + ", ".join(f"{name} {frame.value(name, row)}" for name in frame.columns) + ")"


def _other_rows(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the rows in which two columns differ: not for missing values on both sides, but for the sign of a zero."""
    if left.dtype.kind != "f" and right.dtype.kind != "f":
        return np.flatnonzero(left != right)
    if "O" in (left.dtype.kind, right.dtype.kind):
        return np.arange(len(left))
    missing = np.isnan(left) & np.isnan(right)
    same = (left == right) & (np.signbit(left) == np.signbit(right))
    return np.flatnonzero(~(same | missing))


def _excerpts(left: str, right: str) -> tuple[str, str]:
    """Cut two long texts to the place where they differ."""
    if max(len(left), len(right)) <= 5 * _AROUND:
        return left, right
    same = next((n for n, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), len(left))
    start = max(same - _AROUND, 0)
    before = "…" if start else ""
    return tuple(f"{before}{text[start : same + 2 * _AROUND]}…" for text in (left, right))  # type: ignore[return-value]


def _rows(backtest: str, kind: str, left: Table, right: Table) -> Iterator[Difference]:
    """Compare tables row by row; of each row that differs, its first column that does."""
    if left.columns != right.columns and left.rows and right.rows:
        columns = [", ".join(table.columns) for table in (left, right)]
        yield Difference(kind, backtest, "", "", "columns", *columns)
        return
    table = left if left.rows else right
    for number, (theirs, ours) in enumerate(zip_longest(left.rows, right.rows), start=1):
        if theirs == ours:
            continue
        row = dict(zip(table.columns, theirs if theirs is not None else ours, strict=True))
        when, subject = row.get("time", row.get("datetime", "")), row.get("symbol", "")
        if theirs is None or ours is None:
            values = [
                MISSING if each is None else _in_words(dict(zip(table.columns, each, strict=True)))
                for each in (theirs, ours)
            ]
            yield Difference(kind, backtest, when, subject, f"number {number:,}", *values)
        else:
            name, *values = next(
                (name, *pair) for name, *pair in zip(table.columns, theirs, ours, strict=True) if pair[0] != pair[1]
            )
            side = f"{row['side']} {row['status']}, " if "side" in row and "status" in row else ""
            yield Difference(kind, backtest, when, subject, f"number {number:,}: {side}{name}", *_excerpts(*values))


def _in_words(row: dict[str, str]) -> str:
    words = ("time", "datetime", "symbol", "side", "status", "filled_quantity", "price", "portfolio_value", "cash")
    return ", ".join(f"{word} {row[word]}" for word in words if word in row)


def _analysis(left: Backtest, right: Backtest) -> Iterator[Difference]:
    for name in [*left.analysis, *(name for name in right.analysis if name not in left.analysis)]:
        values = [run.analysis.get(name, MISSING) for run in (left, right)]
        if values[0] != values[1]:
            yield Difference("analysis", left.name, "", "", name, *_excerpts(*values))


def _inputs(backtest: str, left: Path, right: Path, number: int) -> Iterator[Difference]:
    """Compare Lumibot's own record of what indicators and strategies saw; it has the first 4,096 frames."""
    folders = [inputs_folder(folder, number) for folder in (left, right)]
    observed = [_csv(folder / "market_input_observations.csv") for folder in folders]
    if observed[0] == observed[1]:
        return
    rows = [_csv(folder / "market_inputs.csv") for folder in folders]
    for theirs, ours in zip_longest(*rows):
        if theirs != ours:
            either = theirs or ours or {}
            name = next((name for name in either if (theirs or {}).get(name) != (ours or {}).get(name)), "")
            values = [MISSING if row is None else row.get(name, MISSING) for row in (theirs, ours)]
            place = f"Lumibot's own record, {either.get('timestep')} bar {either.get('barTime')}, {name}"
            yield Difference(
                "input", backtest, either.get("firstObservedAt", ""), either.get("asset", ""), place, *values
            )
            return
    for theirs, ours in zip_longest(*observed):
        if theirs != ours:
            either = theirs or ours or {}
            values = [MISSING if row is None else row.get("frameSha256", "") for row in (theirs, ours)]
            place = f"Lumibot's own record, {either.get('returnedRows')} {either.get('timestep')} bars"
            yield Difference("input", backtest, either.get("observedAt", ""), either.get("asset", ""), place, *values)
            return


def _csv(path: Path) -> list[dict[str, str]]:
    if not path.exists() or path.stat().st_size < 2:
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
