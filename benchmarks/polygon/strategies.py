"""The strategies for Polygon's bars: ordinary Lumibot strategies that both sides run."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, ClassVar

from lumibot.entities import Asset
from lumibot.strategies.strategy import Strategy

from lumibot_duckdb.demo.strategies import ThreeHorizons


class OnceAWeek(ThreeHorizons):
    """Every fifth trading day, hold the stocks that rise on all three horizons."""

    def initialize(self) -> None:
        super().initialize()
        self.sleeptime = "1D"
        self.days = 0

    def on_trading_iteration(self) -> None:
        if self.days % 5 == 0:
            super().on_trading_iteration()
        self.days += 1


class InTurn(Strategy):
    """Every minute, look at the last hour and the last five hours of the next few stocks, and hold those that rise."""

    parameters: ClassVar[dict[str, Any]] = {"symbols": [], "a_minute": 2, "band": 0.01, "shares": 10}

    def initialize(self) -> None:
        self.sleeptime = "1M"
        self.next = 0

    def on_trading_iteration(self) -> None:
        symbols = self.parameters["symbols"]
        for _ in range(self.parameters["a_minute"]):
            self.look_at(symbols[self.next % len(symbols)])
            self.next += 1

    def look_at(self, symbol: str) -> None:
        """Buy a stock well above its means of five hours and of the last hour, sell one well below."""
        hour = self.get_historical_prices(symbol, 60, "minute").df["close"]
        five_hours = self.get_historical_prices(symbol, 60, "5min").df["close"]
        price, usual, band = hour.iloc[-1], five_hours.mean(), self.parameters["band"]
        position = self.get_position(symbol)
        if position is None and price > max(usual * (1 + band), hour.mean()):
            self.submit_order(self.create_order(symbol, self.parameters["shares"], "buy"))
        elif position is not None and price < min(usual * (1 - band), hour.mean()):
            self.submit_order(self.create_order(symbol, position.quantity, "sell"))


class IronCondors(Strategy):
    """Every morning, sell an iron condor. Every half hour, close those at a profit, at a loss or in their last week.

    The short legs are the first contracts, going away from the money, whose price is below a share of the stock's; the
    long ones the first below a smaller share.
    """

    parameters: ClassVar[dict[str, Any]] = {
        "symbols": [],
        "days": 25,
        "shares": (0.008, 0.003),
        "profit": 0.3,
        "loss": 1.0,
        "days_left": 7,
    }

    def initialize(self) -> None:
        self.sleeptime = "30M"
        self.condors: list[tuple[dict[Asset, int], float]] = []
        self.today: date | None = None
        self.priced: set[Asset] = set()

    def on_trading_iteration(self) -> None:
        for condor in [condor for condor in self.condors if self.ends(*condor)]:
            self.condors.remove(condor)
            self.trade({leg: ("buy_to_close" if side < 0 else "sell_to_close") for leg, side in condor[0].items()})
        if self.today != self.get_datetime().date():
            self.today = self.get_datetime().date()
            self.sell_condor()

    def price_of(self, asset: Asset) -> float | None:
        """Return the last price of an asset, if it has one."""
        price = self.get_last_price(asset)
        if price is not None:
            self.priced.add(asset)
        return price

    def sell_condor(self) -> None:
        """Sell a put and a call, and buy one further away of each."""
        symbol = self.parameters["symbols"][0]
        spot = self.price_of(Asset(symbol))
        earliest = (self.get_datetime().date() + timedelta(days=self.parameters["days"])).isoformat()
        chains = self.get_chains(Asset(symbol))["Chains"]
        day = min((day for day in chains["PUT"] if day >= earliest), default=None)
        if spot is None or day is None:
            return
        puts = [strike for strike in sorted(chains["PUT"][day], reverse=True) if strike < spot]
        calls = [strike for strike in sorted(chains["CALL"][day]) if strike > spot]
        legs: dict[Asset, int] = {}
        credit = 0.0
        for right, strikes in (("PUT", puts), ("CALL", calls)):
            found = self.walk(symbol, day, right, strikes, spot)
            if len(found) < len(self.parameters["shares"]):
                return
            for (leg, price), side in zip(found, (-1, 1), strict=True):
                legs[leg] = side
                credit -= side * price
        self.condors.append((legs, credit))
        self.trade({leg: ("sell_to_open" if side < 0 else "buy_to_open") for leg, side in legs.items()})

    def walk(self, symbol: str, day: str, right: str, strikes: list[float], spot: float) -> list[tuple[Asset, float]]:
        """Return the first contract, with its price, that is cheaper than each share of the stock's price."""
        found: list[tuple[Asset, float]] = []
        shares = self.parameters["shares"]
        for strike in strikes:
            option = Asset(symbol, "option", expiration=date.fromisoformat(day), strike=strike, right=right)
            price = self.price_of(option)
            if price is not None and price <= shares[len(found)] * spot:
                found.append((option, price))
                if len(found) == len(shares):
                    break
        return found

    def ends(self, legs: dict[Asset, int], credit: float) -> bool:
        """Whether a condor has to be closed."""
        expiration = next(iter(legs)).expiration
        if (expiration - self.get_datetime().date()).days <= self.parameters["days_left"]:
            return True
        prices = {leg: self.price_of(leg) for leg in legs}
        if any(price is None for price in prices.values()):
            return False
        cost = -sum(side * prices[leg] for leg, side in legs.items())
        gained = 1 - cost / credit
        return gained >= self.parameters["profit"] or gained <= -self.parameters["loss"]

    def trade(self, sides: dict[Asset, str]) -> None:
        """Submit a market order for each leg."""
        for leg, side in sides.items():
            self.submit_order(self.create_order(leg, 1, side))
