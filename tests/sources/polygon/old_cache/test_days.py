"""The days that a cache file covers: no unanswered and no open ones, and all others."""

from __future__ import annotations

import datetime as dt
from datetime import date

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.sources.polygon.old_cache.days import TradingDays, answers, incomplete_days
from lumibot_duckdb.sources.shared.days import DaySpan

NEW_YORK = "America/New_York"
MONDAY = date(2023, 11, 20)
# Thanksgiving is on the 23rd, and the day after it ends early.


def day(number: int) -> date:
    return date(2023, 11, number)


def spans(asset_type: str, with_bars: list[int], without: list[int], *, often_empty: bool = False) -> list[str]:
    found = answers({*map(day, with_bars)}, {*map(day, without)}, TradingDays(asset_type), often_empty=often_empty)
    return [f"{each.days.first.day}-{each.days.last.day}{'' if each.has_bars else ' empty'}" for each in found]


@pytest.mark.parametrize(
    ("asset_type", "with_bars", "without", "expected"),
    [
        ("stock", [16, 17, 20, 21, 22, 24], [], ["16-24"]),
        ("stock", [16, 20], [], ["16-16", "20-20"]),
        ("stock", [16, 20, 21], [17], ["16-16", "17-19 empty", "20-21"]),
        ("index", [17, 20], [], ["17-20"]),
        ("stock", [], [20, 21], ["20-21 empty"]),
        ("crypto", [17, 18, 20], [], ["17-18", "20-20"]),
        ("forex", [17, 19, 20], [], ["17-20"]),
        ("forex", [17, 20], [], ["17-17", "20-20"]),
    ],
)
def test_days_are_joined_over_those_without_trading(
    asset_type: str, with_bars: list[int], without: list[int], expected: list[str]
) -> None:
    assert spans(asset_type, with_bars, without) == expected


def test_days_without_a_trade_are_part_of_an_options_answer_only_among_others() -> None:
    found = spans("option", [16, 20, 24], [15, 17, 21, 22, 27], often_empty=True)
    assert found == ["15-15 empty", "16-26", "27-27 empty"]


@examples(30)
@given(
    st.dictionaries(st.dates(date(2022, 12, 1), date(2023, 2, 20)), st.booleans(), max_size=50),
    st.sampled_from(["stock", "crypto", "forex", "option"]),
)
def test_answers_are_for_the_days_of_a_file_and_days_without_trading(days: dict[date, bool], asset_type: str) -> None:
    trading = TradingDays(asset_type)
    with_bars = {each for each, has in days.items() if has}
    found = answers(with_bars, days.keys() - with_bars, trading, often_empty=asset_type == "option")
    covered = [each for answer in found for each in _days(answer.days)]
    assert len(covered) == len(set(covered))
    assert days.keys() <= set(covered)
    for each in set(covered) - days.keys():
        assert not trading.lie_between(each - dt.timedelta(days=1), each + dt.timedelta(days=1))
    assert with_bars <= {each for answer in found if answer.has_bars for each in _days(answer.days)}


def _days(span: DaySpan) -> list[date]:
    return [span.first + dt.timedelta(days=number) for number in range((span.last - span.first).days + 1)]


def times(until: dict[int, str], step: str = "min") -> pd.DatetimeIndex:
    """Sessions from 9:30 on of days in November 2023, each until a time."""
    days = [
        pd.date_range(f"2023-11-{number} 09:30", f"2023-11-{number} {end}", freq=step, tz=NEW_YORK)
        for number, end in until.items()
    ]
    return days[0].append(days[1:])


WHOLE = dict.fromkeys((14, 15, 16, 17, 20, 21), "15:59")


@pytest.mark.parametrize(
    ("until", "asset_type", "expected"),
    [
        (WHOLE, "stock", set()),
        (WHOLE | {22: "11:00"}, "stock", {22}),
        (WHOLE | {16: "12:00"}, "stock", {16}),
        (WHOLE | {22: "15:59", 24: "12:59"}, "stock", set()),  # the exchange closed early
        (WHOLE | {22: "15:50"}, "stock", set()),  # nobody wanted it any more
        ({20: "15:59", 21: "15:59", 22: "11:00"}, "stock", set()),  # too few others to tell
        (WHOLE | {17: "12:00"}, "forex", set()),  # Fridays end early
        (WHOLE | {17: "12:00"}, "crypto", {17}),
    ],
)
def test_a_day_that_was_still_open_is_recognised_by_those_around_it(
    until: dict[int, str], asset_type: str, expected: set[int]
) -> None:
    until = dict(sorted(until.items()))
    assert incomplete_days(times(until), "minute", TradingDays(asset_type)) == set(map(day, expected))


def test_hours_show_it_too_and_days_cannot() -> None:
    until = WHOLE | {22: "10:30"}
    assert incomplete_days(times(until, "h"), "hour", TradingDays("stock")) == {day(22)}
    assert incomplete_days(times(until, "h"), "day", TradingDays("stock")) == set()


def test_a_day_of_seldom_trades_is_not_taken_for_an_open_one() -> None:
    seldom = times(WHOLE)[::97].append(times({22: "09:40"})[:1])
    assert incomplete_days(seldom, "minute", TradingDays("option")) == set()
