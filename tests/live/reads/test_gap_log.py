"""Which ranges a read covers, and how the filter and the broker share a read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pytest

from lumibot_duckdb.live.reads.gap_log import GapLog
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange

KEY = SeriesKey(AssetKey("SPY"), "alpaca", "minute", "all")


def at(minute: int) -> pd.Timestamp:
    return pd.Timestamp(minute * 60, unit="s", tz="UTC")


def bars(*minutes: int) -> pd.DataFrame:
    return pd.DataFrame({"close": 1.0}, index=pd.DatetimeIndex(map(at, minutes)))


class Broker:
    """Has a bar in every minute from `since` on; keeps what it was asked."""

    def __init__(self, since: int = 0, error: Exception | None = None) -> None:
        self.asked: list[tuple[Any, int, int]] = []
        self._since = since
        self._error = error

    def fetch(self, members: Sequence[Any], start: pd.Timestamp, stop: pd.Timestamp) -> dict[Any, pd.DataFrame]:
        first, end = (int(moment.timestamp()) // 60 for moment in (start, stop))
        self.asked.append((tuple(members), first, end))
        if self._error is not None:
            raise self._error
        return dict.fromkeys(members, bars(*range(max(first, self._since), end)))


def log_of(broker: Broker, read_filter: Any = None) -> GapLog:
    return GapLog(broker.fetch, read_filter, lambda series: None if series == "unknown" else KEY)


def answered(log: GapLog, *, from_first_bar: bool = False) -> list[tuple[int, int]]:
    """Return what is covered of a read from minute 10 to minute 20."""
    found = log.answered("SPY", at(10), at(20) - pd.Timedelta("1s"), from_first_bar=from_first_bar)
    return [(piece.start // 60, piece.end // 60) for piece in found]


def test_what_is_not_fetched_is_covered_by_lumibots_cache() -> None:
    assert answered(log_of(Broker())) == [(10, 20)]


@pytest.mark.parametrize(
    ("since", "from_first_bar", "expected"),
    [
        (0, False, [(10, 20)]),
        (99, False, [(10, 14), (18, 20)]),  # an empty answer
        (16, False, [(10, 20)]),
        (16, True, [(10, 14), (16, 20)]),
    ],
)
def test_what_an_answer_covers(since: int, from_first_bar: bool, expected: list[tuple[int, int]]) -> None:
    log = log_of(Broker(since))
    log.fetch(["SPY"], at(14), at(18))
    assert answered(log, from_first_bar=from_first_bar) == expected
    assert log.was_answered("SPY") == (since < 99)
    assert not log.was_repeated("SPY")


def test_a_read_that_begins_within_a_second_covers_whole_seconds() -> None:
    half = pd.Timedelta("500ms")
    assert log_of(Broker()).answered("SPY", at(10) + half, at(20), from_first_bar=False) == [TimeRange(601, 1201)]


def test_a_second_fetch_of_the_same_range_shows_that_prices_have_changed() -> None:
    log = log_of(Broker())
    log.fetch(["SPY"], at(9), at(12))
    log.fetch(["SPY", "QQQ"], at(18), at(20))
    assert not log.was_repeated("SPY")
    log.fetch(["SPY"], at(10), at(20))
    assert (log.was_repeated("SPY"), log.was_repeated("QQQ")) == (True, False)


class Half:
    """A filter that has the first half of each range."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def fetch(
        self, series: Any, key: SeriesKey, start: pd.Timestamp, stop: pd.Timestamp, fetch: Callable[..., Any]
    ) -> pd.DataFrame:
        if self.error is not None:
            raise self.error
        middle = start + (stop - start) // 2
        here = bars(*range(int(start.timestamp()) // 60, int(middle.timestamp()) // 60))
        return pd.concat([here, fetch(middle, stop)])


def test_a_filter_answers_a_part_of_a_gap() -> None:
    broker = Broker()
    log = log_of(broker, Half())
    found = log.fetch(["SPY", "unknown"], at(10), at(20))
    assert found is not None
    for frame in found.values():
        pd.testing.assert_frame_equal(frame, bars(*range(10, 20)))
    assert broker.asked == [(("SPY",), 15, 20), (("SPY", "unknown"), 10, 20)]
    assert answered(log) == [(10, 20)]


def test_a_filter_that_asks_for_everything_costs_one_request() -> None:
    class Nothing(Half):
        def fetch(self, series: Any, key: SeriesKey, start: Any, stop: Any, fetch: Callable[..., Any]) -> Any:
            return fetch(start, stop)

    broker = Broker()
    found = log_of(broker, Nothing()).fetch(["SPY", "QQQ"], at(10), at(20))
    assert found is not None
    assert [len(frame) for frame in found.values()] == [10, 10]
    assert broker.asked == [(("SPY", "QQQ"), 10, 20)]


def test_if_a_filter_fails_the_broker_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    found = log_of(Broker(), Half(RuntimeError("the store is on fire"))).fetch(["SPY"], at(10), at(20))
    assert found is not None
    pd.testing.assert_frame_equal(found["SPY"], bars(*range(10, 20)))
    assert "the broker is asked" in caplog.text


def test_the_brokers_errors_pass_a_filter() -> None:
    error = ValueError("the account is closed")
    with pytest.raises(ValueError, match="closed") as raised:
        log_of(Broker(error=error), Half()).fetch(["SPY"], at(10), at(20))
    assert raised.value is error
