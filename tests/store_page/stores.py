"""A store with everything that the status page shows."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pandas_market_calendars

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.input_checks import check_bars
from lumibot_duckdb.storage.bars.spool import Spool, SpooledWrite
from lumibot_duckdb.storage.bars.write_request import BarsWrite
from lumibot_duckdb.storage.times import NEW_YORK, midnight
from storage.frames import minute_bars

EVIL = "</script><script>throw 1</script><img src='https://example.com/a.png'><b>&amp;"
NEW_YORK_NAME = "America/New_York"


def range_of(first: str, end: str) -> TimeRange:
    """Return the range between the midnights of two days in New York."""
    return TimeRange(*(midnight(date.fromisoformat(day), NEW_YORK) for day in (first, end)))


def sessions(first: str, last: str) -> pd.DatetimeIndex:
    """Return the midnights (New York) of the days on which the exchange was open."""
    schedule = pandas_market_calendars.get_calendar("NYSE").schedule(first, last)
    return pd.DatetimeIndex(schedule.index).tz_localize(NEW_YORK_NAME)


def bars_at(times: pd.DatetimeIndex) -> pd.DataFrame:
    """Return bars that start at some times."""
    return pd.DataFrame({"open": 1.0, "high": 2.0, "low": 1.0, "close": 1.5, "volume": 9.0}, index=times)


def daily(first: str, last: str, *, without: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return daily bars of the exchange, without some days."""
    times = sessions(first, last)
    return bars_at(times[~times.strftime("%Y-%m-%d").isin(without)])


def hourly(first: str, last: str) -> pd.DataFrame:
    """Return the seven hourly bars of each session."""
    starts = sessions(first, last) + pd.Timedelta(hours=9, minutes=30)
    return bars_at(pd.DatetimeIndex(np.concatenate([starts + pd.Timedelta(hours=h) for h in range(7)])).sort_values())


def spool(storage: DuckDBDataStorage, symbol: str = "WAIT") -> None:
    """Put a download into the spool."""
    key = SeriesKey(AssetKey(symbol), "polygon", "minute")
    bars = check_bars(key.label(), minute_bars())
    now = datetime.now(timezone.utc)
    write = BarsWrite(key, bars, TimeRange(0, 60), replace=False, metadata=None, onto=None, asked_at=now)
    Spool(storage.path).keep(SpooledWrite(write, ""))


def filled(folder: Path) -> DuckDBDataStorage:
    """Return a store with several sources, gaps, provisional coverage, a spooled write and an evil name."""
    storage = DuckDBDataStorage(folder / "store")
    first, last = "2022-01-03", "2023-12-29"
    storage.store_ohlcv_data("AAPL", daily(first, last), "yahoo", "day", adjustment="all")
    gappy = daily(first, last, without=("2022-03-08", "2022-03-09", "2023-06-01"))
    storage.store_ohlcv_data("GAPS", gappy, "yahoo", "day", adjustment="all")
    covered = range_of("2023-01-01", "2024-01-01")
    storage.store_ohlcv_data("SPY", hourly("2023-01-03", "2023-12-29"), "polygon", "hour", covered=covered)
    storage.store_ohlcv_data(
        "THIN",
        hourly("2023-02-01", "2023-10-31"),
        "polygon",
        "hour",
        covered=covered,
        provisional=[range_of("2023-01-01", "2023-02-01"), range_of("2023-11-01", "2024-01-01")],
        asked_at=datetime.now(timezone.utc) - timedelta(days=2),
    )
    crypto = pd.date_range("2023-01-01", "2023-12-31", freq="D", tz="UTC")
    storage.store_ohlcv_data(AssetKey("BTC", "crypto", "USD"), bars_at(crypto), "coinbase", "day")
    option = AssetKey("SPY", "option", expiration=date(2023, 6, 16), strike=420, right="CALL")
    storage.store_ohlcv_data(option, daily("2023-03-01", "2023-06-16"), "polygon", "day")
    storage.store_ohlcv_data(
        AssetKey(EVIL), daily("2023-03-01", "2023-06-16", without=("2023-03-08",)), "polygon", "day"
    )
    spool(storage, EVIL)
    return storage
