"""A loopback Binance at which one account trades: candles as of a simulated clock, and spot orders.

Market orders are filled at once at the price of the last trade; there are no fees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from live.servers.binance_server import LiveBinanceServer
from live.trader.clock_page import ClockPage
from live.trader.outages import Outage, fault_at
from sources.ccxt.binance_server import INTERVALS, too_many
from wire.loopback import Answer, Fault, Request

_LIMITED = 429


@dataclass
class BinanceAccount(LiveBinanceServer):
    """Fill it with `list_trades`, with the trades of the future.

    Parameters:
        page: the clock.
        outages: what fails when.
    """

    page: ClockPage = field(kw_only=True)
    outages: list[Outage] = field(default_factory=list)
    balances: dict[str, float] = field(default_factory=lambda: {"USDT": 100_000.0})
    orders: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    failed: int = 0
    answered: list[tuple[str, str, int, int, float]] = field(default_factory=list)
    """Market, interval, first and last open time (s) that were asked for, and when."""

    def note(self, request: Request) -> Fault | None:
        """Log a request; return what goes wrong now."""
        self.now = self.page.now
        fault = super().note(request) or fault_at(self.page.now, request, self.outages)
        self.failed += fault is not None
        if fault is not None and fault.answer is not None and fault.answer.status == _LIMITED:
            return Fault(answer=too_many(1))
        return fault

    def _answer(self, request: Request) -> Answer:
        query = {**request.query, **dict(parse_qsl(request.body.decode()))}
        if request.path == "/api/v3/account":
            return Answer({"balances": [self._balance(coin) for coin in self.balances]})
        if request.path == "/api/v3/openOrders":
            return Answer([])
        if request.path == "/api/v3/order" and request.body:
            return Answer(self._filled(query))
        if request.path == "/api/v3/order":
            return Answer(self.orders[int(query["orderId"]) - 1])
        if request.path == "/api/v3/ticker/24hr":
            price = repr(self.price(query["symbol"]))
            return Answer({"symbol": query["symbol"], "lastPrice": price, "closeTime": round(self.now * 1000)})
        if request.path.startswith("/sapi/"):
            return Answer([])
        found = super()._answer(request)
        if found.status == 404:
            self.unknown.append(request.path)
        return found

    def _klines(self, query: Mapping[str, str]) -> Answer:
        found = super()._klines(query)
        if found.status == 200:
            start, limit = int(query.get("startTime", 0)) // 1000, int(query.get("limit", 500))
            end = min(start + (limit - 1) * INTERVALS[query["interval"]], int(query.get("endTime", 2**62)) // 1000)
            self.answered.append((query["symbol"], query["interval"], start, end, self.now))
        return found

    def price(self, market: str) -> float:
        """Return the price of the last trade."""
        trades = self._trades[market]
        place = int(trades.times.searchsorted(self.now * 1000, side="right")) - 1
        return float(trades.prices[max(place, 0)])

    def _balance(self, coin: str) -> dict[str, str]:
        return {"asset": coin, "free": f"{self.balances[coin]:.8f}", "locked": "0.00000000"}

    def _filled(self, wanted: Mapping[str, str]) -> dict[str, Any]:
        market, quantity = wanted["symbol"], float(wanted["quantity"])
        base, quote = self.markets[market]
        price, sign = self.price(market), 1 if wanted["side"] == "BUY" else -1
        self.balances[base] = round(self.balances.get(base, 0.0) + sign * quantity, 8)
        self.balances[quote] = round(self.balances[quote] - sign * quantity * price, 8)
        moment = round(self.now * 1000)
        order = {
            "symbol": market,
            "orderId": len(self.orders) + 1,
            "clientOrderId": wanted.get("newClientOrderId", ""),
            "transactTime": moment,
            "time": moment,
            "price": "0.00000000",
            "origQty": f"{quantity:.8f}",
            "executedQty": f"{quantity:.8f}",
            "cummulativeQuoteQty": f"{quantity * price:.8f}",
            "status": "FILLED",
            "timeInForce": "GTC",
            "type": "MARKET",
            "side": wanted["side"],
        }
        self.orders.append(order)
        return order
