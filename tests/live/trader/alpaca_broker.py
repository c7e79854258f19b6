"""A loopback Alpaca at which one account trades: market data as of a simulated clock, and the trading API.

A response has the bars of that moment: none of the future, the open one with what has been traded so far, and some of
those that closed in the last minutes with values that will be corrected. Market orders are accepted, and filled right
afterwards at the last price.
"""

from __future__ import annotations

import json
import math
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pandas_market_calendars

from live.trader.clock_page import ClockPage
from live.trader.outages import Outage, fault_at
from sources.alpaca.server import _HOW, NEW_YORK, AlpacaServer, Rows, _seconds
from wire.json_rows import objects_as_json
from wire.loopback import Answer, Fault, Request

MINUTE = 60
CORRECTED_BY = 600
"""By when after its end a bar has its final values."""
_RECENT = CORRECTED_BY + 2 * MINUTE
_CORRECTED = 0.05


@dataclass(frozen=True)
class AnsweredRange:
    """A range (epoch seconds, both ends included) of a symbol's bars that was served, and when."""

    symbol: str
    timeframe: str
    start: float
    end: float
    at: float


@dataclass
class AlpacaBroker(AlpacaServer):
    """Fill it with `serve`, with the bars of the future.

    Parameters:
        page: the clock.
        outages: what fails when.
    """

    page: ClockPage = field(kw_only=True)
    outages: list[Outage] = field(default_factory=list)
    cash: float = 100_000.0
    held: dict[str, int] = field(default_factory=dict)
    orders: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    failed: int = 0
    answered: list[AnsweredRange] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.recent = True
        calendar = pandas_market_calendars.get_calendar("NYSE")
        self._sessions = calendar.schedule("2024-01-01", "2024-12-31")

    def answered_at(self) -> float:
        """Return the true time."""
        return self.page.now

    def note(self, request: Request) -> Fault | None:
        """Log a request; return what goes wrong now."""
        fault = super().note(request) or fault_at(self.page.now, request, self.outages)
        self.failed += fault is not None
        return fault

    # -- market data -----------------------------------------------------------------------------------------

    def _bars_answer(self, kind: str, request: Request) -> Answer:
        found, query = super()._bars_answer(kind, request), request.query
        if found.status == 200:
            assert b'"next_page_token": null' in found.content()  # a page is a whole answer
            first, last = (_seconds(query[name]) for name in ("start", "end"))
            self.answered += [
                AnsweredRange(symbol, query["timeframe"], first, last, self.page.now)
                for symbol in query["symbols"].split(",")
            ]
        return found

    def _rows(self, kind: str, symbol: str, timeframe: str, adjustment: str) -> Rows:
        starts, rows = super()._rows(kind, symbol, timeframe, adjustment)
        now = self.page.now
        stop = int(starts.searchsorted(now, side="right"))
        first = max(0, int(starts.searchsorted(now - _RECENT, side="right")) - 1)
        if first >= stop:
            return starts[:stop], rows[:stop]
        minutes = self._minutes_since(kind, symbol, int(starts[first]), now)
        places = starts.searchsorted(minutes.index.as_unit("s").asi8, side="right") - 1
        how: Any = _HOW
        recent = minutes.groupby(places).agg(how)
        kept = starts[recent.index.to_numpy()]
        times = np.datetime_as_string(kept.astype("datetime64[s]"), timezone="UTC").tolist()
        columns = {str(name): recent[name].tolist() for name in recent}
        return np.concatenate([starts[:first], kept]), rows[:first] + objects_as_json({"t": times, **columns})

    def _minutes_since(self, kind: str, symbol: str, start: int, now: float) -> pd.DataFrame:
        """Return minutes as of now."""
        known = self._bars[kind, symbol, "1Min"]
        first, last = (pd.Timestamp(time, unit="s", tz="UTC") for time in (start, now))
        minutes = known[known.index.searchsorted(first) : known.index.searchsorted(last, side="right")].copy()
        seconds = minutes.index.as_unit("s").asi8.tolist()
        for place in range(len(seconds) - 1, -1, -1):
            if seconds[place] < now - _RECENT:
                break
            if now < final_at(symbol, seconds[place]):
                row = minutes.index[place]
                minutes.loc[row, ["c", "vw"]] = minutes.loc[row, "o"]
                minutes.loc[row, "v"] = math.floor(minutes.loc[row, "v"] / 2)
        return minutes

    def correct(self, symbol: str, start: float, **values: float) -> None:
        """Change a minute of a stock permanently."""
        bars = self._bars["stock", symbol, "1Min"].copy()
        bars.loc[pd.Timestamp(start, unit="s", tz="UTC"), list(values)] = list(values.values())
        self._bars["stock", symbol, "1Min"] = bars
        self._made.clear()
        self._written.clear()

    def price(self, symbol: str) -> float:
        """Return the price of the last minute that has begun."""
        bars = self._bars["stock", symbol, "1Min"]
        place = bars.index.searchsorted(pd.Timestamp(self.page.now, unit="s", tz="UTC"), side="right") - 1
        return float(bars["o"].iloc[place])

    # -- trading ---------------------------------------------------------------------------------------------

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Answer as Alpaca does."""
        found = super().answer(request, headers)
        account, _, path = request.path[1:].partition("/")
        if found.status == 404 and account == "paper":
            found = self._trading_answer(path, request)
        if found.status == 404:
            self.unknown.append(request.path)
        return found

    def _trading_answer(self, path: str, request: Request) -> Answer:
        parts = path.split("/")[1:]
        if parts == ["account"]:
            return Answer(self._account())
        if parts == ["clock"]:
            return Answer(self._clock())
        if parts == ["positions"]:
            return Answer([self._position(symbol) for symbol, number in self.held.items() if number])
        if parts == ["orders"] and request.body:
            return Answer(self._filled(json.loads(request.body)))
        if parts == ["orders"]:
            return Answer(self.orders[::-1][: int(request.query.get("limit", 50))])
        if parts[0] == "orders":
            return next((Answer(order) for order in self.orders if order["id"] == parts[1]), Answer({}, 404))
        return Answer({"message": "endpoint not found"}, 404)

    def _account(self) -> dict[str, Any]:
        value = sum(number * self.price(symbol) for symbol, number in self.held.items())
        money = {name: str(round(self.cash, 4)) for name in ("cash", "buying_power", "regt_buying_power")}
        worth = {name: str(round(self.cash + value, 4)) for name in ("portfolio_value", "equity", "last_equity")}
        return {
            "id": str(uuid.UUID(int=1)),
            "account_number": "PA1",
            "status": "ACTIVE",
            "currency": "USD",
            "long_market_value": str(round(value, 4)),
            "short_market_value": "0",
            **money,
            **worth,
        }

    def _clock(self) -> dict[str, Any]:
        now = pd.Timestamp(self.page.now, unit="s", tz="UTC")
        opens, closes = self._sessions["market_open"], self._sessions["market_close"]
        next_open, next_close = (moments[moments > now].iloc[0] for moments in (opens, closes))
        is_open = next_close < next_open
        times = {"timestamp": now, "next_open": next_open, "next_close": next_close}
        return {"is_open": bool(is_open)} | {
            name: moment.tz_convert(NEW_YORK).isoformat() for name, moment in times.items()
        }

    def _position(self, symbol: str) -> dict[str, Any]:
        number, price = self.held[symbol], self.price(symbol)
        return {
            "asset_id": str(uuid.uuid5(uuid.NAMESPACE_DNS, symbol)),
            "symbol": symbol,
            "exchange": "ARCA",
            "asset_class": "us_equity",
            "avg_entry_price": str(price),
            "qty": str(number),
            "qty_available": str(number),
            "side": "long" if number > 0 else "short",
            "market_value": str(round(number * price, 4)),
            "cost_basis": str(round(number * price, 4)),
            "unrealized_pl": "0",
            "current_price": str(price),
        }

    def _filled(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        symbol, number, price = wanted["symbol"], int(float(wanted["qty"])), self.price(wanted["symbol"])
        sign = 1 if wanted["side"] == "buy" else -1
        self.held[symbol] = self.held.get(symbol, 0) + sign * number
        self.cash -= sign * number * price
        moment = self.page.utc_now().isoformat().replace("+00:00", "Z")
        times = dict.fromkeys(("created_at", "updated_at", "submitted_at", "filled_at"), moment)
        order = {
            "id": str(uuid.UUID(int=len(self.orders) + 1)),
            "client_order_id": wanted.get("client_order_id") or str(uuid.UUID(int=0)),
            "asset_id": str(uuid.uuid5(uuid.NAMESPACE_DNS, symbol)),
            "symbol": symbol,
            "asset_class": "us_equity",
            "qty": str(number),
            "filled_qty": str(number),
            "filled_avg_price": str(price),
            "order_class": "simple",
            "order_type": "market",
            "type": "market",
            "side": wanted["side"],
            "time_in_force": wanted["time_in_force"],
            "status": "filled",
            "extended_hours": False,
            **times,
        }
        self.orders.append(order)
        return {**order, "status": "pending_new", "filled_qty": "0", "filled_avg_price": None, "filled_at": None}


def final_at(symbol: str, start: int) -> float:
    """Return when a bar gets its final values: at its end, or some minutes later if it is one of those corrected."""
    dice = random.Random(f"{symbol}{start}")
    is_corrected = dice.random() < _CORRECTED
    return start + MINUTE + (dice.randrange(30, CORRECTED_BY, MINUTE) if is_corrected else 0)
