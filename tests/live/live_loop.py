"""Lumibot's real live loop without an account: a broker that fills market orders at once, on a market with a clock.

`stepped` runs a strategy in Lumibot's executor, minute after minute of the market, without waiting. `real_time` runs it
in Lumibot's `Trader`, with its scheduler and its threads.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from threading import Timer, current_thread, main_thread
from time import sleep
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from lumibot.brokers.broker import Broker
from lumibot.data_sources import DataSource
from lumibot.entities import Asset, Bars, Order, Position
from lumibot.traders import Trader

NEW_YORK = ZoneInfo("America/New_York")
MINUTE = timedelta(minutes=1)
USD = Asset("USD", "forex")


@dataclass
class Market:
    """Minute bars of a few symbols, and the time up to which they are known. Trades around the clock.

    Attributes:
        now: The present moment; None for that of the computer.
        delay: How much later than the end of a bar the market delivers it.
        has_unfinished: Whether the bar of the present minute is delivered, with what has happened so far.
    """

    start: datetime
    minutes: int
    symbols: tuple[str, ...] = ("AAA",)
    seed: int = 1
    now: datetime | None = None
    delay: timedelta = timedelta(0)
    has_unfinished: bool = True
    frames: dict[str, pd.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        index = pd.date_range(self.start, periods=self.minutes, freq="min", tz="UTC")
        for symbol in self.symbols:
            closes = 100 * np.exp(random.normal(0, 0.001, self.minutes).cumsum())
            opens = np.concatenate([[100.0], closes[:-1]])
            high, low = np.maximum(opens, closes) * 1.0002, np.minimum(opens, closes) * 0.9998
            volume = random.integers(1, 1_000, self.minutes).astype(float)
            columns = {"open": opens, "high": high, "low": low, "close": closes, "volume": volume}
            self.frames[symbol] = pd.DataFrame(columns, index).round(2)

    def time(self) -> datetime:
        """Return the present moment."""
        return self.now or datetime.now(timezone.utc)

    def bars(self, symbol: str, length: int) -> pd.DataFrame:
        """Return the last bars that are known."""
        now = pd.Timestamp(self.time())
        frame = self.frames[symbol]
        closed = frame[frame.index + MINUTE + self.delay <= now]
        if self.has_unfinished:
            running = frame[(frame.index <= now) & (frame.index + MINUTE > now)].copy()
            running["close"] = running["open"]
            running["high"] = running["low"] = running["open"]
            running["volume"] = 1.0
            closed = pd.concat([closed, running])
        return closed.tail(length)

    def price(self, symbol: str) -> float:
        """Return the price of the last trade."""
        frame = self.frames[symbol]
        return float(frame[frame.index <= pd.Timestamp(self.time())]["open"].iloc[-1])


class MarketData(DataSource):
    """Lumibot's data source for a `Market`."""

    SOURCE = "MARKET"
    MIN_TIMESTEP = "minute"

    def __init__(self, market: Market) -> None:
        super().__init__()
        self.market = market

    def get_datetime(self, *args: Any, **kwargs: Any) -> datetime:
        return self.market.time().astimezone(NEW_YORK)

    def get_chains(self, asset: Asset, quote: Asset | None = None) -> dict[Any, Any]:
        return {}

    def get_last_price(self, asset: Any, quote: Any = None, exchange: Any = None) -> float:
        return self.market.price(_base(asset).symbol)

    def get_historical_prices(
        self,
        asset: Any,
        length: int,
        timestep: str = "",
        timeshift: Any = None,
        quote: Any = None,
        exchange: Any = None,
        include_after_hours: bool = True,
    ) -> Bars:
        frame = self.market.bars(_base(asset).symbol, length).tz_convert(NEW_YORK)
        return Bars(frame.copy(), self.SOURCE, _base(asset), raw=frame, quote=quote)


def _base(asset: Any) -> Any:
    return asset[0] if isinstance(asset, tuple) else asset


