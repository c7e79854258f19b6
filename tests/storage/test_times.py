"""Conversions of times, against plain datetime and pandas: clock changes, and years before 1970."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.storage import sql_times, times

ZONES = [zoneinfo.ZoneInfo(name) for name in ("America/New_York", "Europe/London", "Asia/Kathmandu", "Africa/Cairo")]
# From 1700 to 2250, which pandas can count in nanoseconds.
SECONDS = st.integers(-8_500_000_000, 8_800_000_000)
# Around the change to summer time and back, by the second.
CLOCK_CHANGES = st.sampled_from(
    [
        int(pd.Timestamp(text, tz="UTC").timestamp())
        for text in ("2024-03-10 07:00", "2024-11-03 06:00", "1967-04-30 07:00")
    ]
).flatmap(lambda change: st.integers(change - 90_000, change + 90_000))
ANY_SECONDS = SECONDS | CLOCK_CHANGES
ANY_ZONE = st.sampled_from([dt.timezone.utc, *ZONES])


@examples(50)
@given(ANY_SECONDS, ANY_ZONE, st.integers(0, 999_999))
def test_a_moment_and_its_epoch_seconds(seconds: int, zone: dt.tzinfo, microseconds: int) -> None:
    moment = times.moment_of(seconds, zone)
    assert moment.tzinfo is zone
    # Python finds a time that occurs twice unequal to any time of another zone, so the moment is compared in UTC.
    expected = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(seconds=seconds)
    assert moment.astimezone(dt.timezone.utc) == expected
    assert times.epoch_seconds(moment) == seconds == pd.Timestamp(moment).value // 10**9
    later = moment.astimezone(dt.timezone.utc) + dt.timedelta(microseconds=microseconds)
    assert times.epoch_seconds(later) == seconds
    assert times.epoch_seconds(pd.Timestamp(later)) == seconds
    assert times.epoch_nanoseconds(later) == seconds * 10**9 + microseconds * 1000 == pd.Timestamp(later).value


@examples(50)
@given(ANY_SECONDS, st.integers(0, 10**9 - 1))
def test_nanoseconds_of_a_timestamp_are_exact(seconds: int, nanoseconds: int) -> None:
    assert (
        times.epoch_nanoseconds(pd.Timestamp(seconds * 10**9 + nanoseconds, tz="UTC")) == seconds * 10**9 + nanoseconds
    )


@examples(50)
@given(ANY_SECONDS, ANY_ZONE)
def test_the_day_of_a_moment_begins_at_its_midnight(seconds: int, zone: dt.tzinfo) -> None:
    day = times.date_of(seconds, zone)
    assert day == pd.Timestamp(seconds, unit="s", tz="UTC").tz_convert(zone).date()
    begins = times.midnight(day, zone)
    assert begins == dt.datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
    assert 0 <= seconds - begins < 26 * 3600


def test_a_day_of_the_clock_change_has_other_than_24_hours() -> None:
    new_york = times.NEW_YORK
    hours = [
        (times.midnight(dt.date(2024, month, day + 1), new_york) - times.midnight(dt.date(2024, month, day), new_york))
        // 3600
        for month, day in ((3, 10), (7, 1), (11, 3))
    ]
    assert hours == [23, 24, 25]


@examples(50)
@given(st.datetimes(dt.datetime(1800, 1, 1), dt.datetime(2200, 1, 1)), ANY_ZONE)
def test_a_text_states_a_moment_only_with_its_time_zone(naive: dt.datetime, zone: dt.tzinfo) -> None:
    aware = naive.replace(tzinfo=dt.timezone.utc).astimezone(zone)
    assert times.parse_moment(aware.isoformat()) == aware
    with pytest.raises(ValueError, match="no time zone"):
        times.parse_moment(naive.isoformat())
    assert times.naive_utc(aware) == naive
    assert times.aware_utc(naive) == aware
    assert times.aware_utc(naive).tzinfo is dt.timezone.utc


def test_a_datetime_counts_as_its_own_calendar_day() -> None:
    evening = dt.datetime(2024, 1, 2, 23, 30, tzinfo=times.NEW_YORK)
    assert times.calendar_day(evening) == times.calendar_day(dt.date(2024, 1, 2)) == dt.date(2024, 1, 2)
    assert type(times.calendar_day(evening)) is dt.date


# In these years pandas (with pytz) and zoneinfo have the same rules.
@examples(50)
@given(st.datetimes(dt.datetime(1902, 1, 1), dt.datetime(2037, 1, 1)))
def test_a_naive_time_is_the_new_york_clock(naive: dt.datetime) -> None:
    clock = times.new_york_timestamp(naive).tz_localize(None).to_pydatetime()
    assert clock in (naive, naive + dt.timedelta(hours=1))  # an hour later where the clocks skip it
    there = naive.replace(tzinfo=times.NEW_YORK, fold=1)
    exists = there.astimezone(dt.timezone.utc).astimezone(times.NEW_YORK).replace(tzinfo=None) == naive
    assert (clock == naive) == exists
    if exists:
        assert times.new_york_timestamp(naive) == there.astimezone(dt.timezone.utc)


@pytest.mark.parametrize("extreme", [dt.datetime.min, dt.datetime.max])
def test_the_extremes_of_datetime_are_moments_that_every_zone_has(extreme: dt.datetime) -> None:
    found = times.new_york_timestamp(extreme)
    assert abs(found.tz_localize(None).to_pydatetime() - extreme) < dt.timedelta(days=4)
    assert found.tz_convert("Pacific/Auckland") == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-10 02:30", "2024-03-10T03:30:00-04:00"),  # skipped
        ("2024-11-03 00:30", "2024-11-03T00:30:00-04:00"),
        ("2024-11-03 01:30", "2024-11-03T01:30:00-05:00"),  # twice
        ("2024-11-03 05:30+00:00", "2024-11-03T05:30:00+00:00"),
    ],
)
def test_naive_times_where_the_clocks_change(text: str, expected: str) -> None:
    assert times.new_york_timestamp(text).isoformat() == expected


def test_a_missing_time_is_refused() -> None:
    with pytest.raises(ValueError, match="NaT is not a time"):
        times.new_york_timestamp(pd.NaT)  # type: ignore[arg-type]


@examples(50)
@given(ANY_SECONDS, st.integers(0, 10**9 - 1), st.sampled_from(["UTC", "America/New_York"]))
def test_rounding_up_to_a_whole_second(seconds: int, nanoseconds: int, zone: str) -> None:
    stamp = pd.Timestamp(seconds * 10**9 + nanoseconds, tz="UTC").tz_convert(zone)
    assert times.epoch_seconds_ceiling(stamp) == seconds + (nanoseconds > 0)


@examples(50)
@given(
    st.lists(SECONDS, max_size=20),
    st.sampled_from(["s", "ms", "us", "ns"]),
    st.sampled_from([None, "UTC", "America/New_York"]),
)
def test_the_seconds_of_an_index(seconds: list[int], unit: str, zone: str | None) -> None:
    index = pd.DatetimeIndex(np.array(seconds, "M8[s]")).as_unit(unit)
    if zone is not None:
        index = index.tz_localize("UTC").tz_convert(zone)
    assert times.index_seconds(index).tolist() == seconds
    assert times.index_seconds(index).dtype == np.int64
    assert times.bar_starts(pd.DataFrame({"close": 0.0}, index=index)).tolist() == seconds


def test_the_seconds_of_an_index_are_rounded_down_before_1970_too() -> None:
    index = pd.DatetimeIndex(["1969-12-31 23:59:58.5", "1970-01-01 00:00:01.5"], tz="UTC")
    assert times.index_seconds(index).tolist() == [-2, 1]


def test_an_empty_frame_has_no_bar_starts_with_any_index() -> None:
    assert times.bar_starts(pd.DataFrame({"close": []})).tolist() == []


@examples(50)
@given(st.lists(st.integers(-62_135_596_800, 253_402_214_400), min_size=1))
def test_sql_and_python_count_alike(seconds: list[int]) -> None:
    expressions = [sql_times.epoch_sql(sql_times.timestamp_literal(each)) for each in seconds]
    with duckdb.connect() as connection:
        (found,) = connection.execute(f"SELECT {', '.join(expressions)}").fetchall()
    assert list(found) == seconds


def test_sql_literals_are_bounded_by_what_bars_can_have() -> None:
    assert sql_times.timestamp_literal(-(2**62)) == "TIMESTAMP_S '0001-01-01T00:00:00'"
    assert sql_times.timestamp_literal(2**62) == "TIMESTAMP_S '9999-12-31T00:00:00'"
