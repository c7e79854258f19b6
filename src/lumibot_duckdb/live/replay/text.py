"""What a replay found, in words: for the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from lumibot_duckdb.display import count
from lumibot_duckdb.live.replay.orders import FilledOrder
from lumibot_duckdb.live.replay.replay import Replay
from lumibot_duckdb.live.replay.requests import EXPECTED, RequestComparison
from lumibot_duckdb.storage.times import NEW_YORK

ORDER_COLUMNS = ("time", "asset", "side", "quantity", "live price", "backtest price", "slippage", "result")
REQUEST_COLUMNS = ("time", "asset", "bars", "outcome", "first difference")
EXPECTED_DIFFERENCES = (
    "Some differences are expected. A backtest never sees a bar that has not closed, and its prices are those of bars. "
    "It fills orders at the prices of bars, without a spread, a queue or a delay. Its iterations begin exactly on time."
)


def verdict(replay: Replay) -> str:
    """Return the result in a sentence or two."""
    unequal = sum(each.outcome not in EXPECTED for each in replay.requests)
    requests = count(len(replay.requests), "request")
    if not replay.requests:
        seen = "The session made no request for bars or prices."
    elif unequal:
        seen = f"{unequal:,} of {requests} did not return the same closed bars in the backtest."
    else:
        returned = "returned" if len(replay.requests) > 1 else "which returned"
        seen = f"The backtest saw what the live strategy saw: {requests} {returned} the same closed bars."
    unpaired = sum(not pair.is_equal for pair in replay.orders)
    if not replay.orders:
        return f"{seen} Neither side made an order."
    orders = count(len(replay.orders), "order")
    if unpaired:
        return f"{seen} {unpaired:,} of {orders} differ."
    return f"{seen} {orders[0].upper()}{orders[1:]} on both sides, with the same results."


def order_rows(replay: Replay) -> list[list[str]]:
    """Return a row of `ORDER_COLUMNS` for each order."""
    rows = []
    for pair in replay.orders:
        order = pair.live or pair.backtest
        if order is None:
            continue
        rows.append(
            [
                moment(order.time),
                order.asset,
                order.side,
                _quantity(order),
                _price(pair.live),
                _price(pair.backtest),
                "" if pair.slippage is None else f"{pair.slippage:+.6g}",
                _result(pair.live, pair.backtest),
            ]
        )
    return rows


def request_rows(requests: Iterable[RequestComparison]) -> list[list[str]]:
    """Return a row of `REQUEST_COLUMNS` for each request."""
    return [
        [
            moment(each.live_time or each.backtest_time),
            each.asset,
            f"{each.length} {each.timestep}".strip() if each.length is not None else "last price",
            _outcome(each),
            _first_difference(each),
        ]
        for each in requests
    ]


def unexpected(replay: Replay) -> list[RequestComparison]:
    """Return the requests in which the backtest saw something else."""
    return [each for each in replay.requests if each.outcome not in EXPECTED]


def percent(value: float | None) -> str:
    """Return a return as people read it; "-" if there is none."""
    return "-" if value is None else f"{value:+.3%}"


def moment(time: datetime | None) -> str:
    """Return a moment in New York, to the second."""
    return "" if time is None else f"{time.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S}"


def _quantity(order: FilledOrder) -> str:
    quantity = order.filled or order.quantity
    return "" if quantity is None else f"{quantity:g}"


def _price(order: FilledOrder | None) -> str:
    return "" if order is None or order.price is None else f"{order.price:.8g}"


def _result(live: FilledOrder | None, backtest: FilledOrder | None) -> str:
    if live is None:
        return "only in the backtest"
    if backtest is None:
        return "only live"
    if live.status == backtest.status:
        return live.status
    return f"{live.status or 'unknown'} live, {backtest.status or 'unknown'} in the backtest"


def _outcome(request: RequestComparison) -> str:
    counts = {"different": request.different, "missing": request.missing, "more": request.extra, "newer": request.late}
    some = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    return f"{request.outcome} ({some})" if some else request.outcome


def _first_difference(request: RequestComparison) -> str:
    first = request.first_difference
    if first is not None:
        return f"{first.column} of {moment(first.bar)}: {first.live:.8g} live, {first.backtest:.8g} in the backtest"
    if request.first_missing is not None:
        return f"{moment(request.first_missing)} is missing"
    if request.prices is not None and request.prices[0] != request.prices[1]:
        live, backtest = ("none" if price is None else f"{price:.8g}" for price in request.prices)
        return f"{live} live, {backtest} in the backtest"
    return ""
