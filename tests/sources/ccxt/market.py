"""Coins for comparing the CCXT sources: real ones where they are at hand, and made-up ones with every oddity."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from lumibot.entities import Asset

from lumibot_duckdb.demo.market import crypto_bars
from parity.series import REAL
from sources.ccxt.binance_server import BinanceServer

NEW_YORK = "America/New_York"
DOLLAR = Asset("USDT", "crypto")
PRICES = ["open", "high", "low", "close"]


@dataclass
class CcxtMarket:
    """Minutes by coin, all against USDT, and a span to backtest over."""

    start: dt.datetime
    end: dt.datetime
    minutes: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def assets(self) -> list[tuple[Asset, Asset]]:
        return [(Asset(coin, "crypto"), DOLLAR) for coin in self.minutes]

    def server(self) -> BinanceServer:
        server = BinanceServer()
        for coin, minutes in self.minutes.items():
            server.list_market(coin, "USDT", minutes)
        return server


def moment(text: str) -> dt.datetime:
    when: dt.datetime = pd.Timestamp(text, tz=NEW_YORK).to_pydatetime()
    return when


def spring() -> CcxtMarket:
    """Three weeks in which the clocks change, of coins of all kinds; the backtest spans a few days of them."""
    return CcxtMarket(moment("2023-03-10 07:13"), moment("2023-03-13 16:00"), dict(_spring()))


@lru_cache
def _spring() -> Mapping[str, pd.DataFrame]:
    first, end = dt.date(2023, 2, 24), dt.date(2023, 3, 17)

    def coin(name: str, price: float) -> pd.DataFrame:
        bars = crypto_bars(name, first, end)
        bars[PRICES] = (bars[PRICES] * (price / bars["open"].iloc[0])).round(8 if price < 1 else 2)
        return bars

    return {
        "BTC": coin("BTC", 21_000.0),
        "ETH": coin("ETH", 1_500.0),
        "TINY": coin("TINY", 0.00001),
        "HALF": coin("HALF", 0.01),
        "GAPS": _without_hours(coin("GAPS", 3.0)),
        "LATE": coin("LATE", 0.7).loc["2023-03-11 10:17":],  # type: ignore[misc]
        "IDLE": _seldom_traded(coin("IDLE", 12.0)),
        "NULL": _without_volumes(coin("NULL", 5.0)),
        "GONE": coin("GONE", 9.0).loc[:"2023-03-01"],  # type: ignore[misc]
    }


def real_bitcoin() -> CcxtMarket:
    """January 2022 of BTC-PERP, as BTC/USDT; the test is skipped where the bars are not at hand."""
    (bars,) = REAL["crypto"]().frames.values()
    return CcxtMarket(moment("2022-01-12"), moment("2022-01-16 12:00"), {"BTC": bars})


MARKETS: Mapping[str, Any] = {"spring": spring, "real_bitcoin": real_bitcoin}


def _without_hours(minutes: pd.DataFrame) -> pd.DataFrame:
    """Leave out some hours and a day and a half, as after outages."""
    hours = minutes.index.floor("1h")
    out = (hours.hour.isin((3, 4, 17)) & (hours.day % 3 == 0)) | (
        (minutes.index >= "2023-03-12 06:30Z") & (minutes.index < "2023-03-13 18:02Z")
    )
    return minutes[~out]


def _seldom_traded(minutes: pd.DataFrame) -> pd.DataFrame:
    """Trade once in a while; in between, Binance has candles of the last price and no volume."""
    traded = np.random.default_rng(7).random(len(minutes)) < 0.02
    traded[0] = True
    idle = minutes.where(pd.Series(traded, minutes.index)).round({"close": 2})
    close = idle["close"].ffill()
    for name in PRICES:
        idle[name] = idle[name].fillna(close) if name != "close" else close
    idle["volume"] = idle["volume"].fillna(0.0)
    return idle


def _without_volumes(minutes: pd.DataFrame) -> pd.DataFrame:
    nulled = minutes.copy()
    nulled.loc[nulled.index.minute % 7 == 0, "volume"] = np.nan
    nulled.loc[nulled.index.minute % 31 == 0, "high"] = np.nan
    return nulled
