"""Turns what a strategy does into events. It runs in the strategy's threads, so it copies values and does no more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.comparison.frame_figures import text_of
from lumibot_duckdb.comparison.trades import symbol_of
from lumibot_duckdb.live.session.events import (
    PRICES,
    EventSink,
    OrderEvent,
    RequestEvent,
    SeenFrame,
    TradeEvent,
    ValueEvent,
)
from lumibot_duckdb.lumibot_contract.live_session_hooks import frame_of
from lumibot_duckdb.lumibot_contract.pandas_blocks import column_values
from lumibot_duckdb.storage.times import epoch_nanoseconds

HISTORY, LAST_PRICE = "history", "last_price"
"""The methods of requests."""
_CONTRACT = ("asset_type", "expiration", "strike", "right")
_NAMED = ("asset", "assets", "length", "timestep", "quote", "return_polars")
"""Arguments that have their own column, or make no difference."""
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000}
_UNCHANGED_SECONDS = 60
"""A value that did not change is noted once in this time: live strategies report one each second."""


class SessionObserver:
    """Notes what a strategy does while it runs, and passes it to a sink."""

    def __init__(self, strategy: Any, sink: EventSink) -> None:
        self._strategy = strategy
        self._sink = sink
        self._orders: set[str] = set()
        self._value: tuple[float | None, float | None] = (None, None)
        self._value_noted = -math.inf

    def began(self) -> None:
        """Note the value of the portfolio before the first iteration changes it."""
        strategy = self._strategy
        value = {"portfolio_value": strategy.portfolio_value, "cash": strategy.cash}
        self.valued({"datetime": strategy.get_datetime(), **value})

    def requested(self, method: str, arguments: Mapping[str, Any], answer: Any, error: Exception | None) -> None:
        """Note the answer to a request for bars or prices, or the type of its error: one event for each asset."""
        now = _microseconds(self._strategy.get_datetime())
        is_history = method.startswith("get_historical")
        answers = _answers(arguments, answer)
        length = arguments.get("length")
        others = {name: value for name, value in arguments.items() if name not in _NAMED and value is not None}
        if others.get("include_after_hours") is True:  # the default
            del others["include_after_hours"]
        for asset, each in answers:
            self._sink.add(
                RequestEvent(
                    now,
                    HISTORY if is_history else LAST_PRICE,
                    asset,
                    text_of(arguments.get("timestep") or ""),
                    int(length) if isinstance(length, (int, np.integer)) else None,
                    ", ".join(f"{name}={value}" for name, value in sorted(others.items())),
                    frame=_seen(each) if is_history and each is not None else None,
                    price=None if is_history else _number(each),
                    error=None if error is None else type(error).__name__,
                )
            )

    def traded(self, event: Mapping[str, Any], order: Any) -> None:
        """Note a trade event, and its order if it is new. Payments that concern no order are left out."""
        if event.get("identifier") is None or event.get("event_kind", "trade") != "trade":
            return
        identifier = text_of(event["identifier"])
        common = {
            "time": _microseconds(event["time"]),
            "order_id": identifier,
            "asset": symbol_of({name: _text(name, value) for name, value in event.items() if name in _EVENT_CONTRACT}),
            "side": text_of(event.get("side")),
            "type": text_of(event.get("type")),
        }
        if identifier not in self._orders:
            self._orders.add(identifier)
            names = ("quantity", "limit_price", "stop_price")
            self._sink.add(OrderEvent({**common, **{name: _number(getattr(order, name, None)) for name in names}}))
        amounts = {"quantity": "filled_quantity", "price": "price", "fees": "trade_cost"}
        row = {**common, "event": text_of(event.get("status"))}
        self._sink.add(TradeEvent({**row, **{ours: _number(event.get(theirs)) for ours, theirs in amounts.items()}}))

    def valued(self, row: Mapping[str, Any]) -> None:
        """Note the value of the portfolio, if it changed or was not noted for a minute."""
        value = (_number(row.get("portfolio_value")), _number(row.get("cash")))
        now = _microseconds(row["datetime"])
        if value == self._value and now - self._value_noted < _UNCHANGED_SECONDS * 1_000_000:
            return
        self._value, self._value_noted = value, now
        self._sink.add(ValueEvent({"time": now, "value": value[0], "cash": value[1]}))

    def ended(self, error: BaseException | None) -> None:
        """Note that the strategy has ended."""
        self._sink.end(error)


_EVENT_CONTRACT = frozenset(("symbol", *(f"asset.{name}" for name in _CONTRACT)))


def asset_name(asset: Any) -> str:
    """Return the name of an asset as strategies pass it: a symbol, an `Asset`, or a pair of these."""
    if isinstance(asset, tuple):
        return "/".join(map(asset_name, asset))
    if not hasattr(asset, "symbol"):
        return text_of(asset)
    contract = {f"asset.{name}": _text(name, getattr(asset, name, "")) for name in _CONTRACT}
    return symbol_of({"symbol": text_of(asset.symbol), **contract})


def _text(name: str, value: Any) -> str:
    """Return a part of a contract as a text; a strike as a number without needless digits, as the store shows it."""
    strike = _number(value) if name.endswith("strike") else None
    return text_of(value) if strike is None else f"{strike:.15g}"


def _answers(arguments: Mapping[str, Any], answer: Any) -> Iterable[tuple[str, Any]]:
    """Yield the name of each asset of a request, and what was returned for it; None if nothing was."""
    quote = arguments.get("quote")

    def named(asset: Any) -> str:
        return asset_name(asset if quote is None or isinstance(asset, tuple) else (asset, quote))

    if "asset" in arguments:
        yield named(arguments["asset"]), answer
    elif isinstance(answer, Mapping):
        for asset, each in answer.items():
            yield named(asset), each
    else:
        for asset in arguments.get("assets", ()):
            yield named(asset), None


def _seen(bars: Any) -> SeenFrame:
    frame = frame_of(bars)
    index = frame.index if isinstance(frame.index, pd.DatetimeIndex) else pd.DatetimeIndex(frame.index)
    values = np.full((len(frame), len(PRICES)), math.nan)
    columns = {name: place for place, name in enumerate(frame.columns)}
    for place, name in enumerate(PRICES):
        if name in columns:
            numbers = column_values(frame, columns[name])
            if numbers.dtype.kind not in "fiu" or not isinstance(numbers, np.ndarray):
                numbers = frame[name].to_numpy(float, na_value=math.nan)  # takes several times as long as copying
            values[:, place] = numbers
    return _in_order(_times_of(index), values)


def _times_of(index: pd.DatetimeIndex) -> Any:
    """Return the times of an index in microseconds; `as_unit` of pandas takes ten times as long."""
    if index.unit == "us":
        return index.asi8.copy()
    return index.asi8 // 1_000 if index.unit == "ns" else index.asi8 * _MICROSECONDS[index.unit]


def _in_order(times: Any, values: Any) -> SeenFrame:
    """Return bars in the order of their times, each time once: the last of several is kept."""
    if (np.diff(times) > 0).all():
        return SeenFrame(times, values)
    kept = len(times) - 1 - np.unique(times[::-1], return_index=True)[1]
    return SeenFrame(times[kept], values[kept])


def _microseconds(moment: datetime) -> int:
    return epoch_nanoseconds(moment) // 1000


def _number(value: Any) -> float | None:
    """Return a value as a number; None for what is none, such as NaN or a missing price."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
