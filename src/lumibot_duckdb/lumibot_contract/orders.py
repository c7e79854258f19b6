"""Lumibot's orders: what is in one, apart from random identifiers and the state of its processing."""

from __future__ import annotations

from typing import Any

_LEFT_OUT = frozenset(
    (
        "asset",
        "symbol",
        "strategy",
        "parent_identifier",  # random, like all identifiers
        "child_orders",
        "dependent_order",
        "rep_asset",  # set by `repr`
        "decision_journal",  # of language models, with random identifiers
        "trade_decision_journal",
    )
)
_BEHIND_PROPERTIES = ("quantity", "status", "avg_fill_price")
_PRIVATE = ("_trail_stop_price", "_package_net_limit", "_date_created")


def order_fields(order: Any) -> dict[str, Any]:
    """Return the fields of an order by name: those that the script decides, its status and its fills.

    The asset and related orders are not included.
    """
    public = {name: value for name, value in vars(order).items() if not name.startswith("_")}
    fields = {name: value for name, value in public.items() if name not in _LEFT_OUT}
    fields |= {name: getattr(order, name) for name in _BEHIND_PROPERTIES}
    return fields | {name.lstrip("_"): getattr(order, name, None) for name in _PRIVATE}


def related_orders(order: Any) -> dict[str, list[Any]]:
    """Return the orders that belong to an order, by their relation to it."""
    dependent = order.dependent_order
    return {
        "child_orders": [each for each in order.child_orders or () if each is not None],
        "dependent_order": [] if dependent is None else [dependent],
    }
