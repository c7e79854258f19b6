"""Makes the steps of Lumibot's event loop cheaper, with the same results.

A daily backtest spends most of its time in Lumibot's event loop. Three things there cost much and do nothing:

- Names are looked up in proxies of modules and classes that are imported late. Once they are imported, the name can
  mean the module or the class itself.
- The broker subtracts and compares pandas timestamps, which takes a hundred times as long as with Python's.
- Queues for events of other threads are looked into ten times a day. They are empty, and `SimpleQueue` finds that out
  without locks.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from functools import wraps
from queue import SimpleQueue
from types import ModuleType
from typing import Any

from lumibot_duckdb.lumibot_contract.callers import is_of

_CHANGED = "_lumibot_duckdb_times"


def make_steps_cheaper() -> None:
    """Change Lumibot's loop in this process, as the module describes. Idempotent."""
    from lumibot.backtesting.backtesting_broker import BacktestingBroker
    from lumibot.strategies import strategy_executor

    bind_loaded_names()
    strategy_executor.Queue = SimpleQueue
    if not hasattr(BacktestingBroker.initialize_market_calendars, _CHANGED):
        BacktestingBroker.initialize_market_calendars = _with_python_times(
            BacktestingBroker.initialize_market_calendars
        )


# -- names -------------------------------------------------------------------------------------------------------


def bind_loaded_names() -> None:
    """Bind names in Lumibot's modules to what their proxies stand for, as far as it is imported."""
    from lumibot._lazy_imports import LazyClassMeta, LazyLogger, LazyModule

    proxies = {LazyModule: _loaded_module, LazyClassMeta: _loaded_class, LazyLogger: _loaded_logger}
    for module in [each for name, each in list(sys.modules.items()) if is_of(name, "lumibot")]:
        names = vars(module)
        for name, value in list(names.items()):
            if (loaded := proxies.get(type(value))) is not None and (bound := loaded(value)) is not None:
                names[name] = bound


def _loaded_module(proxy: Any) -> ModuleType | None:
    """Return the module of a proxy unless it is not imported, or a proxy itself."""
    module = sys.modules.get(vars(proxy)["_module_name"])
    return module if type(module) is ModuleType else None


def _loaded_class(proxy: Any) -> type | None:
    """Return Lumibot's class of a proxy that has been used. A proxy of ours may have to be removed again."""
    found: type | None = vars(proxy).get("_target_class")
    return found if found is not None and is_of(found.__module__, "lumibot") else None


def _loaded_logger(proxy: Any) -> Any:
    return proxy._logger


# -- the broker's times --------------------------------------------------------------------------------------------


def _with_python_times(initialize: Any) -> Any:
    @wraps(initialize)
    def initialize_market_calendars(broker: Any, trading_days_df: Any) -> Any:
        result = initialize(broker, trading_days_df)
        closes, opens = broker._trading_close_datetimes, broker._trading_market_open_values
        if closes and opens and (times := _python_times([*opens, *closes])) is not None:
            broker._trading_close_datetimes = [times[each] for each in closes]
            broker._trading_market_open_values = [times[each] for each in opens]
            broker._daily_sessions = {
                day: [(times[opening], times[closing]) for opening, closing in sessions]
                for day, sessions in broker._daily_sessions.items()
            }
        return result

    setattr(initialize_market_calendars, _CHANGED, True)
    return initialize_market_calendars


def _python_times(stamps: list[Any]) -> Mapping[Any, datetime] | None:
    """Return Python's times of pandas timestamps; None if the two could differ.

    Python ignores the time zone in a difference of two times whose zones are one object. pytz has an object for each
    offset from UTC, so only its zones may be used. Python has no nanoseconds.
    """
    import pytz

    if any(each.nanosecond or not isinstance(each.tzinfo, pytz.BaseTzInfo) for each in stamps):
        return None
    return {each: each.to_pydatetime() for each in stamps}
