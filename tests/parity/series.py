"""Series to compare on: invented ones, each with something that is easily got wrong, and real ones where they are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lumibot.entities import Asset

NEW_YORK = "America/New_York"
DOLLAR = Asset("USD", "forex")
REAL_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@dataclass(frozen=True)
class Market:
    """Frames by asset (base and quote), all of one timestep."""

    timestep: str
    frames: dict[tuple[Asset, Asset | None], pd.DataFrame]

    @property
    def start(self) -> pd.Timestamp:
        return min(frame.index.min() for frame in self.frames.values()).tz_convert(NEW_YORK)

    @property
    def end(self) -> pd.Timestamp:
        return max(frame.index.max() for frame in self.frames.values()).tz_convert(NEW_YORK)


def stock(symbol: str) -> tuple[Asset, Asset]:
    return Asset(symbol), DOLLAR


def walk(seed: int, index: pd.DatetimeIndex, *, missing: float = 0.0, volume: str | None = "int64") -> pd.DataFrame:
    """Return a random walk on an index, with a share of its bars missing."""
    rng = np.random.default_rng(seed)
    close = (100 * np.exp(np.cumsum(rng.normal(0, 1e-3, len(index))))).round(4)
    open_ = (close * (1 + rng.normal(0, 1e-4, len(index)))).round(4)
    spread = rng.random(len(index)).round(4)
    columns = {
        "open": open_,
        "high": np.maximum(open_, close) + spread,
        "low": np.minimum(open_, close) - spread,
        "close": close,
    }
    if volume == "int64":
        columns["volume"] = rng.integers(0, 10_000, len(index))
    elif volume == "float64":
        columns["volume"] = rng.random(len(index)) * 100
    frame = pd.DataFrame(columns, index=index.rename("datetime"))
    kept = rng.random(len(index)) >= missing
    kept[0] = True
    return frame[kept]


# The clocks change on 2024-03-10.
AROUND_THE_CLOCK = pd.date_range("2024-03-07 09:30", "2024-03-13 16:00", freq="1min", tz=NEW_YORK)
SESSIONS = AROUND_THE_CLOCK[
    (AROUND_THE_CLOCK.hour * 60 + AROUND_THE_CLOCK.minute >= 570)
    & (AROUND_THE_CLOCK.hour < 16)
    & (AROUND_THE_CLOCK.dayofweek < 5)
]
AUTUMN = pd.date_range("2023-11-02", "2023-11-09", freq="1min", tz=NEW_YORK)
BUSINESS_DAYS = pd.date_range("2022-01-03", "2024-03-20", freq="B", tz=NEW_YORK)


def _dense() -> Market:
    return Market("minute", {stock("AAA"): walk(1, SESSIONS), stock("BBB"): walk(2, SESSIONS, missing=0.3)})


def _crypto() -> Market:
    pair = (Asset("BTC", "crypto"), DOLLAR)
    return Market("minute", {pair: walk(3, AROUND_THE_CLOCK, missing=0.02, volume="float64")})


def _autumn() -> Market:
    return Market("minute", {(Asset("ETH", "crypto"), DOLLAR): walk(4, AUTUMN, missing=0.05, volume="float64")})


def _forex() -> Market:
    return Market("minute", {(Asset("EUR", "forex"), DOLLAR): walk(5, AROUND_THE_CLOCK, missing=0.1, volume=None)})


def _holes() -> Market:
    frame = walk(6, SESSIONS, missing=0.2, volume="float64")
    rng = np.random.default_rng(6)
    for name, share in (("close", 0.1), ("volume", 0.1), ("open", 0.1)):
        frame.loc[rng.random(len(frame)) < share, name] = np.nan
    frame.loc[frame.index[:30], "close"] = np.nan
    frame["signal"] = np.where(rng.random(len(frame)) < 0.01, 1.5, np.nan)
    return Market("minute", {stock("AAA"): frame, stock("BBB"): walk(7, SESSIONS, missing=0.1)})


def _quotes() -> Market:
    rng = np.random.default_rng(8)
    day = walk(8, SESSIONS, missing=0.3)
    day["bid"], day["ask"] = day["close"] - 0.01, day["close"] + 0.01
    day.loc[rng.random(len(day)) < 0.5, ["bid", "ask"]] = np.nan
    night = walk(9, AROUND_THE_CLOCK, missing=0.3, volume="float64")
    night["bid"], night["ask"] = night["close"] - 0.01, night["close"] + 0.01
    night.loc[rng.random(len(night)) < 0.3, "bid"] = np.nan
    night["bid_size"] = rng.integers(1, 10, len(night)).astype("float64")
    return Market("minute", {stock("AAA"): day, (Asset("BTC", "crypto"), DOLLAR): night})


def _whole_prices() -> Market:
    frame = walk(10, SESSIONS, missing=0.2)
    prices = ["open", "high", "low", "close"]
    frame[prices] = (frame[prices] * 10).astype("int64")
    return Market("minute", {stock("AAA"): frame})


def _off_the_minute() -> Market:
    every_fifth = AROUND_THE_CLOCK[AROUND_THE_CLOCK.minute % 5 == 0]
    late = pd.date_range("2024-03-07 23:50:20", "2024-03-08 00:10:00", freq="20s", tz=NEW_YORK)
    return Market(
        "minute",
        {
            stock("AAA"): walk(11, SESSIONS.shift(7, "s"), missing=0.3),
            stock("BBB"): walk(12, every_fifth, missing=0.1),
            stock("CCC"): walk(13, late),
        },
    )


def _spacing_changes() -> Market:
    dense, sparse = SESSIONS[:400], SESSIONS[400::10]
    return Market("minute", {stock("AAA"): walk(14, dense.append(sparse)), stock("BBB"): walk(15, SESSIONS[200::5])})


def _days() -> Market:
    frame = walk(16, BUSINESS_DAYS)
    rng = np.random.default_rng(16)
    frame["dividend"] = np.where(rng.random(len(frame)) < 0.02, 0.5, 0.0)
    frame["stock_splits"] = np.where(rng.random(len(frame)) < 0.02, 2.0, 0.0)
    return Market("day", {stock("AAA"): frame, stock("BBB"): walk(17, BUSINESS_DAYS, missing=0.1)})


def _days_at_the_close() -> Market:
    frame = walk(18, BUSINESS_DAYS + pd.Timedelta(hours=16))
    frame["stock_splits"] = np.where(np.arange(len(frame)) % 97 == 50, 2.0, 0.0)
    marked = walk(19, BUSINESS_DAYS + pd.Timedelta(hours=16))
    marked["stock_splits"] = frame["stock_splits"]
    marked["_split_adjusted"] = np.arange(len(marked)) == 3
    return Market("day", {stock("AAA"): frame, stock("BBB"): marked})


def _hours() -> Market:
    hours = pd.date_range("2024-02-20", "2024-03-20", freq="1h", tz=NEW_YORK)
    return Market("hour", {stock("AAA"): walk(20, hours, missing=0.3), stock("BBB"): walk(21, hours, volume="float64")})


def _derivatives() -> Market:
    expiry = dt.date(2024, 3, 15)
    assets = [
        Asset("AAA"),
        Asset("AAA", "option", expiration=expiry, strike=100.0, right="CALL"),
        Asset("AAA", "option", expiration=expiry, strike=101.5, right="CALL"),
        Asset("AAA", "option", expiration=expiry, strike=100.0, right="PUT"),
        Asset("ES", "future", expiration=expiry, multiplier=50),
        Asset("ES", "cont_future"),
        Asset("SPX", "index"),
    ]
    return Market("minute", {(asset, DOLLAR): walk(30 + i, SESSIONS, missing=0.1) for i, asset in enumerate(assets)})


def _minutes_with_events() -> Market:
    frame = walk(22, SESSIONS)
    frame["dividend"] = 0.0
    frame["stock_splits"] = 0.0
    frame.loc[frame.index[500], ["dividend", "stock_splits"]] = (0.25, 2.0)
    return Market("minute", {stock("AAA"): frame})


def _microsecond_index() -> Market:
    frame = walk(23, SESSIONS, missing=0.1)
    frame.index = frame.index.as_unit("us")
    return Market("minute", {stock("AAA"): frame})


def unquoted(market: Market) -> Market:
    """Return the same bars for assets without a quote, which is how most scripts name stocks."""
    return Market(market.timestep, {(asset, None): frame for (asset, _), frame in market.frames.items()})


INVENTED: dict[str, Callable[[], Market]] = {
    "dense": _dense,
    "crypto": _crypto,
    "autumn": _autumn,
    "forex": _forex,
    "holes": _holes,
    "quotes": _quotes,
    "whole_prices": _whole_prices,
    "off_the_minute": _off_the_minute,
    "spacing_changes": _spacing_changes,
    "days": _days,
    "days_at_the_close": _days_at_the_close,
    "hours": _hours,
    "derivatives": _derivatives,
    "minutes_with_events": _minutes_with_events,
    "microsecond_index": _microsecond_index,
    "dense_unquoted": lambda: unquoted(_dense()),
    "forex_unquoted": lambda: unquoted(_forex()),
    "days_unquoted": lambda: unquoted(_days()),
    "days_at_the_close_unquoted": lambda: unquoted(_days_at_the_close()),
    "hours_unquoted": lambda: unquoted(_hours()),
    "derivatives_unquoted": lambda: unquoted(_derivatives()),
    "minutes_with_events_unquoted": lambda: unquoted(_minutes_with_events()),
}


def _real(file: str) -> pd.DataFrame:
    path = REAL_DATA / file
    if not path.exists():
        pytest.skip("needs the real market data beside the repository")
    return pd.read_parquet(path)


def real_minutes(*symbols: str) -> Market:
    bars = _real("us_equities_minute.parquet")
    frames = {
        stock(symbol): bars[bars["symbol"] == symbol].set_index("ts").drop(columns="symbol") for symbol in symbols
    }
    return Market("minute", {key: _in_new_york(frame) for key, frame in frames.items()})


def real_days(*symbols: str) -> Market:
    bars = _real("us_equities_daily.parquet")
    frames = {}
    for symbol in symbols:
        frame = bars[bars["symbol"] == symbol].set_index("date").drop(columns="symbol")
        frame.index = pd.DatetimeIndex(frame.index).tz_localize(NEW_YORK)
        frames[stock(symbol)] = frame.rename_axis("datetime")
    return Market("day", frames)


def real_crypto() -> Market:
    bars = _real("crypto_minute.parquet").set_index("ts").drop(columns="symbol")
    return Market("minute", {(Asset("BTC", "crypto"), DOLLAR): _in_new_york(bars)})


def real_forex() -> Market:
    bars = _real("forex_minute.parquet").set_index("ts").drop(columns="symbol")
    return Market("minute", {(Asset("GBP", "forex"), DOLLAR): _in_new_york(bars)})


def _in_new_york(frame: pd.DataFrame) -> pd.DataFrame:
    index = pd.DatetimeIndex(frame.index)
    index = index.tz_localize("UTC") if index.tz is None else index
    return frame.set_axis(index.tz_convert(NEW_YORK)).rename_axis("datetime").sort_index()


REAL: dict[str, Callable[[], Market]] = {
    "us_minutes": lambda: real_minutes("AAPL", "TWX"),
    "us_minutes_far_apart": lambda: real_minutes("IBM", "BAC", "AIG", "SPY"),
    "us_half_day": lambda: real_minutes("GOOG"),
    "us_days": lambda: real_days("AAPL", "SPY", "GOOG", "FB"),
    "crypto": real_crypto,
    "forex": real_forex,
}
