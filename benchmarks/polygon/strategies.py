"""The strategies for Polygon's bars: ordinary Lumibot strategies that both sides run."""

from __future__ import annotations

from typing import Any, ClassVar

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
