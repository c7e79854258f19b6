"""Pairs what belongs together in two runs: backtests, and answers to the same request."""

from __future__ import annotations

from collections.abc import Sequence

from lumibot_duckdb.comparison.answers import Answer
from lumibot_duckdb.comparison.outcome import Backtest


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


def request_key(answer: Answer) -> tuple[str, str, str]:
    """Return what identifies a request: the time of the backtest, the call and the asset."""
    return answer.when, answer.call, answer.asset


def matched(
    left: Sequence[Answer], right: Sequence[Answer]
) -> tuple[list[tuple[Answer, Answer]], list[Answer], list[Answer]]:
    """Match answers to the same request, equal ones first. Also return the unmatched answers of both sides."""
    by_request: dict[tuple[str, str, str], list[Answer]] = {}
    for answer in right:
        by_request.setdefault(request_key(answer), []).append(answer)
    pairs, waiting = [], list(left)
    for only_equal in (True, False):
        for answer in list(waiting):
            counterparts = by_request.get(request_key(answer), [])
            other = next((each for each in counterparts if each == answer or not only_equal), None)
            if other is not None:
                pairs.append((answer, other))
                waiting.remove(answer)
                counterparts.remove(other)
    return pairs, waiting, [answer for answers in by_request.values() for answer in answers]
