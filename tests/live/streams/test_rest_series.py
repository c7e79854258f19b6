"""What answers of a REST API prove, and which bars are taken from them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pandas as pd
import pytest

from lumibot_duckdb import clock
from lumibot_duckdb.live.streams.rest_series import RestSeries
from lumibot_duckdb.sources.provider import BarProvider, BarRequest, BarResponse
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.sources.shared.provider_clock import ProviderClock
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange

KEY = SeriesKey(AssetKey("SPY"), "alpaca", "minute", "all")


def at(time: str) -> int:
    return int(pd.Timestamp(f"2024-07-03 {time}", tz="America/New_York").timestamp())


class Provider(BarProvider):
    """Has bars at some times, and answers with everything that it has of a range, or of more."""

    def __init__(self, *times: str, wider: int = 0, price: float = 1.0) -> None:
        self.starts = sorted(at(time) for time in times)
        self.wider = wider
        self.price = price

    def bars(self, request: BarRequest) -> Iterator[BarResponse]:
        for start, stop in request.ranges:
            start, stop = start - self.wider, stop + self.wider
            inside = [each for each in self.starts if start <= each < stop]
            index = pd.to_datetime(inside, unit="s", utc=True)
            yield BarResponse(
                start, stop, pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), self.price), index)
            )


def read(provider: Provider, *ranges: tuple[str, str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
    series = RestSeries(KEY, provider, "SPY")
    found = series.read([TimeRange(at(first), at(stop)) for first, stop in ranges])
    return [
        ([int(each.timestamp()) for each in live.bars.index], [(piece.start, piece.end) for piece in live.covered])
        for live in found
    ]


@pytest.fixture(autouse=True)
def _afternoon(monkeypatch: pytest.MonkeyPatch) -> None:
    now = pd.Timestamp("2024-07-03 12:00:30", tz="America/New_York").tz_convert("UTC").to_pydatetime()
    monkeypatch.setattr(clock, "utc_now", lambda: now)


@pytest.mark.parametrize(("ahead", "kept"), [(0.0, 3), (-60.0, 2), (40.0, 4), (-3_600.0, 0)])
def test_the_clock_of_the_provider_decides_which_bars_have_closed(ahead: float, kept: int) -> None:
    """This computer may believe that it is an hour later."""
    there = ProviderClock()
    there.seconds_ahead = ahead
    series = RestSeries(KEY, Provider("11:57", "11:58", "11:59", "12:00"), "SPY", clock=there)
    (found,) = series.read([TimeRange(at("11:00"), at("12:01"))])
    assert len(found.bars) == kept
    assert found.asked_at == clock.utc_now() + timedelta(seconds=ahead)


def test_dates_of_answers_show_the_clock_of_the_provider() -> None:
    there = ProviderClock()
    for headers in ({"Date": "Wed, 03 Jul 2024 16:00:10 GMT"}, {}, {"Date": "soon"}):
        there.note(headers)
        assert there.seconds_ahead == -20.0


def test_an_answer_proves_what_is_between_its_bars() -> None:
    provider = Provider("10:02", "10:05")
    assert read(provider, ("10:00", "10:10")) == [([at("10:02"), at("10:05")], [(at("10:02"), at("10:06"))])]


def test_an_empty_answer_proves_nothing_while_the_market_is_open() -> None:
    assert read(Provider(), ("10:00", "10:10")) == []


def test_closed_time_is_proven() -> None:
    assert read(Provider("09:31"), ("09:00", "09:35")) == [
        ([at("09:31")], [(at("09:00"), at("09:30")), (at("09:31"), at("09:32"))])
    ]


def test_bars_outside_of_the_request_are_left_out() -> None:
    provider = Provider("09:58", "10:02", "10:05", "10:12", wider=1200)
    assert read(provider, ("10:00", "10:10")) == [([at("10:02"), at("10:05")], [(at("10:00"), at("10:10"))])]


def test_parts_that_are_only_requested_for_what_they_prove() -> None:
    series = RestSeries(KEY, Provider("10:02", "10:09"), "SPY")
    asked, gap = (TimeRange(at(start), at("10:10")) for start in ("10:02", "10:03"))
    (found,) = series.read([asked], only=[gap])
    assert (found.covered, len(found.bars)) == ((gap,), 1)


def test_an_unfinished_bar_is_left_out() -> None:
    assert read(Provider("11:58", "11:59", "12:00"), ("11:50", "12:05"))[0][0] == [at("11:58"), at("11:59")]


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_implausible_prices_are_refused(price: float) -> None:
    with pytest.raises(ProviderError, match="the bars of SPY have prices that are not positive numbers"):
        read(Provider("10:02", price=price), ("10:00", "10:10"))
