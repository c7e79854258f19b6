"""The two strategies of the demo: ordinary Lumibot strategies, which do not know where their bars come from."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from lumibot.strategies.strategy import Strategy

if TYPE_CHECKING:
    import pandas as pd


class TimedStrategy(Strategy):  # type: ignore[misc]  # Lumibot ships no types
    """Measures how long the data source takes for each of the strategy's requests.

    `request_seconds` maps a request, such as "60 minute", to the seconds of its calls in order.
    """

    def initialize(self) -> None:
        """Wrap the data source's method with a timer; its results do not change."""
        self.request_seconds: dict[str, list[float]] = {}
        self._is_requesting = False
        source = self.broker.data_source
        get_bars = source.get_historical_prices

        def timed(asset: Any, length: int, *args: Any, timestep: str | None = None, **kwargs: Any) -> Any:
            if not self._is_requesting:
                return get_bars(asset, length, *args, timestep=timestep, **kwargs)
            started = perf_counter()
            bars = get_bars(asset, length, *args, timestep=timestep, **kwargs)
            self.request_seconds.setdefault(f"{length} {timestep}", []).append(perf_counter() - started)
            return bars

        source.get_historical_prices = timed

    def hold_equally(self, symbols: list[str]) -> None:
        """Sell positions that are not in `symbols` and buy the missing ones, each an equal part of the portfolio."""
        held = {position.asset.symbol: position for position in self.get_positions() if position.asset.symbol != "USD"}
        for symbol, position in held.items():
            if symbol not in symbols:
                self.submit_order(self.create_order(symbol, position.quantity, "sell"))
        for symbol in symbols:
            price = None if symbol in held else self.get_last_price(symbol)
            if price is not None:
                quantity = int(0.95 * self.portfolio_value / len(symbols) / float(price))
                if quantity > 0:
                    self.submit_order(self.create_order(symbol, quantity, "buy"))

    def bars_of(self, symbol: str, length: int, timestep: str, timeshift: int | None = None) -> pd.DataFrame | None:
        """Return the frame that the data source returns, or None if it has fewer bars than requested."""
        self._is_requesting = True
        bars = self.get_historical_prices(symbol, length, timestep, timeshift=timeshift)
        self._is_requesting = False
        return None if bars is None or len(bars.df) < length else bars.df


class MomentumRotation(TimedStrategy):
    """Every few weeks, hold the stock that rose the most over the last quarter. Daily bars."""

    parameters: ClassVar[dict[str, Any]] = {"symbols": [], "lookback": 63, "hold_days": 10}

    def initialize(self) -> None:
        """Trade once a day."""
        super().initialize()
        self.sleeptime = "1D"
        self.days_until_choice = 0

    def on_trading_iteration(self) -> None:
        """Choose a stock every `hold_days` days."""
        self.days_until_choice -= 1
        if self.days_until_choice > 0:
            return
        self.days_until_choice = self.parameters["hold_days"]
        risen = {}
        for symbol in self.parameters["symbols"]:
            # The last daily bar is today's, which is visible all day, so the choice is based on bars up to yesterday.
            bars = self.bars_of(symbol, self.parameters["lookback"], "day", timeshift=1)
            if bars is not None:
                risen[symbol] = bars["close"].iloc[-1] / bars["close"].iloc[0] - 1.0
        best = max(risen, key=lambda symbol: risen[symbol], default=None)
        self.hold_equally([best] if best is not None and risen[best] > 0 else [])


class ThreeHorizons(TimedStrategy):
    """Every hour, hold the stocks that rise over two weeks, over five hours and over the last hour. Minute bars."""

    parameters: ClassVar[dict[str, Any]] = {"symbols": []}

    def initialize(self) -> None:
        """Trade every hour of the regular session."""
        super().initialize()
        self.sleeptime = "60M"

    def on_trading_iteration(self) -> None:
        """Check every stock on all three horizons, and hold the three that rose the most in the last five hours."""
        rising = {}
        for symbol in self.parameters["symbols"]:
            minutes = self.bars_of(symbol, 60, "minute")
            hours = self.bars_of(symbol, 60, "5min")
            days = self.bars_of(symbol, 14, "day")
            if minutes is None or hours is None or days is None:
                continue
            price = minutes["close"].iloc[-1]
            if price > minutes["close"].mean() and price > days["close"].mean():
                rising[symbol] = price / hours["close"].iloc[0] - 1.0
        strongest = sorted(rising, key=lambda symbol: rising[symbol], reverse=True)[:3]
        self.hold_equally([symbol for symbol in strongest if rising[symbol] > 0])
