"""Walk-forward windows, against a plain model of months and days."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
import pytz
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.sweeps.search.errors import SearchError
from lumibot_duckdb.sweeps.walk_forward.windows import Length, WalkForward, Window, later


def days_of(window: Window) -> tuple[str, str, str, str]:
    moments = (window.train.start, window.train.end, window.test.start, window.test.end)
    return tuple(f"{moment:%y-%m-%d}" for moment in moments)  # type: ignore[return-value]


def windows_of(text: str, start: str, end: str) -> list[tuple[str, str, str, str]]:
    windows = WalkForward.of(text).windows(datetime.fromisoformat(start), datetime.fromisoformat(end))
    assert [window.number for window in windows] == list(range(1, len(windows) + 1))
    return [days_of(window) for window in windows]


def test_rolling_windows() -> None:
    assert windows_of("train=12M,test=3M", "2020-01-01", "2021-10-01") == [
        ("20-01-01", "21-01-01", "21-01-01", "21-04-01"),
        ("20-04-01", "21-04-01", "21-04-01", "21-07-01"),
        ("20-07-01", "21-07-01", "21-07-01", "21-10-01"),
    ]


def test_anchored_windows_with_a_purge() -> None:
    assert windows_of("train=1Y,test=3M,anchored,purge=5D", "2020-01-01", "2021-07-01") == [
        ("20-01-01", "20-12-27", "21-01-01", "21-04-01"),
        ("20-01-01", "21-03-27", "21-04-01", "21-07-01"),
    ]


def test_months_after_the_31st_end_sooner_without_drifting() -> None:
    assert windows_of("train=1M,test=1M", "2023-01-31", "2023-05-31") == [
        ("23-01-31", "23-02-28", "23-02-28", "23-03-31"),
        ("23-02-28", "23-03-31", "23-03-31", "23-04-30"),
        ("23-03-31", "23-04-30", "23-04-30", "23-05-31"),
    ]


def test_weeks_and_days() -> None:
    assert windows_of("train=2W,test=3D", "2024-02-20", "2024-03-11") == [
        ("24-02-20", "24-03-05", "24-03-05", "24-03-08"),
        ("24-02-23", "24-03-08", "24-03-08", "24-03-11"),
    ]


@pytest.mark.parametrize(
    ("end", "last"),
    [
        ("2021-07-01", ("21-04-01", "21-07-01")),  # complete
        ("2021-06-30", ("21-04-01", "21-06-30")),  # a day is missing
        ("2021-05-17", ("21-04-01", "21-05-17")),  # just over a half
        ("2021-05-16", ("21-01-01", "21-04-01")),  # just under a half
        ("2021-02-15", ("21-01-01", "21-02-15")),
    ],
)
def test_the_last_period_may_be_shorter_by_half(end: str, last: tuple[str, str]) -> None:
    assert windows_of("train=12M,test=3M", "2020-01-01", end)[-1][2:] == last


@pytest.mark.parametrize("end", ["2021-02-14", "2021-01-01", "2020-06-01", "2019-01-01"])
def test_none_fits(end: str) -> None:
    with pytest.raises(SearchError, match=r"from 2020-01-01 to .* is too short for one window.*data to 2021-04-01"):
        windows_of("train=12M,test=3M", "2020-01-01", end)


def test_nothing_is_left_after_the_purge() -> None:
    with pytest.raises(SearchError, match="nothing of the in-sample period is left after the purge"):
        windows_of("train=1M,test=1M,purge=5W", "2020-01-01", "2021-01-01")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown option without a name"),
        ("train=12M", "test must be given"),
        ("anchored", "train and test must be given"),
        ("tran=12M,test=3M", "unknown option tran; did you mean train?"),
        ("train=12m,test=3M", "12m is not a length; write 12M for months"),
        ("train=12,test=3M", "12 is not a length; write one such as"),
        ("train=,test=3M", " is not a length"),
        ("train=-3M,test=3M", "-3M is not a length"),
        ("train=12M,test=0M", "0M is not a length from one day to 200 years"),
        ("train=201Y,test=3M", "201Y is not a length from one day"),
        ("train=12M,test=3M,test=4M", "test is given twice"),
        ("train=12M,test=3M,anchored=yes", "anchored has no value"),
        ("train,test=3M", "train needs a length"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(SearchError) as raised:
        WalkForward.of(text)
    assert str(raised.value).startswith(f"{text}: ")
    assert message in str(raised.value)


@pytest.mark.parametrize("text", ["train=12M,test=3M", "train=30D,test=7D,anchored,purge=1M"])
def test_texts_come_back(text: str) -> None:
    assert str(WalkForward.of(text)) == text
    assert WalkForward.of(text.replace(",", " , ").lower().replace("m ", "M ").replace("1m", "1M").replace("3m", "3M"))


def test_times_stay_the_same_on_the_clock() -> None:
    """Daylight saving time begins on 10 March and ends on 3 November."""
    for zone in (ZoneInfo("America/New_York"), pytz.timezone("America/New_York")):
        start = pd.Timestamp("2024-02-01 09:30", tz=zone).to_pydatetime()
        windows = WalkForward.of("train=1M,test=1M").windows(start, later(start, 12, 0))
        assert len(windows) == 11
        for month, window in enumerate(windows, 3):
            expected = pd.Timestamp(2024 + month // 13, (month - 1) % 12 + 1, 1, 9, 30, tz=zone)
            assert window.test.start == expected
            assert window.test.start.utcoffset() == expected.utcoffset()


def test_both_times_have_a_zone_or_none() -> None:
    with pytest.raises(SearchError, match="both times with a time zone"):
        WalkForward.of("train=1M,test=1M").windows(datetime(2020, 1, 1), datetime(2021, 1, 1, tzinfo=timezone.utc))


LENGTHS = st.builds(lambda days: Length(days=days), st.integers(1, 90)) | st.builds(
    lambda months: Length(months=months), st.integers(1, 14)
)


def plain_later(day: date, months: int, days: int) -> date:
    """Return a day some months and days later, month by month."""
    year, month = day.year, day.month
    for _ in range(abs(months)):
        month += 1 if months > 0 else -1
        year, month = (year + 1, 1) if month == 13 else (year - 1, 12) if month == 0 else (year, month)
    last = day.day
    while True:
        try:
            return date(year, month, last) + timedelta(days=days)
        except ValueError:
            last -= 1


@examples(300)
@given(
    st.dates(date(2000, 1, 1), date(2030, 1, 1)),
    st.integers(1, 1_500),
    LENGTHS,
    LENGTHS,
    st.booleans(),
    st.just(Length()) | st.builds(lambda days: Length(days=days), st.integers(1, 5)),
)
def test_windows_follow_one_another(
    start: date, days: int, train: Length, test: Length, anchored: bool, purge: Length
) -> None:
    first, end = datetime.combine(start, datetime.min.time()), start + timedelta(days=days)
    walk = WalkForward(train, test, anchored, purge)

    def at(tests: int) -> date:
        return plain_later(start, train.months + tests * test.months, train.days + tests * test.days)

    expected = []
    while at(len(expected)) < end:
        number = len(expected)
        begins, ends = at(number), at(number + 1)
        if (end - begins) / (ends - begins) < 0.5:
            break
        trains_from = start if anchored else plain_later(start, number * test.months, number * test.days)
        expected.append((trains_from, begins - timedelta(days=purge.days), begins, min(ends, end)))
    try:
        windows = walk.windows(first, datetime.combine(end, datetime.min.time()))
    except SearchError:
        assert not expected or any(trained <= began for began, trained, _, _ in expected)
        return
    found = [(each.train.start, each.train.end, each.test.start, each.test.end) for each in windows]
    assert [tuple(moment.date() for moment in moments) for moments in found] == expected
    assert all(moment.time() == datetime.min.time() for moments in found for moment in moments)
    for (_, _, _, ended), (_, _, began, _) in pairwise(found):
        assert ended == began
