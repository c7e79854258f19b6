"""Generates realistic minute bars for the demo, the benchmarks and the tests.

The bars follow New York's calendar with its holidays and half days, from 04:00 to 20:00 with thin extended hours.
Minutes without trades are missing, and there are halts. Prices are correlated, volatility comes in bursts, and volume
is highest at the open and the close. `crypto_bars` trade around the clock. The same arguments give the same bars, in
any order and process.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lumibot_duckdb.storage.times import index_seconds, midnight

if TYPE_CHECKING:
    import pandas as pd

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
Integers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

MARKET_TIME_ZONE = "America/New_York"
_MINUTE = 60
_PREMARKET_MINUTES = 330  # 04:00 to 09:30
_AFTER_HOURS_MINUTES = 240  # 16:00 to 20:00; a half day ends at 17:00, four hours after its close as well
_CLUSTER_MINUTES = 30  # volatility changes from half hour to half hour


@dataclass(frozen=True)
class _Calendar:
    """Every minute in which a market may trade, with one element per minute.

    `times` are epoch seconds, `session` counts trading days from 0, `presence` is the probability of a trade, and
    `activity` and `swing` are the usual volume and volatility relative to midday.
    """

    times: Integers
    session: Integers
    presence: Floats
    activity: Floats
    swing: Floats


@dataclass(frozen=True)
class _Mood:
    """What all symbols share: a standard normal move per minute and per session's open, and the volatility."""

    moves: Floats
    gaps: Floats
    volatility: Floats


@dataclass(frozen=True)
class _Market:
    """The parameters of a market. Ranges are (lowest, highest); `price` and `volume` are (median, log deviation).

    `gap` is the move of a symbol between two sessions, `volume` its usual volume per minute, and `halt_minutes` are the
    possible lengths of a halt.
    """

    name: str
    minutes_a_day: int
    days_a_year: int
    gap: float
    halts_a_year: float
    halt_minutes: tuple[int, ...]
    price: tuple[float, float]
    volume: tuple[float, float]
    volume_decimals: int
    daily_volatility: tuple[float, float]
    correlation: tuple[float, float]


_US_STOCKS = _Market(
    name="stock",
    minutes_a_day=390,
    days_a_year=252,
    gap=0.6,
    halts_a_year=2.0,
    halt_minutes=(5, 5, 5, 10, 15, 30, 60),
    price=(80.0, 0.8),
    volume=(9_000.0, 1.0),
    volume_decimals=0,
    daily_volatility=(0.010, 0.028),
    correlation=(0.3, 0.7),
)
_CRYPTO = _Market(
    name="crypto",
    minutes_a_day=1440,
    days_a_year=365,
    gap=0.0,
    halts_a_year=4.0,
    halt_minutes=(10, 20, 45, 90, 240),
    price=(2_000.0, 1.5),
    volume=(20.0, 1.0),
    volume_decimals=4,
    daily_volatility=(0.025, 0.05),
    correlation=(0.5, 0.85),
)


def symbol_names(count: int) -> list[str]:
    """Return `count` symbols (`SIM001`, ...) that no real company has."""
    return [f"SIM{number:03d}" for number in range(1, count + 1)]


def us_stock_bars(symbol: str, start: date, end: date, *, seed: int = 0) -> pd.DataFrame:
    """Return generated minute bars of one US stock for `start <= day < end`, including extended hours.

    The index is tz-aware (America/New_York), increasing and named "datetime"; the columns are open, high, low, close
    (two decimals) and volume (whole numbers), all float64. Two years are about 424,000 rows. Raises `ValueError` if the
    span is empty.
    """
    return _bars(_US_STOCKS, symbol, start, end, seed)


def crypto_bars(symbol: str, start: date, end: date, *, seed: int = 0) -> pd.DataFrame:
    """Return generated minute bars of one coin for `start <= day < end` (UTC days), around the clock.

    Index, columns and errors are those of `us_stock_bars`; volume has four decimals. Minutes without trades, and those
    in which the exchange was down, are missing.
    """
    return _bars(_CRYPTO, symbol, start, end, seed)


