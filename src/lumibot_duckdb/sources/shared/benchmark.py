"""The benchmark and the risk-free rate of backtests on our sources, from the store.

Lumibot gets both (SPY and ^IRX by default) from its Yahoo helper, which sleeps for seconds before each download and
downloads again in nearly every run. While Lumibot computes the benchmark or the rate of a strategy on one of our
sources, the helper answers from the store. Strategies on other sources do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import pandas as pd
from lumibot.strategies.strategy import Strategy

from lumibot_duckdb.lumibot_contract import strategy_access
from lumibot_duckdb.lumibot_contract.enforcement import keeps_contract
from lumibot_duckdb.sources.registry import DAILY_HISTORY, load

_current_source: ContextVar[Any] = ContextVar("source of the strategy that calls the helper", default=None)
_frames: WeakKeyDictionary[Any, dict[str, pd.DataFrame | None]] = WeakKeyDictionary()
_SERVED = "_lumibot_duckdb_serves"


def serve_benchmarks_from_store() -> None:
    """Serve the benchmark and the risk-free rate of strategies on our sources from the store. Idempotent."""
    base = strategy_access.strategy_base()
    if getattr(base, _SERVED, False):
        return
    if not keeps_contract("benchmark", otherwise="Lumibot downloads the benchmark and the risk-free rate itself"):
        return
    setattr(base, _SERVED, True)
    strategy_access.wrap_benchmark(lambda dump: _served_by_source(dump, _has_benchmark))
    rate = _served_by_source(Strategy.risk_free_rate.fget, _has_no_rate)
    Strategy.risk_free_rate = property(rate, doc=Strategy.risk_free_rate.__doc__)


def _has_benchmark(strategy: Any) -> bool:
    return bool(strategy_access.benchmark_asset(strategy))


def _has_no_rate(strategy: Any) -> bool:
    return not strategy_access.has_risk_free_rate(strategy)


def _served_by_source(method: Callable[[Any], Any], calls_helper: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """Return a strategy's method during which the helper answers from the strategy's source, if it is one of ours.

    `calls_helper` returns whether the method will call the helper.
    """

    def served(strategy: Any) -> Any:
        source = getattr(getattr(strategy, "broker", None), "data_source", None)
        with _serving(source if getattr(source, "use_duckdb", False) and calls_helper(strategy) else None):
            return method(strategy)

    served.__name__ = method.__name__
    served.__doc__ = method.__doc__
    return served


@contextmanager
def _serving(source: Any) -> Iterator[None]:
    if source is not None:
        _wrap_helper()
    before = _current_source.set(source)
    try:
        yield
    finally:
        _current_source.reset(before)


def _wrap_helper() -> None:
    """Let the helper answer from the current source. Called late, because the helper is slow to import."""
    from lumibot.tools.yahoo_helper import YahooHelper

    fetch: Any = YahooHelper.fetch_symbol_data
    if getattr(fetch, _SERVED, False):
        return

    def fetch_symbol_data(
        symbol: str, caching: bool = True, last_needed_datetime: datetime | None = None, interval: str = "1d"
    ) -> Any:
        source = _current_source.get()
        if source is None or interval != "1d":
            return fetch(symbol, caching=caching, last_needed_datetime=last_needed_datetime, interval=interval)
        frame = _frame_of(source, symbol)
        return None if frame is None else frame.copy()  # Lumibot modifies it

    setattr(fetch_symbol_data, _SERVED, True)
    YahooHelper.fetch_symbol_data = staticmethod(fetch_symbol_data)


def _frame_of(source: Any, symbol: str) -> pd.DataFrame | None:
    """Return a symbol's daily history as the helper does; None if it is not available."""
    frames = _frames.setdefault(source, {})
    if symbol not in frames:
        frames[symbol] = load(DAILY_HISTORY)(source, symbol)
    return frames[symbol]
