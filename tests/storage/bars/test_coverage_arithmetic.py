"""The arithmetic of covered ranges, against sets of seconds."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.coverage import believed_until, closed_part, end_of_closed_bars, merged, missing
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import NEW_YORK, date_of, midnight

ranges = st.tuples(st.integers(-30, 30), st.integers(0, 15)).map(lambda pair: TimeRange(pair[0], pair[0] + pair[1]))


def seconds(pieces: list[TimeRange]) -> set[int]:
    return {second for piece in pieces for second in range(piece.start, piece.end)}


@given(st.lists(ranges))
def test_merged_ranges_are_the_union_sorted_and_apart(pieces: list[TimeRange]) -> None:
    result = merged(pieces)
    assert seconds(result) == seconds(pieces)
    assert all(piece.start < piece.end for piece in result)
    assert all(one.end < other.start for one, other in pairwise(result))


@given(ranges, st.lists(ranges))
def test_missing_ranges_are_what_is_wanted_and_not_covered(wanted: TimeRange, covered: list[TimeRange]) -> None:
    result = missing(wanted, covered)
    assert seconds(result) == seconds([wanted]) - seconds(covered)
    assert result == merged(result)


def utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp())


def midnight_before(time: int) -> int:
    return midnight(date_of(time, NEW_YORK), NEW_YORK)


@given(
    st.sampled_from(["second", "minute", "5minute", "15minute", "30minute", "hour", "4hour", "day", "week"]),
    st.integers(0, 2_000_000_000),
    st.integers(1, 200),
    st.booleans(),
)
def test_every_bar_that_starts_before_the_end_of_closed_bars_has_closed(
    timeframe: str, now: int, back: int, new_york: bool
) -> None:
    """For bars on the grid of their length, on half hours, and at midnight in UTC or New York."""
    end = end_of_closed_bars(timeframe, now)
    length = bar_seconds(timeframe)
    if length < 86_400:
        grid = min(length, 1800)
        start = (now // grid - back + 100) * grid
        closes = start + length
    elif new_york:
        start = midnight_before(now - (back - 100) * 86_400)
        closes = midnight_before(start + 3 * 3600 + length)
    else:
        start = (now // 86_400 - back + 100) * 86_400
        closes = start + length
    if start < end:
        assert closes <= now


@pytest.mark.parametrize(
    ("timeframe", "now", "end"),
    [
        ("minute", "2024-06-03T14:05:30", "2024-06-03T14:05:00"),
        ("minute", "2024-06-03T14:05:00", "2024-06-03T14:05:00"),
        ("5minute", "2024-06-03T14:09:59", "2024-06-03T14:05:00"),
        ("hour", "2024-06-03T14:10:00", "2024-06-03T13:30:00"),
        ("day", "2024-06-03T02:00:00", "2024-06-02T04:00:00"),
        ("day", "2024-06-03T05:00:00", "2024-06-03T00:00:00"),
        ("day", "2024-01-03T04:30:00", "2024-01-02T05:00:00"),
        # The week that begins on 29 October ends at 5:00, an hour later than others: clocks change.
        ("week", "2024-11-05T04:30:00", "2024-10-29T04:00:00"),
        ("week", "2024-11-05T05:00:00", "2024-10-30T00:00:00"),
    ],
)
def test_the_end_of_closed_bars(timeframe: str, now: str, end: str) -> None:
    assert end_of_closed_bars(timeframe, utc(now)) == utc(end)


@pytest.mark.parametrize(
    ("timeframe", "start", "closes"),
    [
        ("day", "2024-11-03T05:00:00", "2024-11-04T06:00:00"),  # in Chicago, with 25 hours
        ("week", "2024-10-29T04:00:00", "2024-11-05T05:00:00"),  # in New York, an hour longer
        ("day", "2024-06-03T00:00:00", "2024-06-04T00:00:00"),  # in UTC
        ("hour", "2024-06-03T13:45:00", "2024-06-03T14:45:00"),
    ],
)
def test_no_known_bar_is_covered_before_it_has_closed(timeframe: str, start: str, closes: str) -> None:
    starts, end = np.array([utc(start)]), utc(closes)
    whole = TimeRange(utc(start) - 5 * 86_400, end + 5 * 86_400)
    before, after = (closed_part(whole, timeframe, end + seconds, starts) for seconds in (-1, 5 * 3_600))
    assert before is not None
    assert before.end <= utc(start)
    assert after is not None
    assert after.end > utc(start)


def test_the_closed_part_of_a_range_never_reaches_past_the_last_closed_bar() -> None:
    now = utc("2024-06-03T14:05:30")
    whole = TimeRange(utc("2024-06-03T14:00:00"), utc("2024-06-03T14:05:00"))
    assert closed_part(whole, "minute", now) == whole
    assert closed_part(TimeRange(whole.start, whole.end + 3600), "minute", now) == whole
    assert closed_part(TimeRange(whole.end, whole.end + 60), "minute", now) is None


def test_an_empty_answer_for_recent_bars_is_believed_for_a_day_and_for_old_ones_for_a_month() -> None:
    now = dt.datetime(2024, 6, 30, tzinfo=dt.timezone.utc)
    day = 86_400
    recent = TimeRange(int(now.timestamp()) - 8 * day, int(now.timestamp()) - 6 * day)
    old = TimeRange(recent.start, recent.end - day)
    assert believed_until(recent, now) - now == dt.timedelta(hours=24)
    assert believed_until(old, now) - now == dt.timedelta(days=30)
