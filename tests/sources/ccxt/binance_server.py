"""A loopback server that speaks the part of Binance's public REST API that ccxt uses for candles.

`/api/v3/exchangeInfo` and `/api/v3/klines` as Binance documents them: candles from `startTime` (ms) to `endTime`, both
included, oldest first, at most `limit` (500 unless told, never more than 1,000); a `startTime` before the listing is
answered with the first candles that there are; prices are text. The futures' exchanges list nothing. Candles of hours
and days that it was not given are made of minutes, by UTC, as Binance makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np
import pandas as pd

from sources.larger_bars import HOW
from wire.loopback import Answer, LoopbackServer, Request

INTERVALS = {"1m": 60, "1h": 3_600, "1d": 86_400}
INFO, KLINES = "/api/v3/exchangeInfo", "/api/v3/klines"
_MOST, _USUAL = 1_000, 500
_MADE_OF_MINUTES = {"1h": "1h", "1d": "1D"}


def too_many(retry_after: int, status: int = 429) -> Answer:
    """Return Binance's answer to too many requests; 418 is a ban for going on nevertheless."""
    body = {"code": -1003, "msg": "Too much request weight used; please use WebSocket Streams for live updates."}
    return Answer(body, status, {"Retry-After": str(retry_after)})


@dataclass
class BinanceServer(LoopbackServer):
    """Fill it with `list_market`."""

    markets: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Base and quote of each market, by Binance's name of it."""

    def __post_init__(self) -> None:
        super().__init__()
        self._candles: dict[tuple[str, str], pd.DataFrame] = {}
        self._weight = 0

    def list_market(self, base: str, quote: str, minutes: pd.DataFrame) -> None:
        """List a market with its minutes: open, high, low, close, volume by tz-aware bar start; NaN is null."""
        name = base + quote
        self.markets[name] = (base, quote)
        bars = minutes.tz_convert("UTC")[list(HOW)]
        self._candles[name, "1m"] = bars
        for interval, rule in _MADE_OF_MINUTES.items():
            self._candles[name, interval] = bars.resample(rule).agg(HOW).dropna(subset=["open", "close"])

    def asked(self, where: str = "") -> list[Request]:
        """Return the logged requests whose path holds `where`."""
        return [request for request in self.requests if where in request.path]

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Answer as Binance does."""
        self._weight += 20 if request.path == INFO else 2
        answer = self._answer(request)
        return Answer(answer.body, answer.status, {**answer.headers, "x-mbx-used-weight-1m": str(self._weight)})

    def _answer(self, request: Request) -> Answer:
        if request.path == INFO:
            symbols = [_market(name, *pair) for name, pair in self.markets.items()]
            return Answer({"timezone": "UTC", "serverTime": 0, "rateLimits": [], "symbols": symbols})
        if request.path.endswith("/exchangeInfo"):  # the futures' exchanges
            return Answer({"timezone": "UTC", "serverTime": 0, "rateLimits": [], "symbols": []})
        if request.path == KLINES:
            return self._klines(request.query)
        return Answer({"code": -1, "msg": f"no such path: {request.path}"}, 404)

    def candles(self, market: str, interval: str) -> pd.DataFrame:
        """Return all candles that a market has now."""
        return self._candles[market, interval]

    def _klines(self, query: Mapping[str, str]) -> Answer:
        if query.get("interval") not in INTERVALS:
            return Answer({"code": -1120, "msg": "Invalid interval."}, 400)
        if query.get("symbol") not in self.markets:
            return Answer({"code": -1121, "msg": "Invalid symbol."}, 400)
        candles = self.candles(query["symbol"], query["interval"])
        times = pd.DatetimeIndex(candles.index).as_unit("ms").asi8
        limit = min(int(query.get("limit", _USUAL)), _MOST)
        first = int(times.searchsorted(int(query.get("startTime", 0))))
        last = int(times.searchsorted(int(query.get("endTime", 2**62)), side="right"))
        page = slice(first, min(last, first + limit))
        return Answer(_as_json(times[page], candles.iloc[page], query["interval"]))


def _as_json(times: np.ndarray[Any, Any], bars: pd.DataFrame, interval: str) -> list[list[Any]]:
    columns = [[None if isnan(value) else repr(value) for value in bars[name].astype(float).tolist()] for name in HOW]
    closes = times + INTERVALS[interval] * 1000 - 1
    rows = zip(times.tolist(), *columns, closes.tolist(), strict=True)
    return [[*row, "0", 0, "0", "0", "0"] for row in rows]


def _market(name: str, base: str, quote: str) -> dict[str, Any]:
    return {
        "symbol": name,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.00000001", "maxPrice": "1000000", "tickSize": "0.00000001"},
            {"filterType": "LOT_SIZE", "minQty": "0.00000001", "maxQty": "1000000", "stepSize": "0.00000001"},
        ],
        "permissions": ["SPOT"],
    }
