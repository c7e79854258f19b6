"""Compares the answers that the strategies of two backtests received."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, zip_longest
from pathlib import Path

from lumibot_duckdb.comparison.answers import Answer, Mark, complete, read_answers, read_frame
from lumibot_duckdb.comparison.differences.difference import DTYPES, LISTED, Difference, plain_numbers, truncated
from lumibot_duckdb.comparison.differences.frames import first_difference
from lumibot_duckdb.comparison.differences.pairing import matched, request_key


class AnswerComparison:
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
        in_order = list(map(request_key, left)) == list(map(request_key, right))
        pairs, *others = (list(zip(left, right, strict=True)), [], []) if in_order else matched(left, right)
        self.reordered += not in_order and not any(others)
        for pair in pairs:
            if pair[0] != pair[1]:
                self._compare_pair(*pair)
        if any(others):
            self._note(self._request_difference(*(next(iter(answers), None) for answers in others)))
        return not any(others)

    def _compare_pair(self, left: Answer, right: Answer) -> None:
        if not left.is_frame or not right.is_frame:
            kind = "frame" if left.is_frame or right.is_frame else "answer"
            texts = ["a frame" if each.is_frame else each.text for each in self._completed(left, right)]
            shown = truncated(*plain_numbers(*texts))
            self._note(Difference(kind, self._backtest, left.when, left.asset, left.call, *shown))
        elif self.counts["frame"] > LISTED and any(isinstance(part, Mark) for part in (*left.parts, *right.parts)):
            self.counts["frame"] += 1  # finding the difference in a long frame takes a scan of the whole file
        elif found := first_difference(*map(read_frame, self._completed(left, right))):
            aspect, place, theirs, ours = found
            kind = "dtypes" if aspect == DTYPES else "frame"
            where = f"{left.call}, {place}"
            self._note(Difference(kind, self._backtest, left.when, left.asset, where, theirs, ours, aspect))

    def _completed(self, *answers: Answer) -> list[Answer]:
        return [complete(answer, file) for answer, file in zip(answers, self._files, strict=True)]

    def _request_difference(self, left: Answer | None, right: Answer | None) -> Difference:
        when = min((each.when for each in (left, right) if each is not None), default="")
        requests = ["no further request" if each is None else f"{each.call} at {each.when}" for each in (left, right)]
        subject = next(each.asset for each in (left, right) if each is not None)
        return Difference("request", self._backtest, when, subject, "the strategy's request", *requests)

    def _note(self, difference: Difference) -> None:
        self.counts[difference.kind] += 1
        if self.counts[difference.kind] <= LISTED:
            self.differences.append(difference)


def _by_time(path: Path) -> Iterator[list[Answer]]:
    """Read the answers of a file, grouped by the time of the backtest."""
    return (list(answers) for _, answers in groupby(read_answers(path), lambda answer: answer.when))


def _count_kinds(path: Path) -> tuple[int, int]:
    """Return how many answers of a file are frames, and how many are not."""
    frames = others = 0
    for answer in read_answers(path):
        frames += answer.is_frame
        others += not answer.is_frame
    return frames, others
