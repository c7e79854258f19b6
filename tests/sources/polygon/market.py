"""Markets for a `PolygonServer`: every kind of asset that Polygon has, each with something that is easily got wrong."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
import pandas_market_calendars as market_calendars
from lumibot.entities import Asset
from scipy.special import ndtr

from lumibot_duckdb.demo.market import crypto_bars, us_stock_bars
from parity.series import NEW_YORK, REAL
from sources.larger_bars import HOW
from sources.polygon.server import Contract, PolygonServer, Rows, Split, raw_bars

DOLLAR = Asset("USD", "forex")
Pair = tuple[Asset, Asset | None]

# What Lumibot's example strategies trade, and about where their own parameters expect it in March 2023.
EXAMPLE_STOCKS = {
    "SPY": 401.0,
    "QQQ": 296.0,
    "TLT": 101.0,
    "VEU": 52.0,
    "AGG": 97.0,
    "TQQQ": 24.0,
    "UPRO": 36.0,
    "UDOW": 52.0,
    "TMF": 8.0,
    "UGL": 59.0,
    "DIG": 39.0,
    "DEMO": 100.0,
}


@dataclass
class PolygonMarket:
    """Raw bars by ticker and timespan, corporate actions and contracts; `start` to `end` is the span to backtest in.

    `assets` are the pairs that a strategy may ask for, in Lumibot's terms.
    """

    start: dt.datetime
    end: dt.datetime
    bars: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    splits: list[Split] = field(default_factory=list)
    contracts: list[Contract] = field(default_factory=list)
    assets: list[Pair] = field(default_factory=list)
    rows: dict[tuple[Hashable, ...], Rows] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def raw(self) -> dict[tuple[str, str], pd.DataFrame]:
        """All bars as Polygon has them."""
        return {
            key: raw_bars(frame, leave_out=() if "volume" in frame else ("v", "vw", "n"))
            for key, frame in self.bars.items()
        }

    def minutes(self, ticker: str) -> pd.DataFrame:
        return self.bars[ticker, "minute"]

    @contextmanager
    def served(self) -> Iterator[PolygonServer]:
        """Serve the market on a loopback server. Bars without volume are an index's, which has no trades either."""
        with PolygonServer(
            splits=list(self.splits),
            contracts=list(self.contracts),
            whole_as_int=True,
            raw=dict(self.raw),
            rows=self.rows,
        ) as server:
            yield server


@lru_cache
def autumn() -> PolygonMarket:
    """Return a market over the end of summer time (5 November), Thanksgiving and the half day after it."""
    return _market(dt.date(2023, 10, 16), dt.date(2023, 12, 2), backtest=("2023-10-30", "2023-11-29"))


@lru_cache
def spring() -> PolygonMarket:
    """Return a market over the start of summer time (10 March) and Good Friday."""
    return _market(dt.date(2024, 2, 20), dt.date(2024, 4, 4), backtest=("2024-03-04", "2024-04-02"))


@lru_cache
def examples() -> PolygonMarket:
    """Return what Lumibot's example strategies trade, over the start of summer time (12 March 2023)."""
    first, end = dt.date(2023, 2, 13), dt.date(2023, 3, 17)
    market = PolygonMarket(*(pd.Timestamp(day, tz=NEW_YORK).to_pydatetime() for day in ("2023-03-03", "2023-03-15")))
    start = pd.Timestamp(market.start)
    for symbol, price in EXAMPLE_STOCKS.items():
        market.bars[symbol, "minute"] = at_price(us_stock_bars(symbol, first, end), price, start)
    for coin, price in (("BTC", 22_350.0), ("ETH", 1_570.0)):
        bars = at_price(crypto_bars(coin, first, end), price, start)
        market.bars[f"X:{coin}USD", "minute"] = falling(bars, pd.Timestamp("2023-03-09", tz="UTC"), 0.8)
    market.bars["C:GBPUSD", "minute"] = currency(first, end, 1.2)
    weekly = [dt.date(2023, 3, 10)]
    list_options(market, "SPY", weekly, strikes_at(400.0, 1.0, range(-12, 13)), often=0.3, quiet=0)
    list_options(market, "SPY", [dt.date(2023, 3, 6), *weekly], [550.0, 560.0, 570.0], quiet=0)
    return market


def real_split() -> PolygonMarket:
    """Return real minutes of two stocks, some of the days missing; one of them split, and again years later."""
    market = _real("us_minutes")
    market.splits += [Split("AAPL", "2014-06-09", 1, 7), Split("AAPL", "2020-08-31", 1, 4)]
    return market


MARKETS: dict[str, Callable[[], PolygonMarket]] = {
    "autumn": autumn,
    "spring": spring,
    "real_split": real_split,
    "real_half_day": lambda: _real("us_half_day"),
    "real_crypto": lambda: _real("crypto"),
    "real_forex": lambda: _real("forex"),
}


