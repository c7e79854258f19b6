"""The states of trading days: bars, gaps, provisional gaps, and days that nobody requested."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.sources.shared.trading_hours import hours_of
from lumibot_duckdb.storage.api import AssetKey, ProvisionalRange, SeriesInfo, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import merged
from lumibot_duckdb.storage.bars.outline import Days
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import NEW_YORK, SECONDS_PER_DAY, UTC, date_of, midnight
from lumibot_duckdb.store_page.market_days import (
    SeriesDays,
    is_intraday,
    market_days,
    market_of,
    series_days,
    years_of,
)

LATER = datetime(2100, 1, 1, tzinfo=timezone.utc)
STOCK, CRYPTO, FOREX = AssetKey("AAPL"), AssetKey("BTC", "crypto", "USD"), AssetKey("EUR", "forex", "USD")
OPTION = AssetKey("SPY", "option", expiration=date(2024, 1, 5), strike=470, right="CALL")
HOUR = 3_600


def at(day: str, hour: float = 0, zone: Any = NEW_YORK) -> int:
    return midnight(date.fromisoformat(day), zone) + int(hour * HOUR)


def info_of(
    asset: AssetKey, timeframe: str, times: list[int], covered: list[TimeRange], provisional: list[TimeRange]
) -> SeriesInfo:
    ends = (times[0], times[-1]) if times else (None, None)
    expiring = tuple(ProvisionalRange(piece, LATER) for piece in provisional)
    return SeriesInfo(SeriesKey(asset, "test", timeframe), 1, 1, len(times), *ends, tuple(merged(covered)), expiring)


def shown(info: SeriesInfo, times: list[int]) -> dict[str, str]:
    """Return the state of each trading day that is drawn."""
    market = market_days(market_of(info.key.asset), is_intraday(info), years_of([info]))
    days = series_days(info, Days.of(np.array(times, np.int64)), market)
    numbers = market.numbers[days.begin : days.begin + len(days.states)]
    return {
        (date(1970, 1, 1) + timedelta(days=int(number))).isoformat(): chr(state)
        for number, state in zip(numbers, days.states, strict=True)
    }


def states(
    asset: AssetKey,
    timeframe: str,
    times: list[int],
    covered: list[TimeRange],
    provisional: list[TimeRange] | None = None,
) -> dict[str, str]:
    return shown(info_of(asset, timeframe, times, covered, provisional or []), times)


def test_a_covered_trading_day_without_bars_is_a_gap() -> None:
    covered = [TimeRange(at("2024-01-01"), at("2024-01-10"))]
    times = [at("2024-01-02", 9.5), at("2024-01-04", 9.5), at("2024-01-05", 15)]
    # The 1st was a holiday, the 6th and 7th a weekend.
    assert states(STOCK, "hour", times, covered) == {
        "2024-01-02": "b",
        "2024-01-03": "g",
        "2024-01-04": "b",
        "2024-01-05": "b",
        "2024-01-08": "g",
        "2024-01-09": "g",
    }


def test_a_day_that_is_covered_in_part_is_no_gap() -> None:
    covered = [TimeRange(at("2024-01-02"), at("2024-01-03", 12)), TimeRange(at("2024-01-04", 9.5), at("2024-01-05"))]
    assert states(STOCK, "minute", [at("2024-01-02", 10)], covered) == {
        "2024-01-02": "b",
        "2024-01-03": "n",
        "2024-01-04": "g",
    }


def test_provisional_coverage_has_a_state_of_its_own() -> None:
    covered = [TimeRange(at("2024-01-02"), at("2024-01-06"))]
    provisional = [TimeRange(at("2024-01-04", 12), at("2024-01-06"))]
    times = [at("2024-01-02", 10), at("2024-01-05", 10)]
    assert states(STOCK, "minute", times, covered, provisional) == {
        "2024-01-02": "b",
        "2024-01-03": "g",
        "2024-01-04": "p",
        "2024-01-05": "b",
    }


@pytest.mark.parametrize("zone", [NEW_YORK, UTC])
def test_a_daily_bar_belongs_to_the_session_that_opens_during_it(zone: Any) -> None:
    times = [at(day, zone=zone) for day in ("2024-01-02", "2024-01-03", "2024-01-05", "2024-01-08")]
    covered = [TimeRange(times[0], times[-1] + SECONDS_PER_DAY)]
    found = states(STOCK, "day", times, covered)
    assert found == dict.fromkeys(("2024-01-02", "2024-01-03", "2024-01-05", "2024-01-08"), "b") | {"2024-01-04": "g"}


def test_a_weekly_bar_is_for_all_its_days() -> None:
    times = [at("2024-01-01"), at("2024-01-15")]
    found = states(STOCK, "week", times, [TimeRange(times[0], times[-1] + 7 * SECONDS_PER_DAY)])
    assert [day for day, state in found.items() if state == "g"] == [f"2024-01-{day:02}" for day in range(8, 13)]
    assert set(found.values()) == {"b", "g"}


def test_crypto_is_traded_every_day() -> None:
    times = [at("2024-01-05", zone=UTC), at("2024-01-08", zone=UTC)]
    assert states(CRYPTO, "day", times, [TimeRange(times[0], times[-1] + SECONDS_PER_DAY)]) == {
        "2024-01-05": "b",
        "2024-01-06": "g",
        "2024-01-07": "g",
        "2024-01-08": "b",
    }


def test_the_currency_market_opens_on_sunday_evening() -> None:
    covered = [TimeRange(at("2024-01-05"), at("2024-01-09"))]
    times = [at("2024-01-05", 10), at("2024-01-08", 10)]
    assert states(FOREX, "hour", times, covered) == {"2024-01-05": "b", "2024-01-07": "g", "2024-01-08": "b"}
    # A daily bar of Monday has Sunday evening in it.
    daily = [at("2024-01-05", zone=UTC), at("2024-01-08", zone=UTC)]
    whole = [TimeRange(daily[0], daily[-1] + SECONDS_PER_DAY)]
    assert states(FOREX, "day", daily, whole) == {"2024-01-05": "b", "2024-01-08": "b"}


def test_a_contract_has_no_gap_after_its_expiration() -> None:
    covered = [TimeRange(at("2024-01-02"), at("2024-02-01"))]
    found = states(OPTION, "day", [at("2024-01-02")], covered)
    assert found == {"2024-01-02": "b", "2024-01-03": "g", "2024-01-04": "g", "2024-01-05": "g"}


def test_a_series_with_coverage_alone_and_one_with_nothing() -> None:
    assert states(STOCK, "day", [], [TimeRange(at("2024-01-02"), at("2024-01-03"))]) == {"2024-01-02": "g"}
    assert states(STOCK, "day", [], []) == {}


def test_no_calendar_is_asked_about_other_centuries() -> None:
    assert years_of([]) == (1970, 1970)
    ancient, later = at("2024-01-02") - 10**11, at("2024-01-02") + 10**11
    assert years_of([info_of(STOCK, "day", [], [TimeRange(ancient, at("2024-01-03"))], [])]) == (1900, 2024)
    assert years_of([info_of(STOCK, "day", [], [TimeRange(at("2023-01-03"), later)], [])]) == (2023, 2100)


@pytest.mark.parametrize("text", ["", "b", "b3", "bgb", "n2b250gp12b"])
def test_runs_say_what_the_states_are(text: str) -> None:
    found = "".join(state * int(count or 1) for state, count in re.findall(r"([a-z])(\d*)", text))
    days = SeriesDays(0, np.frombuffer(found.encode(), np.uint8))
    assert days.runs() == text
    assert days.count(ord("b")) == found.count("b")


SPAN = 40 * SECONDS_PER_DAY
START = at("2023-10-20")  # with a change of the clocks and Thanksgiving
RANGES = st.lists(st.tuples(st.integers(0, SPAN), st.integers(0, 9 * SECONDS_PER_DAY)), max_size=5)


def plain_states(info: SeriesInfo, times: list[int]) -> dict[str, str]:
    """Do the same one day after another."""
    intraday = bar_seconds(info.key.timeframe) < SECONDS_PER_DAY
    sessions = hours_of(info.key.asset).sessions(date(2023, 1, 1), date(2024, 12, 31))
    found: dict[str, str] = {}
    edges = [*(piece.start for piece in info.coverage), *times]
    ends = [*(piece.end for piece in info.coverage), *(time + bar_seconds(info.key.timeframe) for time in times)]
    day = date(2023, 10, 1)
    while edges and day < date(2024, 2, 1):
        begin, end = midnight(day, NEW_YORK), midnight(day + timedelta(days=1), NEW_YORK)
        if intraday:
            parts = [(max(o, begin), min(c, end)) for o, c in sessions if o < end and c > begin]
            has = any(date_of(time, NEW_YORK) == day for time in times)
        else:
            parts = [(o, o + 1) for o, c in sessions if date_of(o) == day]
            has = any(time <= part[0] < time + bar_seconds(info.key.timeframe) for part in parts for time in times)
        if parts and parts[-1][1] > min(edges) and parts[0][0] < max(ends):
            start, stop = parts[0][0], parts[-1][1]
            if has:
                state = "b"
            elif not any(piece.start <= start and stop <= piece.end for piece in info.coverage):
                state = "n"
            elif any(each.within.start < stop and each.within.end > start for each in info.provisional):
                state = "p"
            else:
                state = "g"
            found[day.isoformat()] = state
        day += timedelta(days=1)
    return found


@given(
    st.sampled_from([(STOCK, "hour"), (STOCK, "day"), (CRYPTO, "hour"), (CRYPTO, "day"), (FOREX, "hour")]),
    st.sets(st.integers(0, SPAN // HOUR), max_size=30),
    RANGES,
    RANGES,
)
@examples(60)
def test_states_equal_those_of_a_plain_model(
    kind: tuple[AssetKey, str], hours: set[int], covered: Any, provisional: Any
) -> None:
    asset, timeframe = kind
    times = [START + hour * HOUR for hour in sorted(hours)]
    if timeframe == "day":  # one bar a day, as from any source
        times = sorted({time // SECONDS_PER_DAY * SECONDS_PER_DAY for time in times})
    proven, expiring = (
        [TimeRange(START + begin, START + begin + length) for begin, length in ranges if length]
        for ranges in (covered, provisional)
    )
    info = info_of(asset, timeframe, times, [*proven, *expiring], merged(expiring))
    assert shown(info, times) == plain_states(info, times)
