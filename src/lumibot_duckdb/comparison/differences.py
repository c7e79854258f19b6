"""Finds the differences between two runs of a script in answers, trades, portfolio values and statistics."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from lumibot_duckdb.comparison.answers import Answer, Frame, Mark, complete, plain_numbers, read_answers, read_frame
from lumibot_duckdb.comparison.outcome import (
    Backtest,
    Outcome,
    Table,
    answers_file,
    inputs_folder,
    unlimited_field_size,
)

MISSING = "nothing"
_LISTED = 25
"""Differences of each kind that are listed; the others are only counted."""
# At the same time of a backtest, causes come before their effects.
_KINDS = ("backtests", "frame", "dtypes", "answer", "request", "input", "trade", "portfolio", "analysis", "failure")
_AROUND = 60
"""Characters of a long text that are shown before the first difference."""
_ORDER_COLUMNS = ("strategy", "symbol", "side", "type", "filled_quantity")
"""Columns of trade events that the script decides; the times and prices of fills depend on bars."""
_SEQUENCES = ("sequence", "observedSequence")
_LAST = datetime.max.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Run:
    """A run that succeeded: its outcome, and the folder with its recordings."""

    outcome: Outcome
    folder: Path


@dataclass(frozen=True)
class Difference:
    """One difference between two runs.

    `when` is the time of the backtest, `subject` the asset or symbol, `place` the call, bar and column, and `left` and
    `right` are the values of the two runs.
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
    """How much was compared, counted in the first of the two runs, and the differences in chronological order.

    `counts` has the number of differences of each kind, also of those that `differences` leaves out. `idle` names the
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
    idle: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    reordered: int = 0

    @property
    def identical(self) -> bool:
        """Whether no difference was found."""
        return not self.differences

    @property
    def caused_by_script(self) -> bool:
        """Whether the script was the first to differ, although it had received identical data until then."""
        if self.identical:
            return False
        first = self.differences[0]
        ordered = first.kind == "trade" and first.place.rpartition(", ")[2] in _ORDER_COLUMNS
        return ordered or first.kind in ("backtests", "request")


def compare_runs(left: Run, right: Run) -> Comparison:
    """Compare the recordings of two runs, backtest by backtest."""
    found: list[Difference] = []
    counts: Counter[str] = Counter()
    frames = answers = reordered = 0
    idle: list[str] = []
    numbers = paired(left.outcome.backtests, right.outcome.backtests)
    for number, other in numbers:
        if number is None or other is None:
            continue
        theirs, ours = left.outcome.backtests[number], right.outcome.backtests[other]
        if not theirs.ended or not ours.ended:
            continue
        files = answers_file(left.folder, number), answers_file(right.folder, other)
        answered = _AnswerComparison(theirs.name, files)
        inputs = inputs_folder(left.folder, number), inputs_folder(right.folder, other)
        kinds = {
            **{kind: [each for each in answered.differences if each.kind == kind] for kind in answered.counts},
            "input": [] if answered.differences else list(_inputs(theirs.name, *inputs)),
            "trade": list(_rows(theirs.name, "trade", theirs.events, ours.events)),
            "portfolio": list(_rows(theirs.name, "portfolio", theirs.values, ours.values)),
            "analysis": list(_analysis(theirs, ours)),
            "failure": list(_failures(theirs, ours)),
        }
        frames += answered.frames
        answers += answered.others
        reordered += answered.reordered
        if not (answered.frames or answered.others or theirs.fills):
            idle.append(theirs.name)
        for kind, differences in kinds.items():
            counts[kind] += answered.counts.get(kind, len(differences))
            found += differences[:_LISTED]
    found += _backtests(left.outcome.backtests, right.outcome.backtests, numbers)
    return Comparison(
        fills=sum(len(backtest.fills) for backtest in left.outcome.backtests),
        fees=sum(backtest.fees for backtest in left.outcome.backtests),
        values=sum(len(backtest.values.rows) for backtest in left.outcome.backtests),
        frames=frames,
        answers=answers,
        differences=sorted(found, key=_order),
        counts={kind: count for kind, count in counts.items() if count},
        idle=idle,
        failures=[(each.name, each.failure) for each in left.outcome.backtests if each.failure is not None],
        reordered=reordered,
    )


def paired(left: Sequence[Backtest], right: Sequence[Backtest]) -> list[tuple[int | None, int | None]]:
    """Pair the numbers of backtests with the same strategy, source and settings, in the order in which they started.

    The order alone is not enough, because threads start backtests in any order. Backtests without such a counterpart
    are paired by strategy and source, and all others in order.
    """
    ours = list(range(len(right)))
    pairs: dict[int, int] = {}
    for key in (_exactly, _by_name, lambda backtest: None):
        for number, backtest in enumerate(left):
            other = next((each for each in ours if number not in pairs and key(right[each]) == key(backtest)), None)
            if other is not None:
                pairs[number] = other
                ours.remove(other)
    return [*((number, pairs.get(number)) for number in range(len(left))), *((None, number) for number in ours)]


def _exactly(backtest: Backtest) -> tuple[str, ...]:
    return *_by_name(backtest), backtest.settings


def _by_name(backtest: Backtest) -> tuple[str, ...]:
    return backtest.name, backtest.source.rpartition(".")[2]


def _order(difference: Difference) -> tuple[datetime, int]:
    try:
        when = datetime.fromisoformat(difference.when)
    except ValueError:
        return _LAST, _KINDS.index(difference.kind)
    when = when if when.tzinfo is not None else when.replace(tzinfo=timezone.utc)
    return when, _KINDS.index(difference.kind)


def _backtests(
    left: Sequence[Backtest], right: Sequence[Backtest], numbers: Sequence[tuple[int | None, int | None]]
) -> Iterator[Difference]:
    for number, other in numbers:
        theirs = left[number].name if number is not None else MISSING
        ours = right[other].name if other is not None else MISSING
        if theirs != ours:
            yield Difference("backtests", theirs, "", "", "the strategy of a backtest", theirs, ours)


def _failures(theirs: Backtest, ours: Backtest) -> Iterator[Difference]:
    if theirs.failure != ours.failure:
        ends = ["ended without an error" if each.failure is None else each.failure for each in (theirs, ours)]
        yield Difference("failure", theirs.name, "", "", "how the backtest ended", *_truncated(*ends))


class _AnswerComparison:
    """Compares the answers that the strategies of two backtests received.

    Threads of a strategy make requests in any order, so answers at the same time of the backtest are matched by their
    requests.
    """

    def __init__(self, backtest: str, files: tuple[Path, Path]) -> None:
        self.frames = self.others = self.reordered = 0
        self.counts = {"frame": 0, "dtypes": 0, "answer": 0, "request": 0}
        self.differences: list[Difference] = []
        self._backtest = backtest
        self._files = files
        self._compare()

    def _compare(self) -> None:
        for left, right in zip_longest(*map(_by_time, self._files), fillvalue=[]):
            for answer in left:
                self.frames += answer.is_frame
                self.others += not answer.is_frame
            if not self._compare_one_time(left, right):
                # From here on the strategies make different requests, so their answers cannot be compared.
                self.frames, self.others = _count_kinds(self._files[0])
                return

    def _compare_one_time(self, left: list[Answer], right: list[Answer]) -> bool:
        """Compare the answers of one time of the backtest; return whether both sides made the same requests."""
        in_order = list(map(_request_key, left)) == list(map(_request_key, right))
        matched, *others = (list(zip(left, right, strict=True)), [], []) if in_order else _matched(left, right)
        self.reordered += not in_order and not any(others)
        for pair in matched:
            if pair[0] != pair[1]:
                self._compare_pair(*pair)
        if any(others):
            self._note(self._request_difference(*(next(iter(answers), None) for answers in others)))
        return not any(others)

    def _compare_pair(self, left: Answer, right: Answer) -> None:
        if not left.is_frame or not right.is_frame:
            kind = "frame" if left.is_frame or right.is_frame else "answer"
            texts = ["a frame" if each.is_frame else each.text for each in self._completed(left, right)]
            if plain_numbers(texts[0]) != plain_numbers(texts[1]):
                texts = list(map(plain_numbers, texts))
            self._note(Difference(kind, self._backtest, left.when, left.asset, left.call, *_truncated(*texts)))
        elif self.counts["frame"] > _LISTED and any(isinstance(part, Mark) for part in (*left.parts, *right.parts)):
            self.counts["frame"] += 1  # finding the difference in a long frame takes a scan of the whole file
        elif found := _frames(*map(read_frame, self._completed(left, right))):
            kind, place, *values = found
            self._note(Difference(kind, self._backtest, left.when, left.asset, f"{left.call}, {place}", *values))

    def _completed(self, *answers: Answer) -> list[Answer]:
        return [complete(answer, file) for answer, file in zip(answers, self._files, strict=True)]

    def _request_difference(self, left: Answer | None, right: Answer | None) -> Difference:
        when = min((each.when for each in (left, right) if each is not None), default="")
        requests = ["no further request" if each is None else f"{each.call} at {each.when}" for each in (left, right)]
        subject = next(each.asset for each in (left, right) if each is not None)
        return Difference("request", self._backtest, when, subject, "the strategy's request", *requests)

    def _note(self, difference: Difference) -> None:
        self.counts[difference.kind] += 1
        if self.counts[difference.kind] <= _LISTED:
            self.differences.append(difference)


def _by_time(path: Path) -> Iterator[list[Answer]]:
    """Read the answers of a file, grouped by the time of the backtest."""
    return (list(answers) for _, answers in groupby(read_answers(path), lambda answer: answer.when))


def _request_key(answer: Answer) -> tuple[str, str, str]:
    return answer.when, answer.call, answer.asset


def _matched(
    left: Sequence[Answer], right: Sequence[Answer]
) -> tuple[list[tuple[Answer, Answer]], list[Answer], list[Answer]]:
    """Match answers to the same request, equal ones first. Also return the unmatched answers of both sides."""
    by_request: dict[tuple[str, str, str], list[Answer]] = {}
    for answer in right:
        by_request.setdefault(_request_key(answer), []).append(answer)
    matched, waiting = [], list(left)
    for only_equal in (True, False):
        for answer in list(waiting):
            counterparts = by_request.get(_request_key(answer), [])
            other = next((each for each in counterparts if each == answer or not only_equal), None)
            if other is not None:
                matched.append((answer, other))
                waiting.remove(answer)
                counterparts.remove(other)
    return matched, waiting, [answer for answers in by_request.values() for answer in answers]


def _count_kinds(path: Path) -> tuple[int, int]:
    """Return how many answers of a file are frames, and how many are not."""
    frames = others = 0
    for answer in read_answers(path):
        frames += answer.is_frame
        others += not answer.is_frame
    return frames, others


def _frames(left: Frame, right: Frame) -> tuple[str, str, str, str] | None:
    """Return the kind, the place and both values of the first difference: in bar times, in values, or in dtypes."""
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
    """Return the rows in which two columns differ. NaN equals NaN, but 0.0 and -0.0 differ."""
    if left.dtype.kind != "f" and right.dtype.kind != "f":
        return np.flatnonzero(left != right)
    if "O" in (left.dtype.kind, right.dtype.kind):
        return np.arange(len(left))
    missing = np.isnan(left) & np.isnan(right)
    same = (left == right) & (np.signbit(left) == np.signbit(right))
    return np.flatnonzero(~(same | missing))


def _truncated(left: str, right: str) -> tuple[str, str]:
    """Cut two long texts to the part around their first difference."""
    if max(len(left), len(right)) <= 5 * _AROUND:
        return left, right
    same = next((n for n, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), len(left))
    start = max(same - _AROUND, 0)
    before = "…" if start else ""
    return tuple(f"{before}{text[start : same + 2 * _AROUND]}…" for text in (left, right))  # type: ignore[return-value]


def _rows(backtest: str, kind: str, left: Table, right: Table) -> Iterator[Difference]:
    """Compare tables row by row; yield the first differing column of each differing row."""
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
                MISSING if each is None else _described(dict(zip(table.columns, each, strict=True)))
                for each in (theirs, ours)
            ]
            yield Difference(kind, backtest, when, subject, f"number {number:,}", *values)
        else:
            name, *values = next(
                (name, *pair) for name, *pair in zip(table.columns, theirs, ours, strict=True) if pair[0] != pair[1]
            )
            side = f"{row['side']} {row['status']}, " if "side" in row and "status" in row else ""
            yield Difference(kind, backtest, when, subject, f"number {number:,}: {side}{name}", *_truncated(*values))


def _described(row: dict[str, str]) -> str:
    words = ("time", "datetime", "symbol", "side", "status", "filled_quantity", "price", "portfolio_value", "cash")
    return ", ".join(f"{word} {row[word]}" for word in words if word in row)


def _analysis(left: Backtest, right: Backtest) -> Iterator[Difference]:
    for name in [*left.analysis, *(name for name in right.analysis if name not in left.analysis)]:
        values = [run.analysis.get(name, MISSING) for run in (left, right)]
        if values[0] != values[1]:
            yield Difference("analysis", left.name, "", "", name, *_truncated(*values))


def _inputs(backtest: str, *folders: Path) -> Iterator[Difference]:
    """Compare Lumibot's own record of the frames that indicators and strategies received, the first 4,096.

    Its rows are in the order of the requests, which threads make in any order, so they are sorted first.
    """
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
    with unlimited_field_size(), path.open(newline="", encoding="utf-8") as file:
        rows = [{name: text for name, text in row.items() if name not in _SEQUENCES} for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: (row.get("observedAt", row.get("firstObservedAt", "")), *row.values()))
