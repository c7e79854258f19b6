"""What Lumibot does not tell a data source: which strategy's backtest it is made for, and when that one has ended.

Both are learned where Lumibot's ways come together: `Strategy.backtest` and `run_backtest` in `_Strategy.run_backtest`,
every run in `Trader.run_all`. The two are wrapped for good; for backtests on other sources they do what they did.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any

from lumibot_duckdb.lumibot_contract.fallback import keeps_contract
from lumibot_duckdb.lumibot_contract.strategy_access import strategies_of

_FOLLOWED = "_lumibot_duckdb_follows"
_strategy: ContextVar[str | None] = ContextVar("name of the strategy that is backtested", default=None)
_source_for: Callable[[Any], Any] | None = None


def name_of_strategy() -> str:
    """Return the name of the strategy whose backtest is being set up.

    A source that is made by itself is not told; the name of the script that runs stands in then.
    """
    return _strategy.get() or Path(sys.argv[0] if sys.argv else "").stem


def take_sources_as(change: Callable[[Any], Any] | None) -> None:
    """From now on, have the data source class that a backtest is started with changed; None: no longer."""
    global _source_for
    _source_for = change


def follow_strategies(base: Any) -> None:
    """Learn whose backtest is run, from `base`, which is Lumibot's `_Strategy`. Idempotent."""
    if getattr(base, _FOLLOWED, False) or not _can_follow():
        return
    setattr(base, _FOLLOWED, True)
    original = base.__dict__["run_backtest"].__func__
    signature = inspect.signature(original)

    @wraps(original)
    def run_backtest(cls: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(cls, *args, **kwargs)
        except TypeError:
            return original(cls, *args, **kwargs)  # which says what is wrong with the call
        if _source_for is not None:
            given.arguments["datasource_class"] = _source_for(given.arguments.get("datasource_class"))
        before = _strategy.set(given.arguments.get("name") or cls.__name__)
        try:
            return original(*given.args, **given.kwargs)
        finally:
            _strategy.reset(before)

    base.run_backtest = classmethod(run_backtest)


def follow_traders(ended: Callable[[list[Any]], None]) -> None:
    """Have `ended` called with the data sources of every run of strategies, also of those that failed. Idempotent."""
    from lumibot.traders.trader import Trader

    if getattr(Trader, _FOLLOWED, False) or not _can_follow():
        return
    setattr(Trader, _FOLLOWED, True)
    original = Trader.run_all

    @wraps(original)
    def run_all(trader: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(trader, *args, **kwargs)
        finally:
            ended(_sources_of(trader))

    Trader.run_all = run_all


def _can_follow() -> bool:
    return keeps_contract(
        "lifecycle", otherwise="strategies are named after their script, and no statistics of the store are logged"
    )


def _sources_of(trader: Any) -> list[Any]:
    brokers = [getattr(strategy, "broker", None) for strategy in strategies_of(trader)]
    named = [getattr(broker, name, None) for broker in brokers for name in ("data_source", "option_source")]
    found: list[Any] = []
    for source in named:
        if source is not None and not any(source is each for each in found):
            found.append(source)
    return found
