"""Intercepts the backtests of an unmodified script when it calls `Strategy.run_backtest`, which `backtest` uses too.

Like `activate()`, this does not import Lumibot, so a script can still set what Lumibot reads when it is imported.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from lumibot_duckdb.lumibot_contract import strategy_access

_STRATEGY_MODULE = "lumibot.strategies.strategy"


class LiveTradingError(RuntimeError):
    """The script of a sweep tried to trade live."""

    def __init__(self) -> None:
        super().__init__("the script starts live trading, which no sweep does; change it to run a backtest")


@dataclass(frozen=True)
class BacktestCall:
    """A call of `Strategy.run_backtest`: the strategy's class, and all arguments by name, defaults included."""

    strategy: type[Any]
    arguments: Mapping[str, Any]
    method: Callable[..., Any]

    def run(self) -> Any:
        """Run the backtest, and return what `run_backtest` returns."""
        return self.method(self.strategy, **self.arguments)

    def with_arguments(self, **changes: Any) -> BacktestCall:
        """Return the call with some other arguments."""
        return replace(self, arguments={**self.arguments, **changes})

    @property
    def names(self) -> set[str]:
        """The names of the backtest: that of the class, and the one that it was given."""
        return {self.strategy.__name__, *filter(None, [self.arguments.get("name")])}

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that the strategy would have, by Lumibot's order of precedence.

        Lumibot passes those that `initialize` has arguments for; the defaults of these come first here.
        """
        own = getattr(self.strategy, "parameters", None)
        arguments = inspect.signature(self.strategy.initialize).parameters.values()
        return {
            **{each.name: each.default for each in arguments if each.default is not each.empty},
            **(own if isinstance(own, dict) else {}),
            **self.further_arguments,
            **(self.arguments.get("parameters") or {}),
            **strategy_access.parameters_of_environment(),
        }

    @property
    def further_arguments(self) -> dict[str, Any]:
        """The keyword arguments that `run_backtest` has no parameters for: Lumibot makes parameters of them."""
        known = inspect.signature(self.method).parameters
        return {name: value for name, value in self.arguments.items() if name not in known}


def intercept_backtests(run: Callable[[BacktestCall], Any]) -> None:
    """Call `run` in place of each backtest from now on. Live trading raises `LiveTradingError`."""
    _when_imported(_STRATEGY_MODULE, lambda module: _wrap_backtests(module.Strategy, run))
    _when_imported(strategy_access.TRADER_MODULE, lambda module: _refuse_live_trading(module.Trader))


def _wrap_backtests(strategy: Any, run: Callable[[BacktestCall], Any]) -> None:
    inherited = strategy.run_backtest.__func__
    signature = inspect.signature(inherited)
    more = next(name for name, each in signature.parameters.items() if each.kind is each.VAR_KEYWORD)

    @wraps(inherited)
    def run_backtest(cls: Any, *args: Any, **kwargs: Any) -> Any:
        method = super(strategy, cls).run_backtest.__func__  # which another part may have wrapped by now
        try:
            bound = signature.bind(cls, *args, **kwargs)
        except TypeError:
            return method(cls, *args, **kwargs)  # which raises the error of the call
        bound.apply_defaults()
        _, *names = bound.arguments
        given = {name: bound.arguments[name] for name in names if name != more}
        return run(BacktestCall(cls, {**given, **bound.arguments[more]}, method))

    strategy.run_backtest = classmethod(run_backtest)


def _refuse_live_trading(trader_class: Any) -> None:
    run_all = trader_class.run_all

    @wraps(run_all)
    def only_backtests(trader: Any, *args: Any, **kwargs: Any) -> Any:
        if strategy_access.strategies_of(trader) and not trader.is_backtest_broker:
            raise LiveTradingError
        return run_all(trader, *args, **kwargs)

    trader_class.run_all = only_backtests


# -- modules that are imported later ------------------------------------------------------------------------------


def _when_imported(name: str, change: Callable[[ModuleType], None]) -> None:
    """Change a module: now if it is loaded, else as soon as it is."""
    if name in sys.modules:
        change(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Finder(name, change))


class _Finder(MetaPathFinder):
    """Finds a module as the other finders do, and changes it when it is loaded."""

    def __init__(self, name: str, change: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._change = change

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, others), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _ChangingLoader(spec.loader, self._change)
        return spec


class _ChangingLoader(Loader):
    def __init__(self, loader: Any, change: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._change(module)