class MarketBroker(Broker):
    """Fills market orders at once, at the market's price and a slippage. Other orders stay open."""

    def __init__(self, market: Market, cash: float = 100_000.0, slippage: float = 0.0) -> None:
        self.paper_cash = cash
        self.slippage = slippage
        self.held: dict[str, float] = {}
        self.prices: Callable[[str], float] = market.price
        self._number = 0
        super().__init__(
            "market",
            data_source=MarketData(market),
            connect_stream=False,
            start_orders_thread=False,
            config={"MARKET": "24/7"},
        )

    def _get_balances_at_broker(self, quote_asset: Asset, strategy: Any) -> tuple[float, float, float]:
        held = sum(quantity * self.prices(symbol) for symbol, quantity in self.held.items())
        return self.paper_cash, held, self.paper_cash + held

    def _submit_order(self, order: Order) -> Order:
        self._number += 1
        order.set_identifier(f"order-{self._number}")
        self._unprocessed_orders.append(order)
        self._process_trade_event(order, self.NEW_ORDER)
        if order.order_type == Order.OrderType.MARKET:
            sign = 1 if order.is_buy_order() else -1
            price = self.prices(order.asset.symbol) + sign * self.slippage
            quantity = float(order.quantity)
            self.paper_cash -= sign * quantity * price
            self.held[order.asset.symbol] = self.held.get(order.asset.symbol, 0.0) + sign * quantity
            self._process_trade_event(order, self.FILLED_ORDER, price=price, filled_quantity=quantity)
        return order

    def _pull_positions(self, strategy: Any) -> list[Position]:
        return [Position(strategy.name, Asset(symbol), quantity) for symbol, quantity in self.held.items() if quantity]

    def _pull_position(self, strategy: Any, asset: Asset) -> Position | None:
        return next((each for each in self._pull_positions(strategy) if each.asset == asset), None)

    def cancel_order(self, order: Order) -> None:
        self._process_trade_event(order, self.CANCELED_ORDER)

    def _modify_order(self, order: Order, limit_price: Any = None, stop_price: Any = None) -> None: ...
    def get_historical_account_value(self) -> dict[str, Any]:
        return {}

    def _get_stream_object(self) -> None: ...
    def _register_stream_events(self) -> None: ...
    def _run_stream(self) -> None: ...
    def _parse_broker_order(self, response: Any, strategy_name: str, strategy_object: Any = None) -> Any:
        return response

    def _pull_broker_order(self, identifier: str) -> Any:
        return self.get_tracked_order(identifier)

    def _pull_broker_all_orders(self) -> list[Any]:
        return list(self._new_orders)


def stepped(
    strategy_class: type[Any],
    market: Market,
    first: datetime,
    steps: int,
    *,
    broker: Broker | None = None,
    every: timedelta = MINUTE,
    **more: Any,
) -> Any:
    """Run a strategy `steps` times, a second after each minute (or other step) of a market began, and return it."""
    market.now = first
    strategy = strategy_class(broker=broker or MarketBroker(market), **{"quote_asset": USD, **more})
    executor = strategy._executor

    def session() -> None:
        for step in range(steps):
            market.now = first + step * every + timedelta(seconds=1)
            executor.cron_count = executor.cron_count_target = 1
            executor._on_trading_iteration()
        if strategy.broker.market != "24/7":
            executor.stop_event.set()  # or it waits for the next day

    executor._run_trading_session = session
    executor.run()
    return strategy


def real_time(strategy: Any, seconds: float) -> None:
    """Run a strategy in Lumibot's `Trader` for some seconds.

    It is stopped between two iterations. During one, Lumibot may wait for ever: its scheduler waits for the iteration,
    which waits for the scheduler's lock.
    """
    trader = Trader()
    trader.add_strategy(strategy)

    def stop_between_iterations() -> None:
        scheduler = strategy._executor.scheduler
        scheduler.pause()
        while any(scheduler._lookup_executor("default")._instances.values()):
            sleep(0.01)
        trader.stop_all()

    stop = Timer(seconds, stop_between_iterations)
    stop.start()
    before = signal.getsignal(signal.SIGINT) if current_thread() is main_thread() else None
    try:
        trader.run_all()
    finally:
        stop.cancel()
        if before is not None:
            signal.signal(signal.SIGINT, before)
