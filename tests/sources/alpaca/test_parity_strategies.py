"""Whole strategies on Lumibot's Alpaca source and on ours: same trades, same portfolio values, same frames seen.

Lumibot's example strategies run unmodified, through `Strategy.run_backtest` with a config of Alpaca's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.backtesting import AlpacaBacktesting as LumibotAlpacaBacktesting
from lumibot.entities import Asset

from parity.backtests import BacktestResult, assert_same_result, run
from parity.example_runs import DAYS, MINUTES, NOT_ON_ALPACA, ON_ALPACA, alpaca_served
from parity.examples import CONFIGURATIONS, EXAMPLES, HOME, some_of
from parity.strategies import Brackets, ChainBuyer, Crossing, LimitsAndTrails, ManyHorizons
from sources.alpaca.market import MARKETS, fill, served
from sources.alpaca.server import AlpacaServer
from sources.alpaca.sides import CONFIG, IN_THE_ENVIRONMENT, Side, both_sides
from sources.polygon.market import examples


@pytest.fixture(scope="module")
def example_server() -> Iterator[AlpacaServer]:
    with alpaca_served() as server:
        yield server


@pytest.fixture(scope="module")
def autumn_server() -> Iterator[AlpacaServer]:
    with served(MARKETS["autumn"]()) as server:
        yield server


def backtest(
    side: Side, server: AlpacaServer, strategy: Any, start: str, end: str, parameters: Any = None, **settings: Any
) -> BacktestResult:
    """Run a strategy on one side, in a new folder."""
    with side.entered(server, **IN_THE_ENVIRONMENT):
        return run(strategy, side.source_class, side.folder / "run", start, end, dict(parameters or {}), **settings)


def compare(tmp_path: Path, *arguments: Any, fills: int = 1, **settings: Any) -> tuple[BacktestResult, BacktestResult]:
    theirs, ours = (backtest(side, *arguments, **settings) for side in both_sides(tmp_path))
    assert_same_result(theirs, ours, fills=fills)
    return theirs, ours


# -- Lumibot's example strategies -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", some_of(ON_ALPACA, "bracket", "options_hold_to_expiry"))
def test_an_example_strategy_trades_the_same(name: str, tmp_path: Path, example_server: AlpacaServer) -> None:
    example = ON_ALPACA[name]
    compare(
        tmp_path,
        example_server,
        example.load(),
        example.start,
        example.end,
        example.all_parameters(),
        fills=example.fills,
        **example.keywords,
    )


def test_every_example_is_compared_or_left_out_for_a_reason() -> None:
    shipped = {file.name.removesuffix(".py") for file in files(HOME).iterdir() if file.name.endswith(".py")}
    compared = {example.module for example in EXAMPLES.values()} | set(CONFIGURATIONS) | {"__init__"}
    left_out = {module for module in shipped if any(fnmatch(module, pattern) for pattern in NOT_ON_ALPACA)}
    assert shipped == compared | left_out


def test_the_comparison_notices_one_other_bar(tmp_path: Path) -> None:
    """Two backtests on Lumibot's class are the same, and no longer when a price is a cent higher."""
    market, example = examples(), EXAMPLES["buy_and_hold"]

    def result(name: str) -> BacktestResult:
        side = Side(LumibotAlpacaBacktesting, tmp_path / name)
        return backtest(side, server, example.load(), example.start, example.end, example.all_parameters(), **MINUTES)

    with AlpacaServer() as server:
        fill(server, market)
        expected = result("first")
        assert_same_result(expected, result("second"))
        frame = market.minutes("QQQ").copy()
        opening = frame.loc["2023-03-07"].between_time("09:25", "09:35").index
        frame.loc[opening, ["open", "high", "low", "close"]] += 0.01
        server.serve("stock", "QQQ", frame)
        with pytest.raises(AssertionError):
            assert_same_result(expected, result("third"))


