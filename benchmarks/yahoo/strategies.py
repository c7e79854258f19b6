"""The strategy for Yahoo's days: an ordinary Lumibot strategy that both sides run."""

from __future__ import annotations

from typing import Any, ClassVar

from lumibot.strategies.strategy import Strategy


class ByTurns(Strategy):
    """Every day, look at the last sixty days of the next hundred stocks, and hold the few that rise most."""

    parameters: ClassVar[dict[str, Any]] = {"symbols": [], "a_day": 100, "rise": 0.25, "most": 20}

    def initialize(self) -> None:
        self.sleeptime = "1D"
        self.next = 0

    def on_trading_iteration(self) -> None:
        symbols = self.parameters["symbols"]
        for _ in range(self.parameters["a_day"]):
            self.look_at(symbols[self.next % len(symbols)])
            self.next += 1

    def look_at(self, symbol: str) -> None:
        close = self.get_historical_prices(symbol, 60, "day").df["close"]
        rise = close.iloc[-1] / close.iloc[0] - 1
        position = self.get_position(symbol)
        if position is None and rise > self.parameters["rise"] and len(self.positions) <= self.parameters["most"]:
            self.submit_order(self.create_order(symbol, 10, "buy"))
        elif position is not None and rise < 0:
            self.submit_order(self.create_order(symbol, position.quantity, "sell"))