def _bars(market: _Market, symbol: str, start: date, end: date, seed: int) -> pd.DataFrame:
    """Choose the minutes with trades, then generate a random walk over them."""
    import pandas as pd

    calendar = _calendar(market.name, start, end)
    mood = _mood(market.name, start, end, seed)
    rng = _generator(seed, market.name, symbol)
    daily_volatility = rng.uniform(*market.daily_volatility)
    shared = rng.uniform(*market.correlation)
    own = np.sqrt(1.0 - shared**2)
    first_price = _around(market.price, rng)
    usual_volume = _around(market.volume, rng)

    traded = rng.random(len(calendar.times)) < calendar.presence ** rng.uniform(0.7, 1.4)
    resumptions = _halt(traded, market, calendar, rng)
    at = np.flatnonzero(traded)
    count = len(at)
    clustering = _bursts(len(calendar.times), rng)[at] * mood.volatility[at]
    volatility = daily_volatility / np.sqrt(market.minutes_a_day) * clustering * calendar.swing[at]

    moves = volatility * (shared * mood.moves[at] + own * rng.standard_normal(count))
    jumps = 0.1 * volatility * rng.standard_normal(count)
    opening = np.flatnonzero(np.diff(calendar.session[at], prepend=-1))
    gaps = shared * mood.gaps[calendar.session[at[opening]]] + own * rng.standard_normal(len(opening))
    jumps[opening] += market.gap * daily_volatility * gaps
    resumed = np.searchsorted(at, resumptions)
    resumed = resumed[resumed < count]
    jumps[resumed] += daily_volatility * rng.standard_normal(len(resumed))

    close = np.log(first_price) + np.cumsum(moves + jumps)
    open_ = close - moves
    high = np.maximum(open_, close) + 0.5 * volatility * np.abs(rng.standard_normal(count))
    low = np.minimum(open_, close) - 0.5 * volatility * np.abs(rng.standard_normal(count))
    busy = calendar.activity[at] * clustering * np.exp(0.7 * rng.standard_normal(count))
    volume = np.maximum(np.round(usual_volume * busy, market.volume_decimals), 10.0**-market.volume_decimals)

    index = pd.DatetimeIndex(calendar.times[at] * 1_000_000_000, tz="UTC").tz_convert(MARKET_TIME_ZONE)
    prices = {"open": _price(open_), "high": _price(high), "low": _price(low), "close": _price(close)}
    bars: pd.DataFrame = pd.DataFrame({**prices, "volume": volume}, index=index.rename("datetime"))
    return bars


def _around(median_and_deviation: tuple[float, float], rng: np.random.Generator) -> float:
    median, deviation = median_and_deviation
    return median * float(np.exp(deviation * rng.standard_normal()))


def _price(logarithm: Floats) -> Floats:
    """Return prices rounded to cents, at least one cent. Rounding keeps the order, so a high stays a high."""
    price: Floats = np.maximum(np.round(np.exp(logarithm), 2), 0.01)
    return price


def _halt(
    traded: np.ndarray[Any, np.dtype[np.bool_]], market: _Market, calendar: _Calendar, rng: np.random.Generator
) -> Integers:
    """Remove the minutes of a few halts from `traded` (in place); return the minutes at which trading resumes."""
    busy = np.flatnonzero(calendar.presence > 0.99)
    if len(busy) == 0:
        return busy
    years = (calendar.session[-1] + 1) / market.days_a_year
    starts = rng.choice(busy, size=rng.poisson(market.halts_a_year * years))
    ends = starts + rng.choice(market.halt_minutes, size=len(starts))
    for start, end in zip(starts, ends, strict=True):
        traded[start:end] = False
    return np.sort(ends)


