"""Differences are grouped by their causes, as a plain model does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparison.test_page import result
from hypothesis_settings import examples
from lumibot_duckdb.comparison import summary
from lumibot_duckdb.comparison.differences import Difference
from lumibot_duckdb.comparison.differences.causes import causes_of, counts_of
from lumibot_duckdb.comparison.differences.difference import in_order

DATA = ("frame", "dtypes", "answer", "input")
KINDS = (*DATA, "request", "trade", "order", "portfolio", "analysis", "failure", "backtests")


@st.composite
def differences(draw: st.DrawFn) -> Difference:
    kind = draw(st.sampled_from(KINDS))
    aspect = (
        "dtypes" if kind == "dtypes" else draw(st.sampled_from(["values", "bars"])) if kind == "frame" else "values"
    )
    when = "" if kind in ("analysis", "failure") else f"2024-01-0{draw(st.integers(1, 9))}"
    return Difference(
        kind, draw(st.sampled_from("AB")), when, draw(st.sampled_from(["SPY", "QQQ"])), "place", "1", "2", aspect
    )


def owners(found: list[Difference]) -> list[int]:
    """Return for each difference the place of the one that is the first of its cause."""
    answer: list[int] = []
    for place, each in enumerate(found):
        before = [(other, mate) for other, mate in enumerate(found[:place]) if mate.backtest == each.backtest]
        if each.kind in DATA:
            same = [
                other
                for other, mate in before
                if mate.kind in DATA and (mate.subject, mate.aspect) == (each.subject, each.aspect)
            ]
        elif each.kind == "backtests":
            same = []
        else:
            firsts = [(other, mate) for other, mate in before if answer[other] == other]
            same = [other for other, mate in firsts if mate.aspect != "dtypes"] or [other for other, _ in firsts]
        answer.append(answer[same[0]] if same else place)
    return answer


@examples(200)
@given(st.lists(differences(), max_size=25))
def test_each_difference_belongs_to_the_cause_of_the_model(made: list[Difference]) -> None:
    found = [replace(each, place=str(number)) for number, each in enumerate(in_order(made))]
    causes = causes_of(found)
    grouped = {each.place: cause.first.place for cause in causes for each in cause.differences}
    assert grouped == {str(number): str(owner) for number, owner in enumerate(owners(found))}
    assert sum(len(cause.differences) for cause in causes) == len(found)
    assert [cause.first for cause in causes] == [each for each in found if grouped[each.place] == each.place]
    for cause in causes:
        assert cause.differences == [*in_order(cause.shown_in), *in_order(cause.effects)]
        assert sum(counts_of(cause.differences).values()) == len(cause.differences)


def bar(minute: int) -> Difference:
    return Difference("frame", "Mine", f"2024-01-02T10:{minute:02d}", "SPY", "bar 09:59, close", "470.25", "470.26")


def test_one_wrong_bar_is_one_cause() -> None:
    price = replace(bar(30), kind="answer", place="get_last_price(SPY)")
    values = [replace(bar(minute), kind="portfolio", subject="", place="portfolio_value") for minute in range(30, 55)]
    (cause,) = causes_of(in_order([*map(bar, range(25)), price, *values]))
    assert summary.cause_title(cause) == "Mine, SPY: other values"
    assert summary.cause_counts(cause) == "in 25 frames, 1 price, quote or other answer; then 25 portfolio values"


def test_the_terminal_shows_each_cause_with_the_first_of_each_kind() -> None:
    trade = replace(bar(31), kind="trade", place="number 1: buy fill, price")
    columns = replace(bar(32), subject="QQQ", place="columns", aspect="columns")
    text = summary.differences_text(result(differences=in_order([bar(30), bar(31), trade, columns])))
    assert text.splitlines()[:6] == [
        "Cause 1 of 2: Mine, SPY: other values in 2 frames; then 1 trade event",
        "The first difference:",
        "  Mine, 2024-01-02T10:30, SPY",
        "  bar 09:59, close",
        "    Lumibot         470.25",
        "    lumibot-duckdb  470.26",
    ]
    assert "The first of the trade events:\n  Mine, 2024-01-02T10:31, SPY" in text
    assert "Cause 2 of 2: Mine, QQQ: other columns in 1 frame" in text
    assert "Grouped are 4 of 14 differences, the first 25 of each kind." in text


@pytest.mark.parametrize(("kind", "title"), [("trade", "a different trade event"), ("request", "a different request")])
def test_a_cause_may_be_what_the_script_did(kind: str, title: str) -> None:
    (cause,) = causes_of([replace(bar(1), kind=kind), replace(bar(2), kind="order")])
    assert summary.cause_title(cause) == f"Mine, SPY: {title}"


def test_many_causes_are_counted() -> None:
    found = [replace(bar(1), subject=f"S{number}") for number in range(12)]
    text = summary.differences_text(result(differences=found))
    assert text.count("The first difference:") == 10
    assert "and 2 more causes, which --html FILE and --json list" in text
