"""Closed trades: from the first fill that opens a position in an asset to the one that closes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_PAID = ("fill", "partial_fill", "cash_settled")
"""Events that change a position for its price."""
_WITHOUT_MONEY = ("assigned", "exercised", "expired")
"""Events that end a position in a contract. Delivered shares are paid for in another fill."""
_SPLIT = "stock_split"
_ASSET = ("symbol", "asset.asset_type", "asset.expiration", "asset.strike", "asset.right")
"""Columns that tell assets apart."""
CHANGES = (*_PAID, *_WITHOUT_MONEY, _SPLIT)
"""All events that change positions."""
TEXTS = ("status", "side", *_ASSET)
"""The columns that are read as texts."""
NUMBERS = ("filled_quantity", "price", "trade_cost", "asset.multiplier")
"""The columns that are read as numbers, or as texts of numbers."""
_TINY = 1e-9
"""A position of this part of its largest size is closed: quantities with decimals do not add up exactly."""


@dataclass
class _Position:
    """An open position, and the money that it has brought so far."""

    quantity: float = 0.0
    largest: float = 0.0
    money: float = 0.0

    def add(self, quantity: float, price: float, cost: float) -> None:
        self.quantity += quantity
        self.largest = max(self.largest, abs(self.quantity))
        self.money -= quantity * price + cost

    @property
    def is_closed(self) -> bool:
        return abs(self.quantity) <= _TINY * self.largest


def profits(events: Iterable[Mapping[str, Any]]) -> list[float]:
    """Return the profit of each closed trade after costs, in the order in which they were closed.

    `events` are the rows of Lumibot's log of trade events. Only the columns `TEXTS` and `NUMBERS` are read.

    A trade begins with the first fill of an asset and ends when the position is closed or turns from long to short, so
    a position that is built up and reduced in steps is one trade. Dividends and financing are not in it, nor are
    positions that are open at the end.
    """
    found: list[float] = []
    open_positions: dict[tuple[str, ...], _Position] = {}
    for asset, row in _by_asset(events):
        position = open_positions.setdefault(asset, _Position())
        if row["status"] == _SPLIT:
            after = _number(row, "filled_quantity")
            if position.quantity and after:
                position.largest *= abs(after / position.quantity)
                position.quantity = after
            continue
        size = _number(row, "asset.multiplier") or 1.0
        quantity, cost = _number(row, "filled_quantity"), _number(row, "trade_cost")
        price = _number(row, "price") * size if row["status"] in _PAID else 0.0
        signed = quantity if row.get("side", "").startswith("buy") else -quantity
        if position.quantity * signed < 0 and abs(signed) > abs(position.quantity) * (1 + _TINY):
            # It turns: this fill closes one trade and opens the next. Its cost is divided between them.
            part = -position.quantity / signed
            position.add(-position.quantity, price, cost * part)
            found.append(position.money)
            signed, cost = signed * (1 - part), cost * (1 - part)
            position = open_positions[asset] = _Position()
        position.add(signed, price, cost)
        if position.is_closed:
            found.append(position.money)
            del open_positions[asset]
    return found


def _by_asset(events: Iterable[Mapping[str, Any]]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield the rows that change positions, each with what identifies its asset."""
    for row in events:
        status = row.get("status")
        is_filled = status in (*_PAID, *_WITHOUT_MONEY) and _number(row, "filled_quantity") > 0
        if is_filled or status == _SPLIT:
            yield tuple(row.get(name, "") for name in _ASSET), row


def _number(row: Mapping[str, Any], column: str) -> float:
    """Return a number of a row; 0 if it has none."""
    try:
        value = float(row.get(column, ""))
    except (TypeError, ValueError):
        return 0.0
    return value if value - value == 0 else 0.0
