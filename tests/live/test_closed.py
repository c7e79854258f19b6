"""A bar that has not closed is never taken for one that has, and covers nothing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.live.closed import closed_before, end_of_closed, only_closed
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from lumibot_duckdb.storage.errors import InvalidBarsError
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import NEW_YORK, epoch_seconds, midnight, moment_of

TIMEFRAMES = ("minute", "5minute", "15minute", "hour", "day", "week")
NOW = datetime(2024, 1, 2, 14, 31, 10, tzinfo=timezone.utc)


def live_bars(starts: list[int], covered: list[TimeRange], timeframe: str = "minute") -> LiveBars:
    index = pd.to_datetime(np.array(starts, np.int64), unit="s", utc=True)
    frame = pd.DataFrame({"close": np.arange(len(starts), dtype=float)}, index=index)
    return LiveBars(SeriesKey(AssetKey("X"), "my_feed", timeframe), frame, tuple(covered), NOW)


@examples(100)
@given(
    st.sampled_from(TIMEFRAMES[:4]), st.integers(1_600_000_000, 1_800_000_000), st.integers(0, 3_600), st.integers(0, 9)
)
def test_bars_of_minutes_and_hours_close_at_their_end(timeframe: str, now: int, margin: int, back: int) -> None:
    length = bar_seconds(timeframe)
    end = closed_before(timeframe, moment_of(now), timedelta(seconds=margin))
    grid = min(length, 1800)
    start = (now - margin) // grid * grid - back * grid
    assert (start < end) == (start + length <= now - margin)


@examples(100)
@given(
    st.sampled_from((*TIMEFRAMES[:4], "7minute")),
    st.lists(st.integers(-20_000, 2_000), max_size=12, unique=True),
    st.integers(0, 3_600),
)
def test_known_bars_close_at_their_end_wherever_they_start(timeframe: str, offsets: list[int], margin: int) -> None:
    now = epoch_seconds(NOW)
    starts = np.array(sorted(now + offset for offset in offsets), np.int64)
    end = end_of_closed(starts, timeframe, NOW, timedelta(seconds=margin))
    assert (starts < end).tolist() == (starts + bar_seconds(timeframe) <= now - margin).tolist()


@pytest.mark.parametrize("day", ["2024-03-09", "2024-03-10", "2024-11-02", "2024-11-03", "2024-07-01"])
def test_a_day_closes_at_midnight_in_new_york(day: str) -> None:
    """The 10th of March has 23 hours there, and the 3rd of November 25."""
    date = datetime.fromisoformat(day).date()
    ends = midnight(date + timedelta(days=1), NEW_YORK)
    start = midnight(date, NEW_YORK)
    just_before, at_the_end = (closed_before("day", moment_of(ends + seconds)) for seconds in (-1, 0))
    assert just_before <= start < at_the_end
    assert midnight(date) < at_the_end


@examples(100)
@given(
    st.sampled_from(TIMEFRAMES),
    st.lists(st.integers(-2_000, 500).map(lambda minute: minute * 60 * 15), max_size=12, unique=True),
    st.lists(st.tuples(st.integers(-2_000, 500), st.integers(0, 900)), max_size=3),
)
def test_what_is_left_has_closed_and_what_is_covered_is_there(
    timeframe: str, offsets: list[int], ranges: list[tuple[int, int]]
) -> None:
    now = epoch_seconds(NOW)
    starts = [now // 900 * 900 + offset for offset in offsets]
    covered = [TimeRange(now + first * 900, now + (first + count) * 900) for first, count in ranges]
    given_bars = live_bars(starts, covered, timeframe)
    left = only_closed(given_bars, NOW)
    kept = set(left.bars.index.as_unit("s").asi8.tolist())

    def ends(start: int) -> int:
        return start + bar_seconds(timeframe) + (3_600 if timeframe in ("day", "week") and start % 86_400 else 0)

    assert {start for start in starts if start < closed_before(timeframe, NOW) and ends(start) <= now} == kept
    for piece in left.covered:
        assert any(whole.start <= piece.start and piece.end <= whole.end for whole in covered)
        assert all(start in kept for start in starts if piece.start <= start < piece.end)
        assert piece.end <= now
    assert (left is given_bars) == (len(kept) == len(starts) and left.covered == tuple(covered))
    assert left.bars.equals(given_bars.bars[given_bars.bars.index.isin(left.bars.index)])


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "America/Chicago", "Europe/Berlin", "Asia/Tokyo"])
@pytest.mark.parametrize("timeframe", ["day", "week"])
def test_days_close_at_their_end_in_any_zone_also_when_clocks_change(zone: str, timeframe: str) -> None:
    for day in pd.date_range("2024-03-01", "2024-11-30", tz=zone):
        start = np.array([int(day.timestamp())])
        end = (day + pd.DateOffset(days=1 if timeframe == "day" else 7)).tz_convert("UTC").to_pydatetime()
        assert end_of_closed(start, timeframe, end - timedelta(seconds=1)) <= start[0]
        assert end_of_closed(start, timeframe, end + timedelta(days=1)) > start[0]


def test_a_bar_off_the_usual_grid_ends_the_covered_range_while_it_lasts() -> None:
    """An hour that begins at 13:45 lasts until 14:45, although hours of 13:30 have closed at 14:31."""
    begin = epoch_seconds(NOW) // 3600 * 3600
    starts = [begin - 2 * 3600 + 2700, begin - 3600 + 2700]
    left = only_closed(live_bars(starts, [TimeRange(begin - 7200, begin + 7200)], "hour"), NOW)
    assert left.bars["close"].tolist() == [0.0]
    assert left.covered == (TimeRange(begin - 7200, begin - 900),)


def test_bars_without_times_are_refused_with_the_name_of_the_series() -> None:
    bars = LiveBars(
        SeriesKey(AssetKey("X"), "my_feed", "minute"), pd.DataFrame({"close": [1.0]}, index=["noon"]), (), NOW
    )
    with pytest.raises(InvalidBarsError, match=r"X stock, minute bars from my_feed: .* not indexed by times"):
        only_closed(bars, NOW)
