"""Whole strategies on Lumibot's Polygon source and on ours: same trades, same portfolio values, same frames seen.

Lumibot's example strategies run unmodified, through `Strategy.run_backtest` with a Polygon key.
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
from lumibot.backtesting import PolygonDataBacktesting as LumibotPolygonDataBacktesting
from lumibot.entities import Asset
from lumibot.strategies import Strategy

from parity.backtests import BacktestResult, assert_same_result, run
from parity.examples import CONFIGURATIONS, EXAMPLES, HOME, LEFT_OUT, Example, some_of
from parity.strategies import Brackets, ChainBuyer, Crossing, LimitsAndTrails, ManyHorizons
from sources.polygon.market import autumn, examples
from sources.polygon.server import KEY, PolygonServer
from sources.polygon.sides import Side, both_sides

HORIZONS = [(60, "minute"), (60, "5min"), (10, "hour"), (3, "day"), (20, "7min")]
NATIVE_HORIZONS = [(5, "day"), (12, "hour"), (30, "minute")]


@pytest.fixture(scope="module")
def example_server() -> Iterator[PolygonServer]:
    with examples().served() as server:
        yield server


@pytest.fixture(scope="module")
def autumn_server() -> Iterator[PolygonServer]:
    with autumn().served() as server:
        yield server


def backtest(
    side: Side, server: PolygonServer, strategy: Any, start: str, end: str, parameters: Any = None, **settings: Any
) -> BacktestResult:
    """Run a strategy on one side, in a new folder."""
    with side.entered(server):
        settings = {"polygon_api_key": KEY, **settings}
        return run(strategy, side.source_class, side.folder / "run", start, end, dict(parameters or {}), **settings)


def compare(tmp_path: Path, *arguments: Any, fills: int = 1, **settings: Any) -> tuple[BacktestResult, BacktestResult]:
    theirs, ours = (backtest(side, *arguments, **settings) for side in both_sides(tmp_path))
    assert_same_result(theirs, ours, fills=fills)
    return theirs, ours


def run_example(side: Side, server: PolygonServer, example: Example) -> BacktestResult:
    return backtest(
        side, server, example.load(), example.start, example.end, example.all_parameters(), **example.keywords
    )


# -- Lumibot's example strategies -----------------------------------------------------------------------------


# In `make test`, those that run on no other source's days there.
ON_POLYGON_FIRST = (
    "bracket",
    "limit_and_trailing",
    "options_hold_to_expiry",
    "lifecycle_logger",
    "simple_start",
    "first_backtest",
    "buy_and_hold",
)


@pytest.mark.parametrize("name", some_of(EXAMPLES, *ON_POLYGON_FIRST))
def test_an_example_strategy_trades_the_same(name: str, tmp_path: Path, example_server: PolygonServer) -> None:
    example = EXAMPLES[name]
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
    left_out = {module for module in shipped if any(fnmatch(module, pattern) for pattern in LEFT_OUT)}
    assert shipped == compared | left_out


def test_a_future_is_refused_in_the_same_way(tmp_path: Path, example_server: PolygonServer) -> None:
    example = Example("futures_hold_to_expiry", "FuturesHoldToExpiry", "2023-03-03", "2023-03-08")
    errors = []
    for side in both_sides(tmp_path):
        with pytest.raises(Exception, match=r".") as caught:
            run_example(side, example_server, example)
        errors.append(caught.type)
    assert errors[0] is errors[1]


def test_the_comparison_notices_one_other_bar(tmp_path: Path) -> None:
    """Two backtests on Lumibot's class are the same, and no longer when a price is a cent higher."""
    market, example = examples(), EXAMPLES["buy_and_hold"]
    with market.served() as server:
        first, second, third = (Side(LumibotPolygonDataBacktesting, tmp_path / name) for name in "abc")
        expected = run_example(first, server, example)
        assert_same_result(expected, run_example(second, server, example))
        frame = market.minutes("QQQ").copy()
        opening = frame.loc["2023-03-07"].between_time("09:25", "09:35").index
        frame.loc[opening, ["open", "high", "low", "close"]] += 0.01
        server.serve("QQQ", "minute", frame)
        with pytest.raises(AssertionError):
            assert_same_result(expected, run_example(third, server, example))


@pytest.mark.long
def test_benchmark_and_analysis_are_the_same(tmp_path: Path, example_server: PolygonServer) -> None:
    example = EXAMPLES["buy_and_hold"]
    for sleeptime, folder in (("1D", "days"), ("30M", "minutes")):
        theirs, ours = compare(
            tmp_path / folder,
            example_server,
            Crossing,
            example.start,
            example.end,
            {"assets": [Asset("QQQ")], "sleeptime": sleeptime, "step": "day", "length": 6},
            fills=0,
            benchmark_asset="SPY",
            risk_free_rate=0.01,
        )
        benchmark = theirs.strategy._benchmark_returns_df
        assert len(benchmark) > 3
        pd.testing.assert_frame_equal(benchmark, ours.strategy._benchmark_returns_df, check_exact=True)
        assert repr(theirs.strategy._analysis) == repr(ours.strategy._analysis)


