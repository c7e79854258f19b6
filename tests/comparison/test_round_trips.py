"""Profits of closed trades, against a model that trades one share at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.comparison.outcome import Table
from lumibot_duckdb.comparison.round_trips import profits

COLUMNS = ["symbol", "side", "status", "price", "filled_quantity", "trade_cost", "asset.multiplier", "asset.strike"]
Fill = tuple[str, str, int, int, int]
"""Symbol, side, quantity, price and cost."""


def events(*rows: Sequence[object]) -> Iterator[dict[str, str]]:
    """Make events from (symbol, side, quantity, price, cost[, status, multiplier, strike])."""
    filled = []
    for symbol, side, quantity, price, cost, *more in rows:
        status, multiplier, strike = [*more, *["fill", 1, 0.0][len(more) :]]
        filled.append([symbol, side, status, price, quantity, cost, multiplier, strike])
    return Table(COLUMNS, [list(map(str, row)) for row in filled]).records()


def share_by_share(fills: Sequence[Fill]) -> list[float]:
    """Return the profits if every fill were as many fills of one share."""
    held: dict[str, int] = {}
    money: dict[str, Fraction] = {}
    found = []
    for symbol, side, quantity, price, cost in fills:
        for _ in range(quantity):
            step = 1 if side == "buy" else -1
            held[symbol] = held.get(symbol, 0) + step
            money[symbol] = money.get(symbol, Fraction(0)) - step * price - Fraction(cost, quantity)
            if held[symbol] == 0:
                found.append(float(money.pop(symbol)))
    return found


@examples(200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["SPY", "QQQ"]),
            st.sampled_from(["buy", "sell"]),
            st.integers(1, 5),
            st.integers(1, 20),
            st.integers(0, 7),
        ),
        max_size=20,
    )
)
def test_profits_are_those_of_single_shares(fills: list[Fill]) -> None:
    assert profits(events(*fills)) == pytest.approx(share_by_share(fills))


def test_quantities_with_decimals_close_a_position() -> None:
    assert profits(events(("BTC", "buy", 0.1, 100, 0), ("BTC", "buy", 0.2, 100, 0), ("BTC", "sell", 0.3, 110, 0))) == [
        pytest.approx(3.0)
    ]


def test_contracts_are_told_apart_and_count_their_multiplier() -> None:
    bought = ("SPY", "buy_to_open", 2, 1.5, 1, "fill", 100, 400.0)
    other = ("SPY", "buy_to_open", 2, 1.5, 1, "fill", 100, 410.0)
    sold = ("SPY", "sell_to_close", 2, 2.0, 1, "fill", 100, 400.0)
    assert profits(events(bought, other, sold)) == [pytest.approx(98.0)]


@pytest.mark.parametrize(("status", "profit"), [("expired", -301.0), ("assigned", -301.0), ("cash_settled", 99.0)])
def test_a_contract_ends(status: str, profit: float) -> None:
    """Delivered shares are paid for in their own fill, so only a cash settlement has a price."""
    bought, ended = ("SPY", "buy", 2, 1.5, 1, "fill", 100, 400.0), ("SPY", "sell", 2, 2.0, 0, status, 100, 400.0)
    assert profits(events(bought, ended)) == [pytest.approx(profit)]


def test_a_split_changes_the_quantity() -> None:
    bought, split = ("AAPL", "buy", 10, 500, 0), ("AAPL", "neutral", 40, 4, "nan", "stock_split")
    assert profits(events(bought, split, ("AAPL", "sell", 40, 130, 0))) == [pytest.approx(200.0)]


def test_what_is_not_filled_does_not_count() -> None:
    rows = [
        ("SPY", "buy", "nan", "nan", "nan", "new"),
        ("SPY", "buy", 1, 10, 0),
        ("SPY", "sell", "nan", 12, 0, "canceled"),
    ]
    assert profits(events(*rows)) == []
    assert profits([]) == []
