"""Libraries that Lumibot imports at its start and that a backtest on the store does not use: imported on first use.

They take a tenth of the start-up, and 27 MB. Lumibot's Yahoo helper imports `yfinance` to download bars, and through
a list of proxies `aiohttp`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from types import ModuleType
from typing import Any

LIBRARIES = ("aiohttp", "yfinance")

_guard = Lock()


def defer_imports() -> Callable[[], None]:
    """Let the libraries that are not imported yet be imported when something of them is used; return what undoes it."""
    placed = [_Deferred(name) for name in LIBRARIES if name not in sys.modules and find_spec(name) is not None]
    for module in placed:
        sys.modules[module.__name__] = module

    def undo() -> None:
        for module in placed:
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]

    return undo


class _Deferred(ModuleType):
    """Stands for a library in the modules that import it: attributes are read and set in the library.

    It has no `__path__`, so that an import of a submodule imports the library first. It has the attributes for which
    programs look through all modules, which are no use of the library.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        spec = find_spec(name)
        vars(self).update(__spec__=spec, __file__=spec and spec.origin, __loader__=spec and spec.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(_library(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_library(self), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_library(self), name)

    def __dir__(self) -> list[str]:
        return dir(_library(self))


def _library(deferred: _Deferred) -> ModuleType:
    """Return the library, which is imported now if it has not been. Later uses try again if that fails."""
    name = vars(deferred)["__name__"]
    with _guard:  # not during the import, which has its own lock
        if sys.modules.get(name) is deferred:
            del sys.modules[name]
    try:
        return import_module(name)
    except BaseException:
        sys.modules.setdefault(name, deferred)
        raise
