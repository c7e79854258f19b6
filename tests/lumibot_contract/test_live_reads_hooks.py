"""Callers tell backtests from live trading."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from lumibot.backtesting import YahooDataBacktesting
from lumibot.data_sources import YahooData

from lumibot_duckdb.lumibot_contract.live_reads_hooks import is_called_by_backtest

_EXECUTOR = "lumibot.strategies.strategy_executor"


def called_from(module: str, self: Any) -> bool:
    """Return what is found if a method in a module of Lumibot calls."""
    names: dict[str, Any] = {"__name__": module, "ask": is_called_by_backtest}
    exec("def method(self):\n    return ask()", names)
    found: bool = names["method"](self)
    return found


def executor(is_backtesting: bool) -> Any:
    return SimpleNamespace(broker=SimpleNamespace(IS_BACKTESTING_BROKER=is_backtesting))


@pytest.mark.parametrize(
    ("module", "self", "expected"),
    [
        ("lumibot.backtesting.alpaca_backtesting", None, True),
        (_EXECUTOR, executor(True), True),
        (_EXECUTOR, executor(False), False),
        (_EXECUTOR, None, False),
        ("lumibot.data_sources.yahoo_data", object.__new__(YahooDataBacktesting), True),
        ("lumibot.data_sources.yahoo_data", object.__new__(YahooData), False),
        ("lumibot.data_sources.alpaca_data", None, False),
        ("lumibot_backtesting", None, False),
    ],
)
def test_backtests_are_found_on_the_call_stack(module: str, self: Any, expected: bool) -> None:
    assert called_from(module, self) == expected
