"""Lumibot's stamps against pandas' own arithmetic on every bar, and the days on which markets trade."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb.sources.yahoo.client import Market
from lumibot_duckdb.sources.yahoo.sessions import StampedRows, Stamps, may_have_traded

NEW_YORK = "America/New_York"
US, CRYPTO, FUTURES, LONDON = (
    Market(name, NEW_YORK) for name in ("us_market", "ccc_market", "us24_market", "gb_market")
)


class Times:
    """Rows whose times are held."""

    def __init__(self, index: pd.DatetimeIndex) -> None:
        self._index = index.tz_convert("UTC")

    def __len__(self) -> int:
        return len(self._index)

    def row_at(self, time: int) -> int:
        return int(self._index.asi8.searchsorted(time, side="right")) - 1

    def row_from(self, time: int) -> int:
        return int(self._index.asi8.searchsorted(time, side="left"))

    def index(self, start: int, stop: int) -> pd.DatetimeIndex:
        return self._index[start:stop]


def bars() -> dict[str, pd.DatetimeIndex]:
    days = pd.date_range("2024-02-20", "2024-04-20", freq="B", tz=NEW_YORK)
    minutes = pd.date_range("2024-03-07 09:30", "2024-03-12 15:59", freq="7min", tz=NEW_YORK)
    off_the_minute = minutes[:5].append(pd.DatetimeIndex([minutes[4] + pd.Timedelta(seconds=23)]))
    return {
        "days": days,
        "minutes": minutes,
        "off the minute": off_the_minute,
        "utc": days.tz_convert("UTC").normalize(),
    }


@pytest.mark.parametrize("name", bars())
@pytest.mark.parametrize(
    ("market", "hour", "minute"),
    [(US, 16, 0), (Market("ccc_market", "UTC"), 23, 59), (Market("ccc_market", "Asia/Tokyo"), 23, 59)],
)
def test_stamps_and_rows_by_stamp(name: str, market: Market, hour: int, minute: int) -> None:
    index = bars()[name]
    local = index.tz_convert(market.zone)
    expected = local.map(lambda time: time.replace(hour=hour, minute=minute))
    stamps = Stamps.of(market)
    starts = index.tz_convert("UTC").as_unit("s").asi8
    assert np.array_equal(stamps.stamped(starts) * 10**9, expected.asi8)

    def index_of(times: np.ndarray) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(stamps.stamped(times) * 10**9, tz="UTC")

    rows = StampedRows(Times(index), stamps, index_of)
    assert np.array_equal(rows.index(0, len(index)).asi8, expected.asi8)
    around = {time + shift for time in expected.asi8 for shift in (-1, 0, 1, 23 * 10**9, 60 * 10**9, 5 * 3600 * 10**9)}
    for time in sorted(around | {int(index.asi8[0]) - 10**15, int(index.asi8[-1]) + 10**15}):
        assert rows.row_from(time) == expected.asi8.searchsorted(time, side="left")
        assert rows.row_at(time) == expected.asi8.searchsorted(time, side="right") - 1


def test_bars_of_other_markets_keep_their_starts() -> None:
    starts = bars()["days"].as_unit("s").asi8
    for market in (LONDON, Market(), Market("us_market", "")):
        assert np.array_equal(Stamps.of(market).stamped(starts), starts)


@pytest.mark.parametrize(
    ("market", "start", "end", "traded"),
    [
        (US, "2024-05-24 16:00", "2024-05-28 09:30", False),  # Memorial Day
        (US, "2024-05-24 15:59", "2024-05-28 09:30", True),
        (US, "2024-05-24 16:00", "2024-05-28 09:31", True),
        (US, "2024-07-03 13:00", "2024-07-04 23:59", False),  # a half day, then a holiday
        (LONDON, "2024-05-25 00:00", "2024-05-27 00:00", False),
        (LONDON, "2024-05-25 00:00", "2024-05-27 00:01", True),
        (FUTURES, "2024-05-25 00:00", "2024-05-26 00:00", False),
        (FUTURES, "2024-05-25 00:00", "2024-05-26 20:00", True),
        (CRYPTO, "2024-05-25 00:00", "2024-05-25 00:01", True),
        (CRYPTO, "2024-05-25 00:00", "2024-05-25 00:00", False),
        (US, "2024-05-01 16:00", "2024-05-28 09:30", True),
        (Market(), "2024-05-25 00:00", "2024-05-27 00:00", False),
    ],
)
def test_when_markets_trade(market: Market, start: str, end: str, traded: bool) -> None:
    first, last = (int(pd.Timestamp(time, tz=NEW_YORK).timestamp()) for time in (start, end))
    assert may_have_traded(market, NEW_YORK, first, last) is traded


def test_sundays_are_days_of_trading_in_some_places() -> None:
    first, last = (int(pd.Timestamp(time, tz="Asia/Riyadh").timestamp()) for time in ("2024-05-26", "2024-05-27"))
    assert may_have_traded(Market("sr_market", "Asia/Riyadh"), "Asia/Riyadh", first, last)
    assert not may_have_traded(Market("gb_market", "Europe/London"), "Europe/London", first, last)