# -- our own strategies, on more of what Polygon has -------------------------------------------------------

OVER_THE_CHANGE_OF_CLOCKS = ("2023-11-02", "2023-11-08")
OVER_THANKSGIVING = ("2023-11-21", "2023-11-28")


@pytest.mark.parametrize(
    "strategy", [Crossing, *(pytest.param(each, marks=pytest.mark.long) for each in (Brackets, LimitsAndTrails))]
)
def test_minutes_of_stocks(strategy: Any, tmp_path: Path, autumn_server: PolygonServer) -> None:
    parameters = {"assets": [Asset("SPY"), Asset("AUCT")], "sleeptime": "10M"}
    compare(tmp_path, autumn_server, strategy, *OVER_THE_CHANGE_OF_CLOCKS, parameters)


def test_stocks_that_seldom_trade_begin_to_trade_and_split(tmp_path: Path, autumn_server: PolygonServer) -> None:
    parameters = {
        "assets": [Asset("THIN"), Asset("IPOX"), Asset("SPLT")],
        "sleeptime": "30M",
        "step": "15min",
        "length": 12,
    }
    compare(tmp_path, autumn_server, Crossing, "2023-11-06", "2023-11-11", parameters, fills=4)


def test_minutes_hours_and_days_at_once(tmp_path: Path, autumn_server: PolygonServer) -> None:
    parameters = {"assets": [Asset("SPY")], "sleeptime": "2H", "requests": HORIZONS}
    compare(tmp_path, autumn_server, ManyHorizons, *OVER_THANKSGIVING, parameters)


@pytest.mark.long
def test_native_days_then_hours_then_minutes(tmp_path: Path, autumn_server: PolygonServer) -> None:
    parameters = {"assets": [Asset("AUCT")], "sleeptime": "2H", "requests": NATIVE_HORIZONS}
    compare(tmp_path, autumn_server, ManyHorizons, *OVER_THANKSGIVING, parameters)


@pytest.mark.long
def test_hours(tmp_path: Path, autumn_server: PolygonServer) -> None:
    parameters = {"assets": [Asset("AUCT")], "sleeptime": "1H", "step": "hour", "length": 20}
    compare(tmp_path, autumn_server, Crossing, *OVER_THE_CHANGE_OF_CLOCKS, parameters, fills=2)


def test_days(tmp_path: Path, autumn_server: PolygonServer) -> None:
    parameters = {"assets": [Asset("AUCT"), Asset("SPY")], "sleeptime": "1D", "step": "day", "length": 9}
    compare(tmp_path, autumn_server, Crossing, "2023-11-01", "2023-11-28", parameters, fills=2)


def test_options_out_of_the_chain_held_to_their_expiration(tmp_path: Path, autumn_server: PolygonServer) -> None:
    parameters = {"assets": [Asset("SPY")], "sleeptime": "2H"}
    theirs, _ = compare(tmp_path, autumn_server, ChainBuyer, "2023-11-06", "2023-11-14", parameters, fills=3)
    assert "expired" in set(theirs.trades["status"])


def test_minutes_of_options(tmp_path: Path, autumn_server: PolygonServer) -> None:
    options = [
        Asset("SPY", "option", expiration=dt.date(2023, 11, 30), strike=strike, right=right)
        for strike, right in ((440.0, "CALL"), (435.0, "PUT"))
    ]
    parameters = {"assets": options, "sleeptime": "15M"}
    compare(tmp_path, autumn_server, LimitsAndTrails, *OVER_THE_CHANGE_OF_CLOCKS, parameters)


@pytest.mark.long
def test_crypto_and_forex_around_the_clock(tmp_path: Path, autumn_server: PolygonServer) -> None:
    parameters = {
        "assets": [Asset("BTC", "crypto"), Asset("EUR", "forex")],
        "sleeptime": "30M",
        "step": "15min",
        "length": 12,
        "market": "24/7",
    }
    compare(tmp_path, autumn_server, Crossing, "2023-11-04", "2023-11-07", parameters, fills=4)


class DailyWithMinutes(Strategy):
    """Trades once a day, and looks at minutes."""

    def initialize(self) -> None:
        self.sleeptime = "1D"

    def on_trading_iteration(self) -> None:
        self.get_historical_prices(Asset("SPY"), 5, "minute")
        self.submit_order(self.create_order(Asset("SPY"), 1, "buy"))


def test_a_daily_order_is_filled_at_the_first_price_of_yesterday_once_minutes_are_loaded(
    tmp_path: Path, example_server: PolygonServer
) -> None:
    """Lumibot issue 1175."""
    theirs, _ = compare(tmp_path, example_server, DailyWithMinutes, "2023-03-07", "2023-03-10", fills=3)
    opens = examples().minutes("SPY").tz_convert("America/New_York")["open"]
    yesterdays = [opens.loc[day].iloc[0] for day in ("2023-03-06", "2023-03-07", "2023-03-08")]
    assert theirs.trades[theirs.trades["status"] == "fill"]["price"].tolist() == yesterdays
