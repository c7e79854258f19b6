"""Intercepts a script's direct calls of brokers and data sources for market data, but not those of Lumibot itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from inspect import isfunction, signature
from types import FrameType
from typing import Any

from lumibot.brokers.broker import Broker
from lumibot.data_sources import DataSource

Interceptor = Callable[[Any, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Makes a call in place of the script, given the object, the method's name, the bound method and its arguments."""
_SUBJECTS = ("asset", "assets", "base_asset", "market")


def intercept_broker_calls(interceptor: Interceptor) -> None:
    """Pass every call of a script for market data to `interceptor`, until the process ends.

    A class is patched when its first instance is constructed. The methods of the class are patched, not those of the
    instance, because Lumibot checks which class a source has a method from.
    """
    for kind in (Broker, DataSource):
        kind.__init__ = _intercepting_init(kind.__init__, interceptor)


def market_data_methods(kind: type) -> list[str]:
    """Return the names of a class's methods that return market data: their first parameter is an asset or several."""
    named = [name for name in dir(kind) if name.startswith(("get_", "query_"))]
    return [name for name in named if any(_takes_assets(vars(each).get(name)) for each in kind.__mro__)]


def _takes_assets(method: Any) -> bool:
    return isfunction(method) and [*signature(method).parameters, "", ""][1] in _SUBJECTS


def _intercepting_init(init: Any, interceptor: Interceptor) -> Any:
    patched: set[type] = set()

    @wraps(init)
    def patching_init(owner: Any, *args: Any, **kwargs: Any) -> None:
        init(owner, *args, **kwargs)
        if type(owner) not in patched:
            patched.add(type(owner))
            for name in market_data_methods(type(owner)):
                _intercept(type(owner), name, interceptor)

    return patching_init


def _intercept(kind: type, name: str, interceptor: Interceptor) -> None:
    home = next(each for each in kind.__mro__ if name in vars(each))
    method = vars(home)[name]
    if not isfunction(method) or hasattr(method, "_is_intercepted"):
        return

    @wraps(method)
    def intercepted(owner: Any, *args: Any, **kwargs: Any) -> Any:
        is_outermost = getattr(type(owner), name) is intercepted  # otherwise an override calls its base class
        if not is_outermost or _is_internal(sys._getframe(1)):
            return method(owner, *args, **kwargs)
        return interceptor(owner, name, method.__get__(owner), args, kwargs)

    intercepted._is_intercepted = True  # type: ignore[attr-defined]
    setattr(home, name, intercepted)


def _is_internal(caller: FrameType) -> bool:
    """Return whether the caller is Lumibot or this package, and not the script."""
    module = str(caller.f_globals.get("__name__", ""))
    return module.startswith(("lumibot.", "lumibot_duckdb.")) and ".example_strategies." not in module
