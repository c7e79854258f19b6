"""Whole strategies on Lumibot's CCXT source and on ours: same trades, same portfolio values, same frames seen.

Lumibot's example strategies run unmodified, against USDT, which is what coins trade against on Binance.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.entities import Asset

from parity.backtests import BacktestResult, assert_same_result, run
from parity.example_runs import ON_BINANCE, ON_DAYS_OF_BINANCE, days_of_binance
from parity.strategies import Brackets, Crossing, Indicating, LimitsAndTrails
from sources.ccxt.binance_server import KLINES, BinanceServer
from sources.ccxt.market import DOLLAR, spring
from sources.ccxt.sides import Side, both_sides

BTC, ETH, GAPS = (Asset(coin, "crypto") for coin in ("BTC", "ETH", "GAPS"))
HOURS = ("2023-03-11 20:00", "2023-03-12 11:00")


@pytest.fixture(scope="module")
def server() -> Iterator[BinanceServer]:
    with spring().server() as server:
        yield server


def backtest(
    side: Side, server: BinanceServer, strategy: Any, start: str, end: str, parameters: Any = None, **settings: Any
) -> BacktestResult:
    """Run a strategy on one side, in a new folder."""
    with side.entered(server):
        settings = {"exchange_id": "binance", "quote_asset": DOLLAR, **settings}
        return run(strategy, side.source_class, side.folder / "run", start, end, dict(parameters or {}), **settings)


def compare(tmp_path: Path, *arguments: Any, fills: int = 1, **settings: Any) -> tuple[BacktestResult, BacktestResult]:
    theirs, ours = (backtest(side, *arguments, **settings) for side in both_sides(tmp_path))
    assert_same_result(theirs, ours, fills=fills)
    return theirs, ours


def around_the_clock(assets: list[Asset], **parameters: Any) -> dict[str, Any]:
    return {"assets": assets, "market": "24/7", **parameters}


# -- Lumibot's example strategies -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ON_BINANCE)
def test_an_example_strategy_trades_the_same(name: str, tmp_path: Path, server: BinanceServer) -> None:
    example = ON_BINANCE[name]
    compare(
        tmp_path,
        server,
        example.load(),
        example.start,
        example.end,
        example.all_parameters(),
        fills=example.fills,
        **example.keywords,
    )


def test_lumibots_own_ccxt_example_trades_the_same(tmp_path: Path) -> None:
    """Unmodified, with its benchmark from the exchange, and prices that move enough for it to trade."""
    (example,) = ON_DAYS_OF_BINANCE.values()
    with days_of_binance() as server:
        theirs, ours = compare(
            tmp_path,
            server,
            example.load(),
            example.start,
            example.end,
            example.all_parameters(),
            fills=example.fills,
            **example.keywords,
        )
    pd.testing.assert_frame_equal(
        theirs.strategy._benchmark_returns_df, ours.strategy._benchmark_returns_df, check_exact=True
    )
    assert theirs.strategy._benchmark_returns_df is not None


# -- our own --------------------------------------------------------------------------------------------------


def test_minutes_bought_and_sold_at_the_market(tmp_path: Path, server: BinanceServer) -> None:
    parameters = around_the_clock([BTC, ETH], sleeptime="5M", length=30)
    compare(tmp_path, server, Crossing, *HOURS, parameters, fills=6)


def test_hours_looked_at_over_the_change_of_the_clocks(tmp_path: Path, server: BinanceServer) -> None:
    parameters = around_the_clock([BTC, GAPS], sleeptime="1H", step="hour", length=20)
    compare(tmp_path, server, Crossing, "2023-03-11", "2023-03-14", parameters, fills=4)


def test_days(tmp_path: Path, server: BinanceServer) -> None:
    parameters = around_the_clock([BTC, ETH], sleeptime="1D", step="day", length=9)
    compare(tmp_path, server, Crossing, "2023-03-05", "2023-03-14", parameters)


@pytest.mark.long
def test_indicators_of_lumibot(tmp_path: Path, server: BinanceServer) -> None:
    indicators = [("rsi", {"length": 9}), ("macd", {}), ("sma", {"length": 5}), ("atr", {})]
    parameters = around_the_clock([BTC, GAPS], sleeptime="5H", step="minute", indicators=indicators)
    compare(tmp_path, server, Indicating, "2023-03-11", "2023-03-13", parameters)


@pytest.mark.parametrize("strategy", [Brackets, LimitsAndTrails], ids=["brackets", "limits and trails"])
def test_orders_that_wait(strategy: Any, tmp_path: Path, server: BinanceServer) -> None:
    parameters = around_the_clock([BTC, ETH], sleeptime="2M")
    compare(tmp_path, server, strategy, "2023-03-12 00:00", "2023-03-12 06:00", parameters, fills=1)


def test_a_coin_without_candles_for_hours_fills_where_lumibot_fills_it(tmp_path: Path, server: BinanceServer) -> None:
    parameters = around_the_clock([GAPS], sleeptime="10M", length=30)
    compare(tmp_path, server, Crossing, "2023-03-11 22:00", "2023-03-12 06:00", parameters, fills=2)


def test_a_second_backtest_trades_the_same_and_requests_no_more_than_lumibots(
    tmp_path: Path, server: BinanceServer
) -> None:
    """Both request the days again that lie before the first candle."""
    parameters = around_the_clock([BTC], sleeptime="10M", length=30)
    theirs, ours = both_sides(tmp_path)
    settings = {"benchmark_asset": "BTC/USDT", "analyze_backtest": True}

    def requesting(side: Side) -> tuple[BacktestResult, list[Any]]:
        server.requests.clear()
        result = backtest(side, server, Crossing, *HOURS, parameters, **settings)
        return result, [(each.query["interval"], each.query["startTime"]) for each in server.asked(KLINES)]

    (expected, _), (_, requested_again) = requesting(theirs), requesting(theirs)
    (first, _), (again, requested) = requesting(ours), requesting(ours)
    assert_same_result(expected, first)
    assert_same_result(expected, again)
    assert len(requested) <= len(requested_again)
    assert {interval for interval, _ in requested} == {"1d"}
    returns = [each.strategy._benchmark_returns_df for each in (expected, again)]
    pd.testing.assert_frame_equal(*returns, check_exact=True)
