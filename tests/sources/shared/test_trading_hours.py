"""When markets are open, and where bars may start."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from lumibot_duckdb.sources.shared.trading_hours import DailyHours, TradingHours, hours_of
from lumibot_duckdb.storage.api import AssetKey, TimeRange

NEW_YORK = "America/New_York"
STOCK = hours_of(AssetKey("AAPL"))
COIN = hours_of(AssetKey("BTC", "crypto", "USD"))
EURO = hours_of(AssetKey("EUR", "forex", "USD"))
OPTION = hours_of(AssetKey("SPY", "option", expiration=date(2024, 1, 19), strike=470, right="CALL"))


def between(start: str, end: str, zone: str = NEW_YORK) -> TimeRange:
    return TimeRange(*(int(pd.Timestamp(text, tz=zone).timestamp()) for text in (start, end)))


@pytest.mark.parametrize(
    ("hours", "within", "timeframe", "expected"),
    [
        pytest.param(
            STOCK, ("2024-01-02", "2024-01-06"), "minute", ("2024-01-02 09:30", "2024-01-05 16:00"), id="week"
        ),
        pytest.param(STOCK, ("2024-01-02 12:00", "2024-01-02 15:30"), "minute", None, id="in a session"),
        pytest.param(STOCK, ("2024-01-05 16:00", "2024-01-08 09:30"), "minute", (), id="weekend"),
        pytest.param(STOCK, ("2024-01-13", "2024-01-16"), "minute", (), id="weekend and holiday"),
        pytest.param(STOCK, ("2024-07-03 13:00", "2024-07-04"), "minute", (), id="after an early close"),
        pytest.param(
            STOCK, ("2024-01-05 15:59", "2024-01-08"), "minute", ("2024-01-05 15:59", "2024-01-05 16:00"), id="1"
        ),
        pytest.param(
            STOCK, ("2024-01-05 00:00", "2024-01-05 09:31"), "minute", ("2024-01-05 09:30", "2024-01-05 09:31"), id="2"
        ),
        pytest.param(
            STOCK, ("2024-01-05", "2024-01-05 09:30"), "hour", ("2024-01-05 09:00", "2024-01-05 09:30"), id="hour"
        ),
        pytest.param(STOCK, ("2024-01-06", "2024-01-08"), "day", (), id="days of a weekend"),
        pytest.param(STOCK, ("2024-01-08", "2024-01-09"), "day", ("2024-01-08", "2024-01-08 16:00"), id="a day"),
        pytest.param(STOCK, ("2024-01-08 12:00", "2024-01-09"), "day", (), id="the rest of a day"),
        pytest.param(COIN, ("2024-01-06 03:00", "2024-01-06 03:01"), "minute", None, id="coin"),
        pytest.param(EURO, ("2024-01-05 17:00", "2024-01-07 17:00"), "minute", (), id="forex weekend"),
        pytest.param(EURO, ("2024-01-05", "2024-01-08"), "minute", ("2024-01-05", "2024-01-08"), id="forex"),
        pytest.param(
            OPTION, ("2024-01-18", "2024-01-27"), "minute", ("2024-01-18 09:30", "2024-01-19 16:00"), id="option"
        ),
        pytest.param(OPTION, ("2024-01-20", "2024-01-27"), "day", (), id="expired"),
        pytest.param(DailyHours(), ("2024-01-06", "2024-01-06"), "minute", (), id="empty"),
    ],
)
def test_a_range_is_cut_to_the_time_when_bars_may_start(
    hours: TradingHours, within: tuple[str, str], timeframe: str, expected: tuple[str, str] | tuple[()] | None
) -> None:
    found = hours.trading_part(between(*within), timeframe)
    if expected is None:
        expected = within
    assert found == (between(*expected) if expected else None)


def test_long_ranges_take_no_longer_than_short_ones() -> None:
    whole = between("1900-01-01", "2024-01-07", "UTC")
    found = STOCK.trading_part(whole, "day")
    assert found is not None
    assert whole.start < found.start < whole.start + 86_400
    assert found.end == between("2024-01-05", "2024-01-05 16:00").end
    assert COIN.trading_part(TimeRange(-(2**62), 2**62), "minute") is not None
