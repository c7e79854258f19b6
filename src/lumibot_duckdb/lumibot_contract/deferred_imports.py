"""Libraries that Lumibot imports at its start and that a backtest on the store does not use: imported on first use.

They take a third of the start-up, and 55 MB. Lumibot's Yahoo helper imports `yfinance` to download bars, and through
a list of proxies `aiohttp`. Its bars import `polars`, and ask whether each frame is one of polars: as long as polars is
not imported, no frame is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from types import ModuleType
from typing import Any

LIBRARIES = ("aiohttp", "polars", "yfinance")
TESTED_FOR = {("lumibot.entities.bars", "polars"): ("DataFrame",)}
"""By module of Lumibot and library: the classes whose instances the module tests for when nobody uses the library."""

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
            _end_tests(module, module)

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
        user = sys._getframe(1).f_globals
        module = vars(self)["__name__"]
        if sys.modules.get(module) is self and name in TESTED_FOR.get((user.get("__name__", ""), module), ()):
            return getattr(_for_tests(self, user), name)
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
        library = import_module(name)
    except BaseException:
        sys.modules.setdefault(name, deferred)
        raise
    _end_tests(deferred, library)
    return library


# -- tests for instances of a class whose library is not imported --------------------------------------------------


class _ForTests(ModuleType):
    """Replaces a deferred library in a module that tests for instances of some of its classes, until it is imported."""

    def __init__(self, deferred: _Deferred, classes: Iterable[str]) -> None:
        super().__init__(vars(deferred)["__name__"])
        vars(self).update({name: _class_without_instances(deferred, name) for name in classes}, _deferred=deferred)

    def __getattr__(self, name: str) -> Any:
        return getattr(_library(vars(self)["_deferred"]), name)


def _for_tests(deferred: _Deferred, user: dict[str, Any]) -> _ForTests:
    """Replace a deferred library among the globals of a module; return what replaces it."""
    module = vars(deferred)["__name__"]
    made = _ForTests(deferred, TESTED_FOR[user["__name__"], module])
    vars(deferred).setdefault("_users", []).append((user, made))
    _replace(user, deferred, made)
    return made


def _end_tests(deferred: _Deferred, library: ModuleType) -> None:
    """Give the modules that test for instances a module with the real classes."""
    for user, made in vars(deferred).pop("_users", ()):
        _replace(user, made, library)


def _replace(user: dict[str, Any], before: ModuleType, after: ModuleType) -> None:
    for name in [name for name, value in user.items() if value is before]:
        user[name] = after


def _class_without_instances(deferred: _Deferred, name: str) -> type:
    """Return a class that has no instances. To make one, or to read an attribute, is to use the library."""

    def library_class() -> Any:
        return getattr(_library(deferred), name)

    class OfDeferred(type):
        def __getattr__(cls, attribute: str) -> Any:
            return getattr(library_class(), attribute)

    def make(_: type, *arguments: Any, **options: Any) -> Any:
        return library_class()(*arguments, **options)

    return OfDeferred(name, (), {"__module__": vars(deferred)["__name__"], "__new__": make})
