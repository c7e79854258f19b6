"""The places where Lumibot's live sources read bars, wrapped under public names.

Every function here changes a loaded module of Lumibot and returns what undoes the change. Lumibot's callers look the
wrapped functions up when they call them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import wraps
from types import FrameType, ModuleType
from typing import Any, Protocol, TypeAlias

import pandas as pd

from lumibot_duckdb.lumibot_contract.callers import is_of

SHARED_BARS = "lumibot.tools.shared_bar_cache"
INTERACTIVE_BROKERS = "lumibot.data_sources.interactive_brokers_rest_data"
YAHOO = "lumibot.tools.yahoo_helper"

MODULES = (SHARED_BARS, INTERACTIVE_BROKERS, YAHOO)
"""The modules that are changed."""

Frames: TypeAlias = "Mapping[Any, pd.DataFrame | None]"
Fetch: TypeAlias = "Callable[[Sequence[Any], pd.Timestamp, pd.Timestamp], Frames | None]"
"""Asks a broker: series, start and exclusive end of a range (UTC), and the bars of each series."""

asset_read: ContextVar[Any] = ContextVar("asset whose bars are being read", default=None)
"""The asset of the current read, for sources whose series do not name it."""


class ReadCall(Protocol):
    """One call of `read_bars_many`: observes what it fetches and what it returns. It never raises anything of its own.

    What it gets must not be changed.
    """

    def fetch(self, members: Sequence[Any], start: pd.Timestamp, stop: pd.Timestamp) -> Frames | None:
        """Ask the broker for the bars of series that start in `[start, stop)`; raise what its client raises."""

    def returned(self, frames: Mapping[Any, pd.DataFrame]) -> None:
        """Receive what the call returns."""


class Observe(Protocol):
    """Begins to observe a call of `read_bars_many`; returns None if it is not to be observed."""

    def __call__(self, series: Sequence[Any], start: Any, end: Any, fetch: Fetch, options: Mapping[str, Any]) -> Any:
        """Return the `ReadCall`. The arguments are those of the call, with `options` for the others."""


def wrap_shared_reads(module: ModuleType, observe: Observe) -> Callable[[], None]:
    """Pass every read of the shared bar cache to `observe`."""

    def wrapping(original: Any) -> Any:
        @wraps(original)
        def read_bars_many(series_list: Any, start: Any, end: Any, fetch: Any, **options: Any) -> Any:
            call = observe(series_list, start, end, fetch, options)
            if call is None:
                return original(series_list, start, end, fetch, **options)
            frames = original(series_list, start, end, call.fetch, **options)
            call.returned(frames)
            return frames

        return read_bars_many

    return _replaced(module, "read_bars_many", wrapping)


def wrap_interactive_brokers(module: ModuleType) -> Callable[[], None]:
    """Note the asset of each read in `asset_read`: its series names the contract by a number of the broker."""

    def wrapping(original: Any) -> Any:
        @wraps(original)
        def get_historical_prices(source: Any, asset: Any, *arguments: Any, **options: Any) -> Any:
            before = asset_read.set(asset)
            try:
                return original(source, asset, *arguments, **options)
            finally:
                asset_read.reset(before)

        return get_historical_prices

    return _replaced(module.InteractiveBrokersRESTData, "get_historical_prices", wrapping)


def wrap_yahoo(
    module: ModuleType, observe: Callable[[str, str], Callable[[pd.DataFrame | None], None]]
) -> Callable[[], None]:
    """Call `observe` with the symbol and the interval before each download, and what that returns with its frame."""

    def wrapping(original: Any) -> Any:
        @wraps(original)
        def download_symbol_data(symbol: str, interval: str = "1d") -> Any:
            downloaded = observe(symbol, interval)
            frame = original(symbol, interval)
            downloaded(frame)
            return frame

        return staticmethod(download_symbol_data)

    return _replaced(module.YahooHelper, "download_symbol_data", wrapping)


def is_usable(bars: pd.DataFrame, *, strict: bool) -> bool:
    """Return whether Lumibot would keep bars; if `strict`, those of sources whose bars must be plausible."""
    from lumibot.tools import shared_bar_cache

    check = shared_bar_cache.validate_rows if strict else shared_bar_cache.structurally_valid
    return bool(check(bars))


def is_called_by_backtest() -> bool:
    """Return whether a backtest is on the call stack of this thread.

    Backtests share code with live trading (`AlpacaBacktesting` reads through the same cache, and `YahooData` serves
    both), so callers tell them apart: a backtesting source, or the executor of a strategy whose broker backtests.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.startswith("lumibot.") and _belongs_to_backtest(module, frame):
            return True
        frame = frame.f_back
    return False


def _belongs_to_backtest(module: str, frame: FrameType) -> bool:
    if is_of(module, "lumibot.backtesting"):
        return True
    if module == "lumibot.data_sources.yahoo_data":
        return is_of(type(frame.f_locals.get("self")).__module__, "lumibot.backtesting")
    if module == "lumibot.strategies.strategy_executor":
        broker = getattr(frame.f_locals.get("self"), "broker", None)
        return bool(getattr(broker, "IS_BACKTESTING_BROKER", False))
    return False


def _replaced(owner: Any, name: str, wrapping: Callable[[Any], Any]) -> Callable[[], None]:
    """Wrap a function of a module or class; return what restores it, unless other code has replaced it since."""
    before = vars(owner)[name]
    after = wrapping(before.__func__ if isinstance(before, staticmethod) else before)
    setattr(owner, name, after)

    def restore() -> None:
        if vars(owner).get(name) is after:
            setattr(owner, name, before)

    return restore
