"""Orders of both sides are paired, with what the live prices cost."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest

from lumibot_duckdb.live.replay.equity import compare_equity
from lumibot_duckdb.live.replay.orders import FilledOrder, orders_of, pair_orders
from lumibot_duckdb.results.live_records import LIVE_TABLES

NOW = datetime(2024, 6, 3, 14, 30, tzinfo=timezone.utc)


def order(minute: float, side: str = "buy", price: float | None = 10.0, **more: Any) -> FilledOrder:
    given = {"asset": "AAA", "type": "market", "status": "fill", "quantity": 2.0, "filled": 2.0, "fees": None, **more}
    return FilledOrder(time=NOW + timedelta(minutes=minute), side=side, price=price, filled_at=None, **given)


def test_fills_of_an_order_are_added_up() -> None:
    order_row = {"time": NOW, "order_id": "a", "asset": "AAA", "side": "buy", "type": "limit", "quantity": 5.0}
    events = [
        {"event": "new"},
        {"event": "partial_fill", "quantity": 1.0, "price": 10.0, "fees": 0.5},
        {"event": "fill", "quantity": 4.0, "price": 11.0, "fees": 0.25},
    ]
    rows = [{"time": NOW + timedelta(minutes=n), "order_id": "a", **each} for n, each in enumerate(events)]
    rows.append({"time": NOW, "order_id": "b", "event": "canceled"})
    tables = {
        "live_orders": pa.Table.from_pylist(
            [{**order_row, "order_id": "b", "time": NOW + timedelta(hours=1)}, order_row], LIVE_TABLES["live_orders"]
        ),
        "trades": pa.Table.from_pylist(rows, LIVE_TABLES["trades"]),
    }
    filled, canceled = orders_of(tables)
    assert (filled.status, filled.filled, filled.price, filled.fees) == ("fill", 5.0, 10.8, 0.75)
    assert filled.filled_at == NOW + timedelta(minutes=2)
    assert (canceled.status, canceled.filled, canceled.price, canceled.fees) == ("canceled", 0, None, None)


def test_orders_are_paired_by_asset_side_and_time() -> None:
    live = [order(0.1), order(5.1, "sell"), order(9, asset="BBB"), order(20)]
    backtest = [order(0), order(5), order(5, "sell"), order(21), order(30)]
    pairs = pair_orders(live, backtest, timedelta(minutes=1.5))
    assert [(pair.live in live, pair.backtest in backtest) for pair in pairs] == [
        (True, True),
        (False, True),
        (True, True),
        (True, False),
        (True, True),
        (False, True),
    ]
    assert pairs[4].backtest == order(21)
    assert [pair.is_equal for pair in pairs] == [True, False, True, False, True, False]


@pytest.mark.parametrize(
    ("side", "live", "backtest", "slippage", "cost"),
    [
        ("buy", 10.5, 10.0, 0.5, 1.0),
        ("sell", 10.5, 10.0, -0.5, -1.0),
        ("sell_short", 9.0, 10.0, 1.0, 2.0),
        ("buy_to_cover", 10.0, 10.0, 0.0, 0.0),
        ("buy", None, 10.0, None, None),
    ],
)
def test_slippage_is_what_the_live_price_was_worse(
    side: str, live: float | None, backtest: float, slippage: float | None, cost: float | None
) -> None:
    (pair,) = pair_orders([order(0, side, live)], [order(0, side, backtest)], timedelta(minutes=1))
    assert (pair.slippage, pair.cost) == (slippage, cost)


def test_another_quantity_or_end_is_a_difference() -> None:
    for other in (order(0, filled=1.0), order(0, status="canceled")):
        (pair,) = pair_orders([order(0)], [other], timedelta(minutes=1))
        assert not pair.is_equal


def test_values_are_compared_at_the_times_of_the_session() -> None:
    def equity(*rows: tuple[float, float | None]) -> dict[str, pa.Table]:
        found = [{"time": NOW + timedelta(minutes=minute), "value": value} for minute, value in rows]
        return {"equity": pa.Table.from_pylist(found, LIVE_TABLES["equity"])}

    live, backtest = (
        equity((0.1, 100.0), (1.1, 103.0), (2.1, None), (3.1, 99.0)),
        equity((0, 100.0), (1, 101.0), (3, 98.0)),
    )
    found = compare_equity(live, backtest)
    assert found.values["live"].tolist() == [100.0, 103.0, 99.0]
    assert found.values["backtest"].tolist() == [100.0, 101.0, 98.0]
    assert (found.largest_difference, found.largest_at) == (2.0, NOW + timedelta(minutes=1.1))
    assert found.live_return == pytest.approx(-0.01)
    assert found.backtest_return == pytest.approx(-0.02)
    empty = compare_equity(equity(), equity())
    assert (empty.live_return, empty.largest_difference) == (None, None)
