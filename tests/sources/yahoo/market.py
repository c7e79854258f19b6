"""Instruments of the Yahoo server in tests: real US stocks with their splits and dividends, and made-up ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pandas_market_calendars

from parity.series import REAL_DATA
from sources.yahoo.server import Instrument

_COLUMNS = ["open", "high", "low", "close", "volume"]


def have_real_data() -> bool:
    """Return whether the real bars are available."""
    return (REAL_DATA / "us_equities_factors.parquet").exists()


@lru_cache(maxsize=16)
def real(symbol: str) -> Instrument:
    """Return a US stock, 1998 to March 2021, with the splits and dividends that its adjustment factors imply."""
    daily = pd.read_parquet(REAL_DATA / "us_equities_daily.parquet", filters=[("symbol", "==", symbol)])
    bars = daily.set_index(pd.DatetimeIndex(pd.to_datetime(daily["date"])))[_COLUMNS].sort_index()
    factors = pd.read_parquet(REAL_DATA / "us_equities_factors.parquet", filters=[("symbol", "==", symbol)])
    rows = factors.sort_values("date").to_dict("records")
    fund = symbol in ("SPY", "QQQ", "IWM", "EEM", "USO")
    instrument = Instrument(bars, kind="ETF" if fund else "EQUITY")
    for row, following in pairwise(rows):
        later = bars.index[bars.index > pd.Timestamp(row["date"])]
        before = bars["close"][bars.index <= pd.Timestamp(row["date"])]
        if not len(later) or not len(before):
            continue
        ex_date = later[0].date()
        split = following["split_factor"] / row["split_factor"]
        if abs(split - 1) > 1e-9:
            instrument.splits[ex_date] = (round(split, 6), 1.0) if split > 1 else (1.0, round(1 / split, 6))
        kept = row["price_factor"] / following["price_factor"]
        if kept < 1 - 1e-9:
            instrument.dividends[ex_date] = round(float(before.iloc[-1] * (1 - kept)), 6)
    return instrument


@lru_cache(maxsize=64)
def new_york_days(first: str, last: str) -> pd.DatetimeIndex:
    """Return the days on which New York's exchange trades."""
    schedule = pandas_market_calendars.get_calendar("NYSE").schedule(first, last)
    return pd.DatetimeIndex(schedule.index).as_unit("ns")


def walk(index: pd.DatetimeIndex, seed: int, *, price: float = 100.0, step: float = 0.01) -> pd.DataFrame:
    """Return bars that walk at random."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.normal(0, step, len(index))))
    opening = close * np.exp(rng.normal(0, step / 2, len(index)))
    low, high = np.minimum(opening, close), np.maximum(opening, close)
    bars = pd.DataFrame({"open": opening, "high": high * 1.002, "low": low * 0.998, "close": close}, index=index)
    return bars.round(4).assign(volume=rng.integers(100, 1_000_000, len(index)).astype(float))


def made_up(today: dt.date, *, years: int = 3) -> dict[str, Instrument]:
    """Return instruments of all sorts that trade until today, daily. They are the caller's to change."""
    return {
        symbol: replace(
            made,
            splits=dict(made.splits),
            dividends=dict(made.dividends),
            capital_gains=dict(made.capital_gains),
        )
        for symbol, made in _made_up(today, years).items()
    }


@lru_cache(maxsize=4)
def _made_up(today: dt.date, years: int) -> dict[str, Instrument]:
    first, last = str(today - dt.timedelta(days=365 * years)), str(today)
    sessions, weekdays = new_york_days(first, last), pd.bdate_range(first, last)
    every_day = pd.date_range(first, last)
    gaps = walk(sessions, 5)
    gaps.iloc[20:23, 3] = np.nan
    gaps.iloc[200:201] = np.nan
    index = walk(sessions, 6, price=4000.0)
    index["volume"] = 0.0
    middle, late = sessions[len(sessions) // 2].date(), sessions[-40].date()
    return {
        "AAA": Instrument(
            walk(sessions, 1),
            splits={middle: (4.0, 1.0), sessions[100].date(): (1.0, 3.0)},
            dividends={day.date(): 0.37 for day in sessions[30::63]},
        ),
        "FUND": Instrument(
            walk(sessions, 2, step=0.004),
            kind="MUTUALFUND",
            dividends={day.date(): 0.21 for day in sessions[50::90]},
            capital_gains={sessions[180].date(): 1.4, late: 2.25},
        ),
        "BTC-USD": Instrument(
            walk(every_day, 3, price=30_000.0, step=0.03),
            kind="CRYPTOCURRENCY",
            market="ccc_market",
            zone="UTC",
            hours=("00:00", "24:00"),
        ),
        "ES=F": Instrument(
            walk(weekdays, 4, price=5000.0), kind="FUTURE", market="us24_market", hours=("00:00", "24:00")
        ),
        "GAPS": Instrument(gaps, dividends={sessions[21].date(): 0.1, sessions[400].date(): 0.5}),
        "^GSPC": Instrument(index, kind="INDEX"),
        "VOD.L": Instrument(
            walk(weekdays, 7, price=80.0),
            market="gb_market",
            zone="Europe/London",
            hours=("08:00", "16:30"),
            dividends={weekdays[300].date(): 4.5},
        ),
        "7203.T": Instrument(
            walk(weekdays, 8, price=2000.0), market="jp_market", zone="Asia/Tokyo", hours=("09:00", "15:00")
        ),
        "SILENT": Instrument(walk(sessions, 9), market=None),
        "YOUNG": Instrument(walk(sessions[-30:], 10)),
    }


def with_minutes(
    instrument: Instrument, seed: int, days: Iterable[dt.date], hours: tuple[str, str] = ("04:00", "20:00")
) -> Instrument:
    """Give an instrument minutes on some days, extended hours included; most minutes have trades."""
    rng = np.random.default_rng(seed)
    pieces = []
    for day in days:
        start = pd.Timestamp(f"{day} {hours[0]}", tz=instrument.zone)
        end = pd.Timestamp(day, tz=instrument.zone) + pd.Timedelta(f"{hours[1]}:00")
        minutes = pd.date_range(start, end, freq="min", inclusive="left")
        pieces.append(minutes[rng.random(len(minutes)) < 0.95])
    index = pieces[0].append(pieces[1:])
    instrument.minutes = walk(pd.DatetimeIndex(index), seed, price=50.0, step=0.0005)
    return instrument