def _market(first: dt.date, end: dt.date, backtest: tuple[str, str]) -> PolygonMarket:
    market = PolygonMarket(*(pd.Timestamp(day, tz=NEW_YORK).to_pydatetime() for day in backtest))
    days = pd.DatetimeIndex(pd.unique(us_stock_bars("SPY", first, end).index.normalize()))
    middle = days[len(days) // 2]

    def stock(symbol: str, price: float) -> pd.DataFrame:
        return at_price(us_stock_bars(symbol, first, end), price)

    def serve(ticker: str, frame: pd.DataFrame, asset: Asset, quote: Asset | None = None) -> None:
        market.bars[ticker, "minute"] = frame
        market.assets.append((asset, quote))

    serve("SPY", stock("SPY", 440.0), Asset("SPY"))
    serve("THIN", illiquid(stock("THIN", 12.0), days), Asset("THIN"))
    newcomer = stock("IPOX", 31.0)
    serve("IPOX", newcomer[newcomer.index >= middle + pd.Timedelta(hours=10)], Asset("IPOX"))
    splitting = stock("SPLT", 800.0)
    after = splitting.index >= middle
    splitting.loc[after, ["open", "high", "low", "close"]] = (
        splitting.loc[after, ["open", "high", "low", "close"]] / 4
    ).round(2)
    serve("SPLT", splitting, Asset("SPLT"))
    market.splits.append(Split("SPLT", middle.date().isoformat(), 1, 4))
    official = stock("AUCT", 57.0)
    serve("AUCT", official, Asset("AUCT"))
    market.bars["AUCT", "day"] = official_days(official)

    list_options(market, "SPY", _some(days, 4), strikes_at(440.0, 5.0, (-60, -3, -2, -1, -0.5, 0, 1, 2, 3, 60)))
    list_options(market, "SPLT", [days[22].date()], strikes_at(800.0, 5.0, (-3, -0.5, 2)))
    market.contracts.append(Contract("O:SPY1_ADJUSTED", "SPY", days[-3].date().isoformat(), "call", 440.0, shares=90))
    market.contracts.append(Contract("O:SPY990115C00500000", "SPY", "2099-01-15", "call", 500.0))

    for coin, price, since in (("BTC", 35_000.0, first), ("ETH", 2_000.0, end - dt.timedelta(days=20))):
        frame = at_price(crypto_bars(coin, since, end), price)
        serve(f"X:{coin}USD", frame, Asset(coin, "crypto"), DOLLAR)
    frame = market.minutes("X:BTCUSD").iloc[::7]
    serve("X:BTCEUR", frame, Asset("BTC", "crypto"), Asset("EUR", "forex"))
    serve("C:EURUSD", currency(first, end, 1.07), Asset("EUR", "forex"), DOLLAR)
    level = in_session(at_price(us_stock_bars("SPX", first, end), 4400.0))
    serve("I:SPX", level.drop(columns="volume"), Asset("SPX", "index"))
    market.assets.append((Asset("NOTHERE"), None))
    market.assets.append((Asset("SPY", "option", days[-3].date(), 3.0, right="CALL"), None))
    return market


def at_price(frame: pd.DataFrame, price: float, since: pd.Timestamp | None = None) -> pd.DataFrame:
    """Return bars moved to open at a price, in cents, on their first day or the first since a moment."""
    prices = ["open", "high", "low", "close"]
    frame = frame.copy()
    frame[prices] = (frame[prices] * (price / frame.loc[since:, "open"].iloc[0])).round(2)
    return frame


def falling(frame: pd.DataFrame, when: pd.Timestamp, to: float) -> pd.DataFrame:
    """Return bars whose prices fall to a share of what they were, from one bar to the next."""
    frame = frame.copy()
    prices = ["open", "high", "low", "close"]
    frame.loc[when:, prices] = (frame.loc[when:, prices] * to).round(2)
    return frame


def in_session(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the bars of the regular sessions of the New York Stock Exchange, half days cut."""
    schedule = market_calendars.get_calendar("NYSE").schedule(frame.index[0].date(), frame.index[-1].date())
    inside = np.zeros(len(frame), dtype=bool)
    for opens, closes in zip(schedule["market_open"], schedule["market_close"], strict=True):
        inside |= (frame.index >= opens) & (frame.index < closes)
    return frame[inside]


def illiquid(frame: pd.DataFrame, days: pd.DatetimeIndex) -> pd.DataFrame:
    """Return a few bars a day, and none at all on many days, some of them in a row."""
    rng = np.random.default_rng(1)
    quiet = set(days[rng.random(len(days)) < 0.35]) | set(days[8:13])
    kept = (rng.random(len(frame)) < 0.01) & ~frame.index.normalize().isin(list(quiet))
    return frame[kept]


def official_days(minutes: pd.DataFrame) -> pd.DataFrame:
    """Return daily bars as an exchange publishes them: auctions included, so other than the minutes add up to."""
    session = in_session(minutes)
    days = session.resample("1D").agg(HOW).dropna()
    days["open"] = (days["open"] + 0.01).round(2)
    days["close"] = (days["close"] - 0.02).round(2)
    days["low"] = np.minimum(days["low"], days["close"])
    days["high"] = np.maximum(days["high"], days["open"])
    days["volume"] = (days["volume"] * 1.37).round()
    return days


def currency(first: dt.date, end: dt.date, price: float) -> pd.DataFrame:
    """Return minutes of a currency pair: Sunday 17:00 to Friday 17:00 in New York, some minutes without a tick."""
    rng = np.random.default_rng(2)
    index = pd.date_range(str(first), str(end), freq="min", tz=NEW_YORK, inclusive="left", name="datetime")
    weekday, hour = index.dayofweek, index.hour
    closed = ((weekday == 4) & (hour >= 17)) | (weekday == 5) | ((weekday == 6) & (hour < 17))
    index = index[~closed & (rng.random(len(index)) > 0.05)]
    close = price * np.exp(np.cumsum(rng.normal(0, 5e-5, len(index))))
    opens = close * (1 + rng.normal(0, 2e-5, len(index)))
    frame = pd.DataFrame({"open": opens, "high": np.maximum(opens, close) + 1e-5}, index=index)
    frame["low"] = np.minimum(opens, close) - 1e-5
    frame["close"] = close
    frame = frame.round(5)
    frame["volume"] = rng.integers(1, 300, len(index)).astype(float)
    return frame


def strikes_at(price: float, step: float, offsets: Sequence[float]) -> list[float]:
    return [price + offset * step for offset in offsets]


def _some(days: pd.DatetimeIndex, count: int) -> list[dt.date]:
    """Return days from the last third to the end, the one before the last first."""
    return [days[number].date() for number in np.linspace(len(days) - 2, len(days) // 3, count).astype(int)]


def list_options(
    market: PolygonMarket,
    symbol: str,
    expirations: Sequence[dt.date],
    strikes: Sequence[float],
    *,
    often: float = 0.04,
    quiet: float = 0.3,
) -> None:
    """List calls and puts and serve the minutes in which they trade.

    They trade now and then (`often` is the chance of a minute, `quiet` that of a day without any trade), never far from
    the money, nor after the expiration.
    """
    rng = np.random.default_rng(3)
    underlying = in_session(market.minutes(symbol))
    spot = float(underlying["close"].iloc[0])
    for expiration in expirations:
        for strike in strikes:
            for right in ("call", "put"):
                ticker = f"O:{symbol}{expiration:%y%m%d}{right[0].upper()}{round(strike * 1000):08d}"
                market.contracts.append(Contract(ticker, symbol, expiration.isoformat(), right, strike))
                bars = _option_bars(_now_and_then(underlying, rng, often, quiet), expiration, strike, right)
                if abs(strike / spot - 1) < 0.5 and len(bars):
                    market.bars[ticker, "minute"] = bars
                if strike in strikes[:1] + strikes[-6::3]:
                    asset = Asset(symbol, "option", expiration=expiration, strike=strike, right=right.upper())
                    market.assets.append((asset, None))


def _now_and_then(frame: pd.DataFrame, rng: np.random.Generator, often: float, quiet: float) -> pd.DataFrame:
    days = pd.DatetimeIndex(pd.unique(frame.index.normalize()))
    silent = days[rng.random(len(days)) < quiet]
    return frame[(rng.random(len(frame)) < often) & ~frame.index.normalize().isin(silent)]


def _option_bars(underlying: pd.DataFrame, expiration: dt.date, strike: float, right: str) -> pd.DataFrame:
    end = pd.Timestamp(expiration, tz=NEW_YORK) + pd.Timedelta(hours=16)
    traded = underlying[underlying.index < end]
    years = (end - traded.index).total_seconds() / (365 * 86_400)
    prices = {
        name: np.maximum(_black_scholes(traded[name].to_numpy(), strike, years, right), 0.01)
        for name in ("open", "close")
    }
    frame = pd.DataFrame(prices, index=traded.index).round(2)
    frame["high"] = (frame[["open", "close"]].max(axis=1) + 0.01).round(2)
    frame["low"] = np.maximum(frame[["open", "close"]].min(axis=1) - 0.01, 0.01).round(2)
    frame["volume"] = (traded["volume"] // 500 + 1).astype(float)
    return frame


def _black_scholes(spot: np.ndarray, strike: float, years: np.ndarray, right: str) -> np.ndarray:
    deviation = 0.2 * np.sqrt(years)
    upper = np.log(spot / strike) / deviation + deviation / 2
    call = spot * ndtr(upper) - strike * ndtr(upper - deviation)
    return call if right == "call" else call - spot + strike


def _real(name: str) -> PolygonMarket:
    frames = REAL[name]().frames
    start = min(frame.index[0] for frame in frames.values()).normalize()
    end = max(frame.index[-1] for frame in frames.values()).normalize() + pd.Timedelta(days=1)
    market = PolygonMarket(start.to_pydatetime(), end.to_pydatetime())
    prefixes = {"crypto": "X:", "forex": "C:"}
    for (asset, quote), frame in frames.items():
        prefix = prefixes.get(asset.asset_type)
        market.bars[asset.symbol if prefix is None else f"{prefix}{asset.symbol}USD", "minute"] = frame
        market.assets.append((asset, quote if prefix else None))
    return market
