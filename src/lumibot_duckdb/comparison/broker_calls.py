"""Finds what a script asks brokers and data sources about the market by itself; Lumibot does so, too."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from inspect import isfunction, signature
from types import FrameType
from typing import Any

from lumibot.brokers.broker import Broker
from lumibot.data_sources import DataSource

Ask = Callable[[Any, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Asks an owner by the name of a method, the method itself (bound) and its arguments."""
_SUBJECTS = ("asset", "assets", "base_asset", "market")


def follow_direct_questions(ask: Ask) -> None:
    """Have every question that a script puts to a broker or a data source asked by `ask`, to the end of the process.

    Classes are followed from when the first of their kind is made, which Lumibot's own constructors see. Methods are
    changed in classes, since Lumibot looks at whether a source has them of its class.
    """
    for kind in (Broker, DataSource):
        kind.__init__ = _following(kind.__init__, ask)


def questions_of(kind: type) -> list[str]:
    """Return the names of a class's methods that answer with market data: on an asset, or several, before all else."""
    named = [name for name in dir(kind) if name.startswith(("get_", "query_"))]
    return [name for name in named if any(_is_about_assets(vars(each).get(name)) for each in kind.__mro__)]


def _is_about_assets(method: Any) -> bool:
    return isfunction(method) and [*signature(method).parameters, "", ""][1] in _SUBJECTS


def _following(init: Any, ask: Ask) -> Any:
    followed: set[type] = set()

    @wraps(init)
    def made(owner: Any, *args: Any, **kwargs: Any) -> None:
        init(owner, *args, **kwargs)
        if type(owner) not in followed:
            followed.add(type(owner))
            for name in questions_of(type(owner)):
                _follow(type(owner), name, ask)

    return made


def _follow(kind: type, name: str, ask: Ask) -> None:
    home = next(each for each in kind.__mro__ if name in vars(each))
    method = vars(home)[name]
    if not isfunction(method) or hasattr(method, "_asks_directly"):
        return

    @wraps(method)
    def asked(owner: Any, *args: Any, **kwargs: Any) -> Any:
        is_own = getattr(type(owner), name) is asked  # else it is what a method of a derived class goes on with
        if not is_own or _is_lumibots(sys._getframe(1)):
            return method(owner, *args, **kwargs)
        return ask(owner, name, method.__get__(owner), args, kwargs)

    asked._asks_directly = True  # type: ignore[attr-defined]
    setattr(home, name, asked)


def _is_lumibots(caller: FrameType) -> bool:
    """Tell whether Lumibot or this package is at work for a strategy, rather than the script."""
    module = str(caller.f_globals.get("__name__", ""))
    return module.startswith(("lumibot.", "lumibot_duckdb.")) and ".example_strategies." not in module
