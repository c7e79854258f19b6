"""Answers to the same request are matched, equal ones first."""

from __future__ import annotations

from lumibot_duckdb.comparison.answers import Answer, value_answer
from lumibot_duckdb.comparison.differences.pairing import matched


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
