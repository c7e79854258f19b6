"""Lumibot's unmodified example strategies that run on Polygon data, and those that are left out.

A module of Lumibot's is imported when its strategy is run, not before: some want what only their author has.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from lumibot.entities import Asset, Order

HOME = "lumibot.example_strategies"


@dataclass(frozen=True)
class Example:
    """A strategy of `lumibot.example_strategies` and a span in which it trades.

    `fills` is the least number of fills that make a comparison worth something. `config` names a module of the same
    folder that has the strategy's parameters, `needs` one that the strategy counts on but does not import.
    """

    module: str
    strategy: str
    start: str
    end: str
    fills: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)
    config: str | None = None
    needs: str | None = None
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Any:
        """Return the strategy's class."""
        if self.needs is not None:
            import_module(self.needs)
        with _authors_credentials():
            return getattr(import_module(f"{HOME}.{self.module}"), self.strategy)

    def all_parameters(self) -> dict[str, Any]:
        configured = import_module(f"{HOME}.{self.config}").parameters if self.config else {}
        return {**configured, **self.parameters}


@contextmanager
def _authors_credentials() -> Iterator[None]:
    """Let `from credentials import AlpacaConfig` succeed, which one example needs."""
    module = ModuleType("credentials")
    module.AlpacaConfig = {}  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {"credentials": module}):
        yield


BITCOIN = (Asset("BTC", "crypto"), Asset("USD", "forex"))

EXAMPLES: dict[str, Example] = {
    "buy_and_hold": Example("stock_buy_and_hold", "BuyAndHold", "2023-03-03", "2023-03-10"),
    "bracket": Example("stock_bracket", "StockBracket", "2023-03-03", "2023-03-10", fills=2),
    "oco": Example("stock_oco", "StockOco", "2023-03-03", "2023-03-10", fills=2),
    "limit_and_trailing": Example(
        "stock_limit_and_trailing_stops", "LimitAndTrailingStop", "2023-03-03", "2023-03-10", fills=2
    ),
    "momentum": Example("stock_momentum", "Momentum", "2023-03-03", "2023-03-15", fills=3),
    "diversified_leverage": Example(
        "stock_diversified_leverage", "DiversifiedLeverage", "2023-03-03", "2023-03-15", fills=8
    ),
    "classic_60_40": Example(
        "drift_rebalancer", "DriftRebalancer", "2023-03-03", "2023-03-10", fills=2, config="classic_60_40_config"
    ),
    "crypto_50_50": Example(
        "drift_rebalancer", "DriftRebalancer", "2023-03-11", "2023-03-13", fills=2, config="crypto_50_50_config"
    ),
    "options_hold_to_expiry": Example(
        "options_hold_to_expiry",
        "OptionsHoldToExpiry",
        "2023-03-07",
        "2023-03-14",
        parameters={"expiry": datetime(2023, 3, 10)},
    ),
    "crypto_important_functions": Example(
        "crypto_important_functions",
        "ImportantFunctions",
        "2023-03-12 01:30",
        "2023-03-12 03:15",
        fills=3,
        needs="pandas_ta_classic",
    ),
    "drift_rebalancer": Example(
        "drift_rebalancer",
        "DriftRebalancer",
        "2023-03-03",
        "2023-03-15",
        fills=5,
        config="classic_60_40_config",
        parameters={"order_type": Order.OrderType.MARKET, "drift_threshold": "0.01", "sleeptime": "1D"},
    ),
    "forex_hold_to_expiry": Example("forex_hold_to_expiry", "FuturesHoldToExpiry", "2023-03-03", "2023-03-14"),
    "schedule_function": Example("schedule_function", "ScheduledFunctionStrategy", "2023-03-03", "2023-03-14", fills=0),
    "lifecycle_logger": Example("lifecycle_logger", "LifecycleLogger", "2023-03-11 23:00", "2023-03-12 04:00", fills=0),
    "simple_start": Example(
        "simple_start_single_file", "MyStrategy", "2023-03-03", "2023-03-08", fills=5, keywords={"symbol": "SPY"}
    ),
    "first_backtest": Example("first_backtest", "FirstBacktest", "2023-03-06", "2023-03-07"),
    "broker_functions": Example("test_broker_functions", "BrokerTest", "2023-03-03 09:00", "2023-03-03 16:00"),
    "ccxt_example": Example(
        "ccxt_backtesting_example",
        "CcxtBacktestingExampleStrategy",
        "2023-03-08",
        "2023-03-15",
        keywords={"asset": BITCOIN},
    ),
}

# Modules whose strategy is one of the above, with other parameters.
CONFIGURATIONS = ("classic_60_40", "classic_60_40_config", "crypto_50_50", "crypto_50_50_config")

LEFT_OUT: dict[str, str] = {
    "strangle": "says of itself that it cannot be backtested, and asks Yahoo for earnings dates",
    "futures_hold_to_expiry": "trades a future, which Lumibot's Polygon source refuses; the refusal is compared",
    "bitunix_futures_example": "trades another broker's crypto futures, which Polygon does not have",
    "polymarket_prediction_contract": "trades another broker's prediction contracts, which Polygon does not have",
    "agent_*": "asks a language model what to do",
    "ai_*": "asks a language model what to do",
}


def some_of(examples: Mapping[str, Any], *chosen: str) -> list[Any]:
    """Return the names of all examples for a test; those that are not chosen run in `make soak` only.

    Each of them runs in `make test` on one of the sources at least.
    """
    assert set(chosen) <= set(examples)
    return [name if name in chosen else pytest.param(name, marks=pytest.mark.long) for name in examples]
