"""`activate()`: replaces Lumibot's data sources by ours, for unmodified scripts.

Lumibot's own modules still see Lumibot's own classes, and so do ours, so classes that Lumibot derives from its sources
(the router, other sources) do not change. All other code gets our classes, in four ways:

- imports from Lumibot's modules (`from lumibot.backtesting import YahooDataBacktesting`) return our class;
- so do look-ups in `lumibot.strategies._strategy`, where `BACKTESTING_DATA_SOURCE` and the benchmark find classes;
- a backtest that is started with a class of Lumibot's uses ours;
- globals of modules that had imported a class before are replaced.

This does not import Lumibot, so a script can still set the environment variables that Lumibot reads when it is
imported: modules that are imported later are changed then.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from importlib import import_module
from types import FrameType, ModuleType
from typing import Any

from lumibot_duckdb.activation import unserved
from lumibot_duckdb.activation.on_import import on_import
from lumibot_duckdb.lumibot_contract.callers import is_lumibot_or_ours, is_of
from lumibot_duckdb.lumibot_contract.deferred_imports import defer_imports
from lumibot_duckdb.lumibot_contract.enforcement import keeps_contract
from lumibot_duckdb.lumibot_contract.strategy_access import STRATEGY_MODULE, TRADER_MODULE, lazy_class, strategy_base
from lumibot_duckdb.sources.registry import replaced_by_activate
from lumibot_duckdb.sources.shared import lifecycle
from lumibot_duckdb.sources.shared.telemetry import log_backtest

LUMIBOT_MODULES = replaced_by_activate()
"""The classes that ours replace, by name, with the module of Lumibot that defines each."""

_REPLACED = frozenset((module, name) for name, module in LUMIBOT_MODULES.items())
_OFFERING = frozenset(("lumibot.backtesting", "lumibot.data_sources", *LUMIBOT_MODULES.values()))
_OURS = __name__.split(".")[0]

_guard = threading.RLock()
_undo: list[Callable[[], None]] = []


def activate() -> None:
    """Replace Lumibot's data sources by ours, as the module describes. Idempotent, and undone by `deactivate`.

    If the installed Lumibot is not supported, nothing is replaced, and a warning says why.
    """
    with _guard:
        if _undo or not keeps_contract("activation", otherwise="Lumibot's sources are not replaced"):
            return
        try:
            _change_everything()
        except BaseException:
            deactivate()
            raise


def _change_everything() -> None:
    _undo.append(defer_imports())
    lifecycle.replace_source_class(_source_of_backtest)
    _undo.append(lambda: lifecycle.replace_source_class(None))
    lifecycle.report_starts(unserved.report_sources)
    _undo.append(lambda: lifecycle.report_starts(None))
    _undo.append(on_import((*_OFFERING, STRATEGY_MODULE, TRADER_MODULE), _change))
    for module in list(sys.modules.values()):
        if issubclass(type(module), ModuleType):  # `sys.modules` can hold anything, such as a lazy proxy
            _change_globals(module)


def deactivate() -> None:
    """Restore Lumibot's classes. Sources that were constructed in the meantime stay on the store."""
    with _guard:
        while _undo:
            _undo.pop()()


def in_place_of(source: Any) -> Any:
    """Return our class for one of Lumibot's, and anything else unchanged."""
    return getattr(import_module(f"{_OURS}.backtesting"), source.__name__) if _is_replaceable(source) else source


def _source_of_backtest(given: Any) -> Any:
    """Return what replaces the class that a backtest is given."""
    replaced = in_place_of(given)
    unserved.report_choice(replaced)
    return replaced


def _is_replaceable(value: Any) -> bool:
    """Return whether a value is a class that we replace, or Lumibot's lazy placeholder for one.

    Only classes are inspected, because other objects may be proxies that do work when an attribute is accessed.
    """
    return issubclass(type(value), type) and (value.__module__, value.__name__) in _REPLACED


# -- Lumibot's modules ----------------------------------------------------------------------------------------


class _Offering(ModuleType):
    """A Lumibot module that returns our classes to all code except Lumibot's and ours.

    The module's own code reads its globals directly, without this class.
    """

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name in LUMIBOT_MODULES and not _looked_up_from_within(sys._getframe(1)):
            return in_place_of(value)
        return value


def _looked_up_from_within(frame: FrameType | None) -> bool:
    """Return whether Lumibot or this package looks a name up; frames of the import system are skipped."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.split(".")[0] != "importlib":
            return is_lumibot_or_ours(frame)
        frame = frame.f_back
    return False


def _change(module: ModuleType) -> None:
    """Change a loaded Lumibot module until `deactivate`."""
    if module.__name__ == TRADER_MODULE:
        lifecycle.track_traders(log_backtest)
    elif module.__name__ == STRATEGY_MODULE:
        lifecycle.track_strategies(strategy_base(module))
        for name in LUMIBOT_MODULES:
            if _is_replaceable(vars(module).get(name)):
                _set(module, name, _lazy_placeholder(name))
    elif type(module) is ModuleType:
        module.__class__ = _Offering
        _undo.append(lambda: setattr(module, "__class__", ModuleType))


def _lazy_placeholder(name: str) -> Any:
    """Return a lazy placeholder, like Lumibot's own, that imports our class when it is used."""
    return lazy_class(f"{_OURS}.backtesting", name)


def _set(module: ModuleType, name: str, value: Any) -> None:
    """Set a global until `deactivate`; if other code sets it in the meantime, that value stays."""
    names = _names_of(module)
    before = names[name]
    names[name] = value

    def restore() -> None:
        if names.get(name) is value:
            names[name] = before

    _undo.append(restore)


# -- modules that imported a name before --------------------------------------------------------------------------


def _change_globals(module: ModuleType) -> None:
    """Replace Lumibot's classes by ours in a module that is neither Lumibot's nor ours."""
    names = _names_of(module)
    name = str(names.get("__name__"))
    if is_of(name, "lumibot") or is_of(name, _OURS):
        return
    for held, value in list(names.items()):
        if _is_replaceable(value):
            _set(module, held, in_place_of(value))


def _names_of(module: ModuleType) -> dict[str, Any]:
    """Return a module's names, without an attribute access that would load a lazy module."""
    names: dict[str, Any] = object.__getattribute__(module, "__dict__")
    return names
