"""`activate()`: our sources wherever Lumibot's are looked up, for scripts that stay as they are.

Lumibot's own modules go on seeing Lumibot's own classes, and so do ours: what Lumibot builds out of its sources (the
router, its other sources) is not touched. Everybody else is given ours in their place, in four ways:

- whoever takes the name from one of Lumibot's modules (`from lumibot.backtesting import YahooDataBacktesting`);
- `lumibot.strategies._strategy`, where `BACKTESTING_DATA_SOURCE` and the benchmark look classes up;
- a class of Lumibot's that a backtest is started with, wherever it came from;
- globals of modules that took the name before.

Nothing of Lumibot's is imported for it, so that a script may still set what Lumibot reads at its import: modules that
are not there yet are changed when they come.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import FrameType, ModuleType
from typing import Any

from lumibot_duckdb.lumibot_contract.fallback import keeps_contract
from lumibot_duckdb.lumibot_contract.strategy_access import STRATEGY_MODULE, lazy_class, strategy_base
from lumibot_duckdb.sources.shared import lifecycle as running

HOMES = {
    "AlpacaBacktesting": "lumibot.backtesting.alpaca_backtesting",
    "CcxtBacktesting": "lumibot.backtesting.ccxt_backtesting",
    "CcxtBacktestingData": "lumibot.data_sources.ccxt_backtesting_data",
    "PolygonDataBacktesting": "lumibot.backtesting.polygon_backtesting",
    "YahooData": "lumibot.data_sources.yahoo_data",
    "YahooDataBacktesting": "lumibot.backtesting.yahoo_backtesting",
}
"""The classes that ours stand in for, and where Lumibot defines them.

`PandasDataBacktesting` is not among them. What a script gives it is in memory already, so ours could only do the same;
stored bars are named by `using`, which takes our import.
"""

_TAKEN = frozenset((home, name) for name, home in HOMES.items())
_OFFERING = frozenset(("lumibot.backtesting", "lumibot.data_sources", *HOMES.values()))
_OURS = __name__.split(".")[0]

_guard = threading.RLock()
_undo: list[Callable[[], None]] = []


def activate() -> None:
    """Put our sources in the place of Lumibot's; see the module. Idempotent, and undone by `deactivate`.

    If the installed Lumibot lacks what that takes, it stays as it is, and a warning says why.
    """
    with _guard:
        if _undo or not keeps_contract("activation", otherwise="Lumibot's sources stay as they are"):
            return
        try:
            _change_everything()
        except BaseException:
            deactivate()
            raise


def _change_everything() -> None:
    running.take_sources_as(in_place_of)
    _undo.append(lambda: running.take_sources_as(None))
    sys.meta_path.insert(0, _FINDER)
    _undo.append(lambda: sys.meta_path.remove(_FINDER))
    for name in (*_OFFERING, STRATEGY_MODULE):
        if name in sys.modules:
            _change(sys.modules[name])
    for module in list(sys.modules.values()):
        if issubclass(type(module), ModuleType):  # anything may be put there, a proxy that works when asked, too
            _change_globals(module)


def deactivate() -> None:
    """Put Lumibot's classes back where `activate` put ours. Sources that were made meanwhile stay what they are."""
    with _guard:
        while _undo:
            _undo.pop()()


def in_place_of(source: Any) -> Any:
    """Return our class for one of Lumibot's, and anything else as it is."""
    return getattr(import_module(f"{_OURS}.backtesting"), source.__name__) if _is_taken(source) else source


def _is_taken(value: Any) -> bool:
    """Tell whether something is a class that ours stand in for, or Lumibot's own stand-in for one.

    What is no class is not asked for anything, since it may be a proxy that does work then.
    """
    return issubclass(type(value), type) and (value.__module__, value.__name__) in _TAKEN


# -- Lumibot's modules ----------------------------------------------------------------------------------------


class _Offering(ModuleType):
    """A module of Lumibot's that gives our classes to everybody but Lumibot and us.

    What its own code looks up among its globals does not come this way.
    """

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name in HOMES and not _asked_from_within(sys._getframe(1)):
            return in_place_of(value)
        return value


def _asked_from_within(frame: FrameType | None) -> bool:
    """Tell whether Lumibot or we ourselves are asking. The import system asks on behalf of who imports."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.split(".")[0] != "importlib":
            return _is_of(name, "lumibot") or _is_of(name, _OURS)
        frame = frame.f_back
    return False


def _is_of(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _change(module: ModuleType) -> None:
    """Change one of Lumibot's modules, which is loaded, until `deactivate`."""
    if module.__name__ == STRATEGY_MODULE:
        running.follow_strategies(strategy_base(module))
        for name in HOMES:
            if _is_taken(vars(module).get(name)):
                _set(module, name, _ours_later(name))
    elif type(module) is ModuleType:
        module.__class__ = _Offering
        _undo.append(lambda: setattr(module, "__class__", ModuleType))


def _ours_later(name: str) -> Any:
    """Return what Lumibot itself puts there: a stand-in that imports the class when it is needed."""
    return lazy_class(f"{_OURS}.backtesting", name)


def _set(module: ModuleType, name: str, value: Any) -> None:
    """Set a global until `deactivate`; if somebody else sets it meanwhile, theirs stays."""
    names = _names_of(module)
    before = names[name]
    names[name] = value

    def restore() -> None:
        if names.get(name) is value:
            names[name] = before

    _undo.append(restore)


class _Finder(MetaPathFinder):
    """Finds Lumibot's modules where they are, and has them changed when they are loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _OFFERING and fullname != STRATEGY_MODULE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        if _undo:
            _change(module)


_FINDER = _Finder()


# -- modules that took a name before --------------------------------------------------------------------------


def _change_globals(module: ModuleType) -> None:
    """Put our classes where a module that is neither Lumibot's nor ours has Lumibot's."""
    names = _names_of(module)
    name = str(names.get("__name__"))
    if _is_of(name, "lumibot") or _is_of(name, _OURS):
        return
    for held, value in list(names.items()):
        if _is_taken(value):
            _set(module, held, in_place_of(value))


def _names_of(module: ModuleType) -> dict[str, Any]:
    """Return a module's names. To ask the module itself would load it if it is one that loads when it is needed."""
    names: dict[str, Any] = object.__getattribute__(module, "__dict__")
    return names
