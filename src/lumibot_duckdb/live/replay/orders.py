"""The orders and fills of a session beside those of its backtest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

_FILLS = ("fill", "partial_fill", "partially_filled", "cash_settled")


@dataclass(frozen=True)
class FilledOrder:
    """An order, with all of its fills.

    Attributes:
        time: When it was first seen.
        status: Its last event: "new", "fill", "canceled" ...
        quantity: The ordered quantity; None if it is unknown.
        filled: The filled quantity.
        price: The mean price of its fills; None without one.
        filled_at: The time of the last fill.
        fees: All fees; None if none are known.
    """

    time: datetime
    asset: str
    side: str
    type: str
    status: str
    quantity: float | None
    filled: float
    price: float | None
    filled_at: datetime | None
    fees: float | None

    @property
    def is_buy(self) -> bool:
        """Whether it buys."""
        return self.side.startswith("buy")


@dataclass(frozen=True)
class OrderPair:
    """An order of the session beside that of the backtest; None on the side that has none."""

    live: FilledOrder | None
    backtest: FilledOrder | None

    @property
    def slippage(self) -> float | None:
        """How much worse the live price was than the backtest's, per unit; negative if it was better."""
        if self.live is None or self.backtest is None or self.live.price is None or self.backtest.price is None:
            return None
        difference = self.live.price - self.backtest.price
        return (difference if self.live.is_buy else -difference) + 0.0  # not -0.0

    @property
    def cost(self) -> float | None:
        """What the slippage cost for the quantity that was filled live, without contract multipliers."""
        return None if self.slippage is None or self.live is None else self.slippage * self.live.filled

    @property
    def is_equal(self) -> bool:
        """Whether both sides have it, with the same quantity and the same result."""
        if self.live is None or self.backtest is None:
            return False
        return (self.live.status, self.live.filled) == (self.backtest.status, self.backtest.filled)


def orders_of(tables: Mapping[str, pa.Table]) -> list[FilledOrder]:
    """Return the orders of a session or a backtest by the time at which they were first seen."""
    events: dict[str, list[dict[str, Any]]] = {}
    for event in tables["trades"].to_pylist():
        events.setdefault(event["order_id"], []).append(event)
    orders = [_order(row, events.get(row["order_id"], [])) for row in tables["live_orders"].to_pylist()]
    return sorted(orders, key=lambda order: order.time)


def pair_orders(live: Sequence[FilledOrder], backtest: Sequence[FilledOrder], within: timedelta) -> list[OrderPair]:
    """Return the orders of both sides in pairs, by time. Orders without a counterpart are alone.

    Each order is paired with the next one of the same asset and side on the other side that is at most `within` apart.
    """
    left = list(backtest)
    pairs = []
    for order in live:
        near = [each for each in left if _alike(each, order) and abs(each.time - order.time) <= within]
        other = min(near, key=lambda each: abs(each.time - order.time), default=None)
        if other is not None:
            left.remove(other)
        pairs.append(OrderPair(order, other))
    pairs += [OrderPair(None, order) for order in left]
    return sorted(pairs, key=_time)


def _time(pair: OrderPair) -> datetime:
    order = pair.live or pair.backtest
    assert order is not None
    return order.time


def _alike(one: FilledOrder, other: FilledOrder) -> bool:
    return (one.asset, one.side) == (other.asset, other.side)


def _order(row: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> FilledOrder:
    fills = [each for each in events if each["event"] in _FILLS and each["quantity"] and each["price"] is not None]
    filled = sum(each["quantity"] for each in fills)
    fees = [each["fees"] for each in events if each["fees"] is not None]
    return FilledOrder(
        time=row["time"],
        asset=row["asset"],
        side=row["side"],
        type=row["type"],
        status=events[-1]["event"] if events else "",
        quantity=row["quantity"],
        filled=filled,
        price=sum(each["quantity"] * each["price"] for each in fills) / filled if filled else None,
        filled_at=fills[-1]["time"] if fills else None,
        fees=sum(fees) if fees else None,
    )
