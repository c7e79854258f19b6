"""The start and the end of a backtest, which Lumibot does not report to data sources.

`Strategy.backtest` and `Strategy.run_backtest` call `_Strategy.run_backtest`, and every run calls `Trader.run_all`.
Both are wrapped permanently; backtests on other sources do not change.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from lumibot_duckdb.lumibot_contract.enforcement import keeps_contract
from lumibot_duckdb.lumibot_contract.strategy_access import TRADER_MODULE, strategies_of

_TRACKED = "_lumibot_duckdb_follows"
_strategy: ContextVar[str | None] = ContextVar("name of the strategy that is backtested", default=None)
_source_for: Callable[[Any], Any] | None = None
_started: Callable[[list[Any]], None] | None = None
_observe: Callable[[Any], AbstractContextManager[None]] | None = None
_is_cheaper = False
"""Whether backtests take the cheaper steps. Those on Lumibot's side of a comparison do not."""


def name_of_strategy() -> str:
    """Return the name of the strategy whose backtest is being set up.

    If a source is constructed outside of a backtest, this is the name of the running script.
    """
    return _strategy.get() or Path(sys.argv[0] if sys.argv else "").stem


def is_within_backtest() -> bool:
    """Return whether `Strategy.backtest` or `Strategy.run_backtest` has been called and has not returned yet."""
    return _strategy.get() is not None


def replace_source_class(change: Callable[[Any], Any] | None) -> None:
    """Pass the data source class of each new backtest through `change`; None ends this."""
    global _source_for
    _source_for = change


def report_starts(started: Callable[[list[Any]], None] | None) -> None:
    """Call `started` with the data sources of each run before it begins, if traders are tracked; None ends this."""
    global _started
    _started = started


def observe_runs(observe: Callable[[Any], AbstractContextManager[None]] | None) -> None:
    """Run each trader inside the context that `observe` returns for it, if traders are tracked; None ends this."""
    global _observe
    _observe = observe


def track_strategies(base: Any) -> None:
    """Track which strategy's backtest is running; `base` is Lumibot's `_Strategy`. Idempotent."""
    if getattr(base, _TRACKED, False) or not _can_track():
        return
    setattr(base, _TRACKED, True)
    original = base.__dict__["run_backtest"].__func__
    signature = inspect.signature(original)

    @wraps(original)
    def run_backtest(cls: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(cls, *args, **kwargs)
        except TypeError:
            return original(cls, *args, **kwargs)  # which raises the error of the call
        if _source_for is not None:
            given.arguments["datasource_class"] = _source_for(given.arguments.get("datasource_class"))
        make_steps_cheaper()
        before = _strategy.set(given.arguments.get("name") or cls.__name__)
        try:
            return original(*given.args, **given.kwargs)
        finally:
            _strategy.reset(before)

    base.run_backtest = classmethod(run_backtest)


def track_traders(ended: Callable[[list[Any]], None], *, cheaper_steps: bool = True) -> None:
    """Call `ended` with the data sources of every run when it ends, even if it fails. Idempotent.

    With `cheaper_steps`, backtests take the steps of `make_steps_cheaper` from now on.
    """
    global _is_cheaper
    _is_cheaper |= cheaper_steps
    trader_class = getattr(import_module(TRADER_MODULE), "Trader", None)
    if trader_class is None or getattr(trader_class, _TRACKED, False) or not _can_track():
        return
    setattr(trader_class, _TRACKED, True)
    original = trader_class.run_all

    @wraps(original)
    def run_all(trader: Any, *args: Any, **kwargs: Any) -> Any:
        if _started is not None:
            _started(_sources_of(trader))
        if _is_cheaper and trader.is_backtest_broker:
            make_steps_cheaper()
        try:
            with nullcontext() if _observe is None else _observe(trader):
                return original(trader, *args, **kwargs)
        finally:
            ended(_sources_of(trader))

    trader_class.run_all = run_all


def _can_track() -> bool:
    return keeps_contract(
        "lifecycle", otherwise="strategies are named after their script, and no statistics of the store are logged"
    )


def make_steps_cheaper() -> None:
    """Make Lumibot's event loop cheaper in this process, if it is one that we know. Idempotent."""
    if keeps_contract("event_loop", otherwise="backtests are as slow as on Lumibot"):
        from lumibot_duckdb.lumibot_contract import event_loop_hooks

        event_loop_hooks.make_steps_cheaper()


def _sources_of(trader: Any) -> list[Any]:
    brokers = [getattr(strategy, "broker", None) for strategy in strategies_of(trader)]
    named = [getattr(broker, name, None) for broker in brokers for name in ("data_source", "option_source")]
    found: list[Any] = []
    for source in named:
        if source is not None and not any(source is each for each in found):
            found.append(source)
    return found
