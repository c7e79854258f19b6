"""Finds the strategy of a session in its script, without a backtest or a connection to a broker."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from lumibot_duckdb.live.replay.errors import ReplayError
from lumibot_duckdb.lumibot_contract import strategy_access

_MODULE = "replayed_script"
"""The name of the module that the script is run as, so that what it does as a main program is left out."""


class _Reached(BaseException):
    """The script begins a backtest or live trading: what comes after it is not needed."""

    def __init__(self, strategy: type[Any]) -> None:
        self.strategy = strategy


def strategy_of_script(script: Path, name: str, arguments: Sequence[str] = ()) -> type[Any]:
    """Return the class of a script's strategy.

    The script runs as if it was imported. If it trades or backtests nevertheless, it is stopped there.

    Parameters:
        name: The name of the class.

    Raises `ReplayError` if the script does not have it or fails before.
    """
    module = ModuleType(_MODULE)
    module.__file__ = str(script)
    sys.modules[_MODULE] = module
    names = vars(module)
    try:
        with _stopped_at_runs(), _run_from(script, arguments):
            exec(compile(script.read_bytes(), str(script), "exec", dont_inherit=True), names)
    except _Reached as reached:
        names = {**names, reached.strategy.__qualname__: reached.strategy}
    except OSError as error:
        raise ReplayError(f"cannot read the script {script}: {error.strerror}") from None
    except (Exception, SystemExit) as error:
        raise ReplayError(
            f"{script} fails before its strategy {name} is defined: {type(error).__name__}: {error}"
        ) from error
    return _chosen(names, name, script)


def _chosen(names: Mapping[str, Any], name: str, script: Path) -> type[Any]:
    from lumibot.strategies import Strategy

    classes = [each for each in names.values() if isinstance(each, type) and issubclass(each, Strategy)]
    found = next((each for each in classes if each.__qualname__ == name), None)
    if found is None:
        own = sorted({each.__qualname__ for each in classes if each is not Strategy})
        there = f"it has {', '.join(own)}" if own else "it has none"
        raise ReplayError(f"{script} has no strategy {name}, which traded in this session; {there}")
    return found


@contextmanager
def _stopped_at_runs() -> Iterator[None]:
    """Stop the script where it begins a backtest or live trading, and leave its broker unconnected."""
    from lumibot.traders import Trader

    from lumibot_duckdb.comparison.stored_provider.live_brokers import unconnected_brokers
    from lumibot_duckdb.sources.shared.replacing import replaced

    def run_backtest(cls: type[Any], *_: Any, **__: Any) -> None:
        raise _Reached(cls)

    def run_all(trader: Any, *_: Any, **__: Any) -> None:
        raise _Reached(type(strategy_access.strategies_of(trader)[0]))

    with ExitStack() as replacing:
        replacing.enter_context(unconnected_brokers())
        replacing.enter_context(replaced(strategy_access.strategy_base(), "run_backtest", classmethod(run_backtest)))
        replacing.enter_context(replaced(Trader, "run_all", run_all))
        yield


@contextmanager
def _run_from(script: Path, arguments: Sequence[str]) -> Iterator[None]:
    """Let the script find its arguments, and the modules beside it, also later."""
    before = sys.argv
    sys.argv = [str(script), *arguments]
    folder = str(script.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        with environment_of({"IS_BACKTESTING": "true"}):
            yield
    finally:
        sys.argv = before


@contextmanager
def environment_of(settings: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables within a `with` block."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