def _bursts(count: int, rng: np.random.Generator) -> Floats:
    """Return a volatility factor per minute that stays high or low for hours and days; its mean square is near one."""
    blocks = -(-count // _CLUSTER_MINUTES)
    slow = _autoregression(blocks, memory=0.997, deviation=0.35, rng=rng)
    fast = _autoregression(blocks, memory=0.90, deviation=0.25, rng=rng)
    factor: Floats = np.repeat(np.exp(slow + fast - 0.35**2 - 0.25**2), _CLUSTER_MINUTES)[:count]
    return factor


def _autoregression(count: int, *, memory: float, deviation: float, rng: np.random.Generator) -> Floats:
    """Return a first-order autoregressive series with this standard deviation around zero."""
    shocks = deviation * np.sqrt(1.0 - memory**2) * rng.standard_normal(count)
    return np.fromiter(accumulate(shocks.tolist(), lambda level, shock: memory * level + shock), np.float64, count)


@lru_cache(maxsize=4)
def _mood(market: str, start: date, end: date, seed: int) -> _Mood:
    calendar = _calendar(market, start, end)
    rng = _generator(seed, market, "the market itself")
    count = len(calendar.times)
    sessions = int(calendar.session[-1]) + 1 if count else 0
    return _Mood(rng.standard_normal(count), rng.standard_normal(sessions), _bursts(count, rng))


@lru_cache(maxsize=4)
def _calendar(market: str, start: date, end: date) -> _Calendar:
    if end <= start:
        raise ValueError(f"the first day ({start}) must come before the day after the last ({end})")
    return _new_york_calendar(start, end) if market == _US_STOCKS.name else _crypto_calendar(start, end)


def _new_york_calendar(start: date, end: date) -> _Calendar:
    import pandas as pd
    import pandas_market_calendars as market_calendars

    schedule = market_calendars.get_calendar("NYSE").schedule(start, end - timedelta(days=1))
    opens = index_seconds(pd.DatetimeIndex(schedule["market_open"]))
    lengths = (index_seconds(pd.DatetimeIndex(schedule["market_close"])) - opens) // _MINUTE
    # Clocks change only on Sunday nights, so minutes within a session can be counted in UTC.
    minutes = lengths + _PREMARKET_MINUTES + _AFTER_HOURS_MINUTES
    session = np.repeat(np.arange(len(opens)), minutes)
    first_of_session = np.repeat(np.cumsum(minutes) - minutes, minutes)
    since_open = np.arange(len(session)) - first_of_session - _PREMARKET_MINUTES
    until_close = lengths[session] - since_open
    # The same as positive numbers, in the regular session (age, left) and outside of it (early, late).
    age, left = np.maximum(since_open, 0), np.maximum(until_close, 0)
    early, late = np.maximum(-since_open, 0), np.maximum(-until_close, 0)

    def by_phase(premarket: Floats, regular: Floats, after_hours: Floats) -> Floats:
        chosen: Floats = np.where(since_open < 0, premarket, np.where(until_close > 0, regular, after_hours))
        return chosen

    return _Calendar(
        times=opens[session] + since_open * _MINUTE,
        session=session,
        presence=by_phase(
            premarket=0.95 - 0.33 * early / _PREMARKET_MINUTES,
            regular=np.full(len(session), 0.998),
            after_hours=0.95 - 0.31 * late / _AFTER_HOURS_MINUTES,
        ),
        activity=by_phase(
            premarket=0.015 + 0.08 * np.exp(-early / 60.0),
            regular=0.7 + 3.0 * np.exp(-age / 20.0) + 2.5 * np.exp(-left / 12.0),
            after_hours=0.015 + 0.15 * np.exp(-late / 30.0),
        ),
        swing=by_phase(
            premarket=np.full(len(session), 0.45),
            regular=0.75 + 1.3 * np.exp(-age / 25.0) + 0.3 * np.exp(-left / 20.0),
            after_hours=np.full(len(session), 0.40),
        ),
    )


def _crypto_calendar(start: date, end: date) -> _Calendar:
    minute = np.arange((end - start).days * 1440)
    hour = minute % 1440 / 60.0
    daily = 1.0 + 0.4 * np.cos((hour - 15.0) / 24.0 * 2.0 * np.pi)  # highest while both Europe and America are awake
    return _Calendar(
        times=midnight(start) + minute * _MINUTE,
        session=minute // 1440,
        presence=np.full(len(minute), 0.997),
        activity=daily,
        swing=np.sqrt(daily),
    )


def _generator(seed: int, *names: str) -> np.random.Generator:
    """Return a random generator that depends only on the arguments, in every process and on every machine."""
    digest = hashlib.blake2b("\x00".join((str(seed), *names)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
