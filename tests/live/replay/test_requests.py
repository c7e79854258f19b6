"""Each way in which a backtest may see other bars than the live strategy is recognised, and no other is reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.live.replay import requests
from lumibot_duckdb.live.replay.recorded_bars import StoredTimes
from lumibot_duckdb.live.replay.requests import (
    DIFFERENT,
    EQUAL,
    EXTRA,
    INCOMPLETE,
    LATE,
    MISSING,
    ONLY_BACKTEST,
    PRICE,
    UNFINISHED,
    UNMATCHED,
    RequestComparison,
    compare_requests,
)
from lumibot_duckdb.live.session.events import Event, RequestEvent, SeenFrame
from lumibot_duckdb.live.session.session_rows import SessionRows
from lumibot_duckdb.results.live_records import LIVE_TABLES

MINUTE = 60_000_000
Bars = Mapping[int, float]


def frame(bars: Bars) -> SeenFrame:
    times = sorted(bars)
    return SeenFrame(np.array(times, np.int64) * MINUTE, np.array([[bars[time]] * 5 for time in times]).reshape(-1, 5))


def history(time: float, bars: Bars | None, **more: Any) -> RequestEvent:
    """Return a request at a time in minutes for bars, each with one value for all of its columns."""
    arguments = {"asset": "AAA", "timestep": "minute", "length": 5, "arguments": "", **more}
    return RequestEvent(int(time * MINUTE), "history", **arguments, frame=None if bars is None else frame(bars))


def price(time: float, value: float | None) -> RequestEvent:
    return RequestEvent(int(time * MINUTE), "last_price", "AAA", "", None, "", price=value)


def tables(events: Sequence[Event]) -> dict[str, pa.Table]:
    return {**{name: schema.empty_table() for name, schema in LIVE_TABLES.items()}, **SessionRows().tables(events)}


def compared(live: Sequence[Event], backtest: Sequence[Event]) -> list[RequestComparison]:
    return compare_requests(tables(live), tables(backtest))


FIVE = {minute: float(minute) for minute in range(5, 10)}


@pytest.mark.parametrize(
    ("live", "backtest", "outcome", "counts"),
    [
        (FIVE, FIVE, EQUAL, {}),
        ({}, {}, EQUAL, {}),
        (None, None, EQUAL, {}),
        ({**FIVE, 10: 3.0}, {4: 4.0, **FIVE}, UNFINISHED, {"unfinished": 1}),
        (FIVE, {**FIVE, 4: 4.0}, EQUAL, {}),  # another first bar
        ({6: 6.0, 7: 7.0, 8: 8.0}, FIVE, LATE, {"late": 1}),
        ({5: 5.0, 9: 9.0}, FIVE, EXTRA, {"extra": 3}),
        (FIVE, {5: 5.0, 6: 6.0, 9: 9.0}, MISSING, {"missing": 2}),
        (FIVE, None, MISSING, {"missing": 5}),
        (FIVE, {}, MISSING, {"missing": 5}),
        (None, FIVE, EXTRA, {"extra": 5}),
        (FIVE, {**FIVE, 7: 7.5}, DIFFERENT, {"different": 1}),
        ({**FIVE, 10: 3.0}, {**FIVE, 6: 0.0, 7: 7.5}, DIFFERENT, {"different": 2, "unfinished": 1}),
        ({5: np.nan, 6: 6.0}, {5: np.nan, 6: 6.0, 7: 7.0}, LATE, {"late": 1}),
        ({5: np.nan, 6: 6.0}, {5: 5.0, 6: 6.0}, DIFFERENT, {"different": 1}),
    ],
)
def test_outcomes(live: Bars | None, backtest: Bars | None, outcome: str, counts: Mapping[str, int]) -> None:
    (found,) = compared([history(10.02, live)], [history(10, backtest)])
    assert found.outcome == outcome
    names = ("different", "missing", "extra", "late", "unfinished")
    assert {name: getattr(found, name) for name in names if getattr(found, name)} == counts


def test_the_first_difference_has_both_values() -> None:
    (found,) = compared([history(10.5, FIVE)], [history(10, {**FIVE, 7: 7.5, 8: 8.5})])
    first = found.first_difference
    assert first is not None
    assert (first.bar.minute, first.column, first.live, first.backtest) == (7, "open", 7.0, 7.5)


@pytest.mark.parametrize("backtest", [{5: 5.0, 8: 8.0, 9: 9.0}, {5: 5.0, 6: 5.0, 7: 5.0, 8: 8.0, 9: 9.0}])
def test_bars_that_are_not_stored_are_missing_even_if_a_backtest_fills_them(backtest: Bars) -> None:
    stored = StoredTimes("minute", {"AAA": np.array([5, 8, 9]) * MINUTE})
    events = tables([history(10.5, FIVE)]), tables([history(10, backtest)])
    (found,) = compare_requests(*events, stored)
    assert (found.outcome, found.missing, found.different) == (MISSING, 2, 0)
    assert found.first_missing is not None
    assert found.first_missing.minute == 6
    assert StoredTimes("5minute", stored.times).of("AAA", "minute") is None
    assert stored.of("AAA", "what") is None


@pytest.mark.parametrize(
    ("live", "backtest", "outcome"),
    [(1.5, 1.5, EQUAL), (1.5, 1.6, PRICE), (1.5, None, MISSING), (None, None, EQUAL), (None, 1.5, PRICE)],
)
def test_prices(live: float | None, backtest: float | None, outcome: str) -> None:
    (found,) = compared([price(10.5, live)], [price(10, backtest)])
    assert (found.outcome, found.prices) == (outcome, (live, backtest))


def test_rows_that_were_lost_are_not_compared() -> None:
    live = tables([history(10.1, FIVE)])
    live["live_bars"] = live["live_bars"].slice(1)
    (found,) = compare_requests(live, tables([history(10, {**FIVE, 4: 4.0})]))
    assert found.outcome == INCOMPLETE


def test_requests_belong_to_the_iteration_before_them() -> None:
    backtest = [history(minute, {minute - 1: 1.0}) for minute in (10, 11, 12)]
    live = [history(10.01, {9: 1.0}), history(11.98, {10: 1.0}), history(13.02, {12: 1.0}), history(9.5, {8: 1.0})]
    found = compared(live, backtest)
    assert [each.outcome for each in found] == [EQUAL, EQUAL, UNMATCHED, UNMATCHED, ONLY_BACKTEST]
    assert [each.backtest_time and each.backtest_time.minute for each in found] == [10, 11, None, None, 12]


def test_equal_requests_of_an_iteration_are_paired_in_order() -> None:
    backtest = [price(10, 1.0), price(10, 2.0), history(10, FIVE), history(10, FIVE, length=6)]
    live = [price(10.1, 1.0), history(10.2, FIVE, length=6), price(10.3, 2.0), price(10.4, 3.0), history(10.5, FIVE)]
    found = compared(live, backtest)
    assert [each.outcome for each in found] == [EQUAL, EQUAL, EQUAL, UNMATCHED, EQUAL]


@examples(60)
@given(st.dictionaries(st.integers(0, 9), st.integers(1, 3).map(float), max_size=8), st.data())
def test_a_change_is_found_and_nothing_else(bars: dict[int, float], data: st.DataObject) -> None:
    """A backtest with the same closed bars is never reported, and one in which a common bar differs always is."""
    unfinished = {10: 5.0} if data.draw(st.booleans()) else {}
    earlier = {-1: 1.0} if data.draw(st.booleans()) else {}
    (same,) = compared([history(10.3, {**bars, **unfinished})], [history(10, {**earlier, **bars})])
    assert same.outcome == (LATE if earlier and not bars else UNFINISHED if unfinished else EQUAL)
    if bars:
        changed = data.draw(st.sampled_from(sorted(bars)))
        other = {**earlier, **bars, changed: bars[changed] + 1}
        (found,) = compared([history(10.3, {**bars, **unfinished})], [history(10, other)])
        assert (found.outcome, found.different) == (DIFFERENT, 1)


def test_every_outcome_is_explained() -> None:
    named = {value for name, value in vars(requests).items() if name.isupper() and isinstance(value, str)}
    assert named - {"EXPLANATIONS"} - {requests.LAST_PRICE} == set(requests.EXPLANATIONS)
