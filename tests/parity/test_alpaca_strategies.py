"""Whole strategies on Lumibot's Alpaca source and on ours: same trades, same portfolio values, same frames seen.

Lumibot's example strategies run as they are shipped, through `Strategy.run_backtest` with a config of Alpaca's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parity.alpaca_market import MARKETS, served
from parity.alpaca_sides import CONFIG, IN_THE_ENVIRONMENT, Side, both_sides
from parity.backtests import BacktestResult, assert_same_result, run
from parity.examples import EXAMPLES, LEFT_OUT, Example
from parity.polygon_market import examples
from wire.alpaca_server import AlpacaServer

MINUTES: dict[str, Any] = {"config": CONFIG, "timestep": "minute", "full_window": True, "history_before_start": True}
DAYS: dict[str, Any] = {"config": CONFIG, "timestep": "day", "full_window": True, "warm_up_trading_days": 15}
LEFT_OUT_HERE = {**LEFT_OUT, "forex_hold_to_expiry": "trades currencies, which Alpaca does not have"}


@pytest.fixture(scope="module")
def example_server() -> Iterator[AlpacaServer]:
    with served(examples()) as server:
        yield server


@pytest.fixture(scope="module")
def autumn_server() -> Iterator[AlpacaServer]:
    with served(MARKETS["autumn"]()) as server:
        yield server


def backtest(
    side: Side, server: AlpacaServer, strategy: Any, start: str, end: str, parameters: Any = None, **settings: Any
) -> BacktestResult:
    """Run a strategy on one side, in a folder of its own."""
    with side.entered(server, **IN_THE_ENVIRONMENT):
        return run(strategy, side.source_class, side.folder / "run", start, end, dict(parameters or {}), **settings)


def compare(tmp_path: Path, *arguments: Any, fills: int = 1, **settings: Any) -> tuple[BacktestResult, BacktestResult]:
    theirs, ours = (backtest(side, *arguments, **settings) for side in both_sides(tmp_path))
    filled = 0 if theirs.trades.empty else int((theirs.trades["status"] == "fill").sum())
    assert filled >= fills, "a comparison of backtests that trade nothing says little"
    assert_same_result(theirs, ours)
    return theirs, ours


def settings_of(example: Example) -> dict[str, Any]:
    around_the_clock = any(word in example.module + (example.config or "") for word in ("crypto", "ccxt", "lifecycle"))
    return {**MINUTES, **({"market": "24/7"} if around_the_clock else {}), **example.keywords}


# -- Lumibot's example strategies -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if example.module not in LEFT_OUT_HERE])
def test_an_example_strategy_trades_the_same(name: str, tmp_path: Path, example_server: AlpacaServer) -> None:
    example = EXAMPLES[name]
    compare(
        tmp_path,
        example_server,
        example.load(),
        example.start,
        example.end,
        example.all_parameters(),
        fills=example.fills,
        **settings_of(example),
    )
