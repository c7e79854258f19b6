"""Answers to the same request are matched, equal ones first; backtests are paired with their counterparts."""

from __future__ import annotations

import pytest

from lumibot_duckdb.comparison.answers import Answer, value_answer
from lumibot_duckdb.comparison.differences.pairing import matched, paired
from lumibot_duckdb.comparison.outcome import Backtest, Table


def price(text: str, asset: str = "SPY") -> Answer:
    return value_answer("2024-01-02T09:30:00-05:00", "get_last_price", asset, text)


def test_equal_answers_are_matched_before_others() -> None:
    pairs, missing, more = matched([price("1"), price("2")], [price("2"), price("3")])
    assert pairs == [(price("2"), price("2")), (price("1"), price("3"))]
    assert (missing, more) == ([], [])


def test_each_answer_is_matched_once_and_only_with_the_same_request() -> None:
    pairs, missing, more = matched([price("1"), price("1")], [price("1"), price("1", "QQQ")])
    assert pairs == [(price("1"), price("1"))]
    assert (missing, more) == ([price("1")], [price("1", "QQQ")])


def backtest(name: str, settings: str = "", source: str = "lumibot.backtesting.YahooDataBacktesting") -> Backtest:
    return Backtest(name, source, True, Table([], []), Table([], []), {}, settings)


OURS = "lumibot_duckdb.backtesting.YahooDataBacktesting"


@pytest.mark.parametrize(
    ("left", "right", "pairs"),
    [
        ([backtest("A"), backtest("B")], [backtest("B", source=OURS), backtest("A", source=OURS)], [(0, 1), (1, 0)]),
        ([backtest("A", "1"), backtest("A", "2")], [backtest("A", "2"), backtest("A", "1")], [(0, 1), (1, 0)]),
        ([backtest("A"), backtest("A")], [backtest("A"), backtest("A")], [(0, 0), (1, 1)]),
        ([backtest("A", "1"), backtest("B")], [backtest("B", "3"), backtest("A", "2")], [(0, 1), (1, 0)]),
        ([backtest("A"), backtest("A", source="Polygon")], [backtest("A", source="Polygon")], [(0, None), (1, 0)]),
        ([backtest("A")], [backtest("B"), backtest("C")], [(0, 0), (None, 1)]),
        ([backtest("A", "1"), backtest("A", "2")], [backtest("A", "3")], [(0, 0), (1, None)]),
    ],
    ids=["by name", "by settings", "in order", "by name alone", "by source", "what is left", "more on the left"],
)
def test_backtests_are_paired_with_the_most_similar_ones(
    left: list[Backtest], right: list[Backtest], pairs: list[tuple[int | None, int | None]]
) -> None:
    assert paired(left, right) == pairs
