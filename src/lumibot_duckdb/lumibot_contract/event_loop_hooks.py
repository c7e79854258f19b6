"""Makes the steps of Lumibot's event loop cheaper, with the same results.

A daily backtest spends most of its time in Lumibot's event loop. Some of it changes no result:

- Names are looked up in proxies of modules and classes that are imported late. Once those are imported, a name can
  refer to the module or the class itself.
- The broker subtracts pandas timestamps, which takes a hundred times as long as with Python's datetimes.
- Several times a day, queues for events are polled that are nearly always empty. `SimpleQueue` needs no lock for that.
- To find splits and dividends, a row object is made of each row of a frame, though hardly any row has one.
"""

from __future__ import annotations

import sys
from functools import wraps
from queue import SimpleQueue
from types import ModuleType, SimpleNamespace
from typing import Any, TypeGuard

from lumibot_duckdb.lumibot_contract.callers import is_of

_OURS = __name__.split(".")[0]
_is_changed = False
_modules_at_binding = 0
"""How many modules were imported when names were bound last."""


def make_steps_cheaper() -> None:
    """Change Lumibot's loop in this process, as the module describes. Idempotent.

    Call it at the start of each backtest: names are bound to what has been imported by then.
    """
    global _is_changed, _modules_at_binding
    if len(sys.modules) != _modules_at_binding:
        bind_loaded_names()
        _modules_at_binding = len(sys.modules)
    if _is_changed:
        return
    from lumibot.backtesting.backtesting_broker import BacktestingBroker
    from lumibot.data_sources import DataSource
    from lumibot.strategies import strategy_executor

    strategy_executor.Queue = SimpleQueue
    BacktestingBroker.initialize_market_calendars = _with_datetimes(BacktestingBroker.initialize_market_calendars)
    DataSource._stock_split_cache_from_frame = _of_split_rows(DataSource._stock_split_cache_from_frame)
    DataSource.get_yesterday_dividends = _of_dividend_rows(DataSource.get_yesterday_dividends)
    _is_changed = True


# -- names -------------------------------------------------------------------------------------------------------


def bind_loaded_names() -> None:
    """Bind names in Lumibot's modules to what their proxies stand for, where that is imported."""
    from lumibot._lazy_imports import LazyClassMeta, LazyLogger, LazyModule

    targets = {LazyModule: _loaded_module, LazyClassMeta: _loaded_class, LazyLogger: _loaded_logger}
    for module in [each for name, each in list(sys.modules.items()) if is_of(name, "lumibot")]:
        names = vars(module)
        for name, value in list(names.items()):
            if (target_of := targets.get(type(value))) is not None and (target := target_of(value)) is not None:
                names[name] = target


def _loaded_module(proxy: Any) -> ModuleType | None:
    return _imported(vars(proxy)["_module_name"])


def _loaded_class(proxy: Any) -> Any:
    """Return the class of a proxy. Proxies of our classes stay, because `deactivate` removes them."""
    of_proxy = vars(proxy)
    module = None if is_of(of_proxy["_module_name"], _OURS) else _imported(of_proxy["_module_name"])
    return None if module is None else vars(module).get(of_proxy["_class_name"])


def _loaded_logger(proxy: Any) -> Any:
    return proxy._logger


def _imported(name: str) -> ModuleType | None:
    """Return a module unless it is not imported, or an object of another type that decides what others see."""
    module = sys.modules.get(name)
    return module if type(module) is ModuleType else None


# -- the broker's times ------------------------------------------------------------------------------------------


def _with_datetimes(initialize: Any) -> Any:
    """Return a method that keeps the opens and closes of the trading days as datetimes, where they mean the same.

    Python ignores the time zone in a difference of two times whose zones are one object. pytz has an object for each
    offset from UTC, so its zones are safe. A datetime has no nanoseconds.
    """

    import pandas as pd
    import pytz

    def is_exact(times: pd.Index[Any]) -> TypeGuard[pd.DatetimeIndex]:
        if not isinstance(times, pd.DatetimeIndex) or not isinstance(times.tz, pytz.BaseTzInfo):
            return False
        return not times.nanosecond.any()

    @wraps(initialize)
    def initialize_market_calendars(broker: Any, trading_days_df: Any) -> Any:
        result = initialize(broker, trading_days_df)
        given = broker._trading_close_datetimes, broker._trading_market_open_values
        closes, opens = (pd.Index(each or ()) for each in given)
        if is_exact(closes) and is_exact(opens):
            broker._trading_close_datetimes = closes.to_pydatetime().tolist()
            broker._trading_market_open_values = opens.to_pydatetime().tolist()
        return result

    return initialize_market_calendars


# -- splits and dividends ----------------------------------------------------------------------------------------


def _of_split_rows(find: Any) -> Any:
    """Return a method that reads only rows that may have a split."""
    import pandas as pd

    @wraps(find)
    def _stock_split_cache_from_frame(source: Any, frame: Any) -> Any:
        if type(frame) is pd.DataFrame and frame.columns.is_unique and "stock_splits" in frame.columns:
            frame = frame[frame["stock_splits"].to_numpy() != 0]
        return find(source, frame)

    return _stock_split_cache_from_frame


def _of_dividend_rows(find: Any) -> Any:
    """Return a method that looks for dividends of an asset in the rows that have one."""

    @wraps(find)
    def get_yesterday_dividends(source: Any, assets: Any, quote: Any = None) -> Any:
        looks = getattr(source, "_datetime", None) and any(asset not in source._dividend_cache for asset in assets)
        return find(_SourceOfDividends(source) if looks else source, assets, quote)

    return get_yesterday_dividends


class _SourceOfDividends:
    """A data source. Whoever iterates over the rows of its frames gets those with a dividend."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def get_bars(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        found = self._source.get_bars(*args, **kwargs)
        return {
            asset: SimpleNamespace(df=_with_dividend_rows(bars.df)) if hasattr(bars, "df") else bars
            for asset, bars in found.items()
        }

    def _get_backtest_daily_corporate_action_frame(self, asset: Any, quote: Any = None) -> Any:
        return _with_dividend_rows(self._source._get_backtest_daily_corporate_action_frame(asset, quote=quote))


def _with_dividend_rows(frame: Any) -> Any:
    import pandas as pd

    if type(frame) is not pd.DataFrame or not frame.columns.is_unique or "dividend" not in frame.columns:
        return frame
    dividends = frame["dividend"].to_numpy()
    if dividends.dtype.kind not in "fiu":
        return frame
    shown: Any = frame.copy(deep=False)
    shown.iterrows = frame[dividends > 0].iterrows
    return shown
