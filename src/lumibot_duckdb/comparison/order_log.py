"""Records every order of a backtest with all its fields, because Lumibot's log has no prices of unfilled orders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from lumibot_duckdb.comparison.outcome import ORDER_COLUMNS, SUBMITTED, TableWriter
from lumibot_duckdb.comparison.value_text import as_text, cell
from lumibot_duckdb.lumibot_contract.orders import order_fields, related_orders

_MODIFIED, _CHANGED, _AT_THE_END = "modified", "changed", "at the end"
_SCALARS = (int, float, str, Decimal, type(None))


class OrderLog:
    """The orders of one backtest, numbered in the order in which they are first seen.

    An order is written when it is submitted, when the script modifies it, at the end, and whenever the broker looks for
    fills and finds it changed, because a script may also set the fields of an order.
    """

    def __init__(self, table: TableWriter) -> None:
        self._table = table
        self._columns: list[str] = []
        self._numbers: dict[str, int] = {}
        self._seen: dict[int, tuple[Any, ...]] = {}

    def submitted(self, when: str, order: Any) -> None:
        """Note an order, and those that depend on it, before it is submitted."""
        for each in [order, *_dependents(order)]:
            self._write(when, SUBMITTED, each)

    def modified(self, when: str, order: Any, changes: dict[str, Any]) -> None:
        """Note an order with the prices that it is to have."""
        self._write(when, _MODIFIED, order, changes)

    def changed(self, when: str, orders: Iterable[Any]) -> None:
        """Note those orders that have changed since they were last seen."""
        for order in orders:
            if self._seen.get(self._number(order)) != _scalars(order):
                self._write(when, _CHANGED, order)

    def ended(self, when: str, orders: Iterable[Any]) -> None:
        """Note the final state of all orders."""
        for order in sorted(orders, key=self._number):
            self._write(when, _AT_THE_END, order)

    def _number(self, order: Any) -> int:
        return self._numbers.setdefault(order.identifier, len(self._numbers) + 1)

    def _write(self, when: str, action: str, order: Any, changes: dict[str, Any] | None = None) -> None:
        number = self._number(order)
        self._seen[number] = _scalars(order)
        related = {name: [self._number(each) for each in orders] for name, orders in related_orders(order).items()}
        fields = {**order_fields(order), **related, **(changes or {})}
        if not self._columns:
            self._columns = list(fields)
            self._table.begin([*ORDER_COLUMNS, *self._columns, "others"])
        known = [cell(fields.pop(name, "")) for name in self._columns]
        self._table.write([when, action, str(number), as_text(order.asset), *known, as_text(fields)])


def _dependents(order: Any) -> Iterator[Any]:
    for orders in related_orders(order).values():
        yield from orders


def _scalars(order: Any) -> tuple[Any, ...]:
    """Return what changes of an order; comparing texts whenever the broker looks for fills would take too long."""
    return tuple(each for each in vars(order).values() if isinstance(each, _SCALARS))