@pytest.mark.parametrize("settings", [MINUTES, DAYS], ids=["minutes", "days"])
def test_benchmark_and_analysis_are_the_same(
    settings: dict[str, Any], tmp_path: Path, example_server: AlpacaServer
) -> None:
    """Lumibot takes the benchmark from Alpaca when the source is its Alpaca class, or is equal to it."""
    parameters = {
        "assets": [Asset("QQQ")],
        "sleeptime": "1D" if settings is DAYS else "30M",
        "step": "day",
        "length": 6,
    }
    theirs, ours = compare(
        tmp_path,
        example_server,
        Crossing,
        "2023-03-03",
        "2023-03-10",
        parameters,
        fills=0,
        **{**settings, "benchmark_asset": Asset("SPY"), "risk_free_rate": 0.01},
    )
    benchmark = theirs.strategy._benchmark_returns_df
    assert len(benchmark) > 3
    pd.testing.assert_frame_equal(benchmark, ours.strategy._benchmark_returns_df, check_exact=True)
    assert repr(theirs.strategy._analysis) == repr(ours.strategy._analysis)


# -- our own strategies, on more of what Alpaca has --------------------------------------------------------

OVER_THE_CHANGE_OF_CLOCKS = ("2023-11-02", "2023-11-08")
HORIZONS = [(60, "minute"), (60, "5min"), (10, "hour"), (3, "day"), (20, "7min")]


@pytest.mark.parametrize("strategy", [Brackets, LimitsAndTrails])
def test_minutes_of_stocks(strategy: Any, tmp_path: Path, autumn_server: AlpacaServer) -> None:
    parameters = {"assets": [Asset("SPY"), Asset("AUCT")], "sleeptime": "10M"}
    compare(tmp_path, autumn_server, strategy, *OVER_THE_CHANGE_OF_CLOCKS, parameters, **MINUTES)


@pytest.mark.long
def test_stocks_that_seldom_trade_begin_to_trade_and_split(tmp_path: Path, autumn_server: AlpacaServer) -> None:
    """With what stands in the environment, which means minutes, and bars of before the start."""
    parameters = {"assets": [Asset("THIN"), Asset("IPOX"), Asset("SPLT")], "sleeptime": "30M", "step": "15min"}
    compare(tmp_path, autumn_server, Crossing, "2023-11-06", "2023-11-11", {**parameters, "length": 12}, fills=4)


def test_minutes_hours_and_days_at_once(tmp_path: Path, autumn_server: AlpacaServer) -> None:
    parameters = {"assets": [Asset("SPY")], "sleeptime": "2H", "requests": HORIZONS}
    compare(tmp_path, autumn_server, ManyHorizons, "2023-11-21", "2023-11-25", parameters, **MINUTES)


def test_days(tmp_path: Path, autumn_server: AlpacaServer) -> None:
    """With an explicit config and nothing else, which ends two trading days early."""
    parameters = {"assets": [Asset("AUCT"), Asset("SPY")], "sleeptime": "1D", "step": "day", "length": 9}
    settings = {"config": CONFIG, "warm_up_trading_days": 10, "auto_adjust": False}
    compare(tmp_path, autumn_server, Crossing, "2023-11-01", "2023-11-28", parameters, fills=2, **settings)


def test_options_out_of_the_chain_held_to_their_expiration(tmp_path: Path, autumn_server: AlpacaServer) -> None:
    parameters = {"assets": [Asset("SPY")], "sleeptime": "2H"}
    compare(tmp_path, autumn_server, ChainBuyer, "2023-11-06", "2023-11-14", parameters, fills=0, **MINUTES)


@pytest.mark.parametrize("sleeptime", ["4M", pytest.param("1M", marks=pytest.mark.long)])
def test_minutes_of_options(sleeptime: str, tmp_path: Path, autumn_server: AlpacaServer) -> None:
    options = [
        Asset("SPY", "option", expiration=dt.date(2023, 11, 30), strike=strike, right=right)
        for strike, right in ((440.0, "CALL"), (435.0, "PUT"))
    ]
    parameters = {"assets": options, "sleeptime": sleeptime}
    compare(tmp_path, autumn_server, LimitsAndTrails, "2023-11-06", "2023-11-08", parameters, **MINUTES)


def test_crypto_around_the_clock(tmp_path: Path, autumn_server: AlpacaServer) -> None:
    parameters = {"assets": [Asset("BTC", "crypto")], "sleeptime": "30M", "step": "15min", "length": 12}
    settings = {**MINUTES, "market": "24/7"}
    parameters["market"] = "24/7"
    compare(tmp_path, autumn_server, Crossing, "2023-11-04", "2023-11-07", parameters, fills=4, **settings)
