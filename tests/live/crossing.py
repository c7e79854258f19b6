"""A strategy that trades in every few minutes; as a program it fails, because replays only import it."""

from __future__ import annotations

from typing import Any, ClassVar

from lumibot.strategies import Strategy


class Crossing(Strategy):
    """Holds AAA while its price is above the mean of the last closes, and notes what it sees."""

    parameters: ClassVar[dict[str, Any]] = {"length": 10, "api_key": "key-of-a-broker-123"}

    def initialize(self) -> None:
        self.sleeptime = "1M"
        self.set_market("24/7")
        self.seen: list[Any] = []

    def on_trading_iteration(self) -> None:
        bars = self.get_historical_prices("AAA", self.parameters["length"], "minute")
        price = self.get_last_price("AAA")
        self.seen.append((bars.df.copy(), price))
        position = self.get_position("AAA")
        is_above = price > bars.df["close"].mean()
        self.used(bars.df)
        if is_above and position is None:
            self.submit_order(self.create_order("AAA", 10, "buy"))
        elif not is_above and position is not None:
            self.submit_order(self.create_order("AAA", position.quantity, "sell"))

    def used(self, frame: Any) -> None:
        """Take note of a frame that is not needed any more."""


if __name__ == "__main__":
    raise SystemExit("it runs as a program")
