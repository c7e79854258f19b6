"""Whole strategies on Lumibot's Yahoo source and on ours: same trades, same portfolio values, same frames seen.

Lumibot's example strategies run unmodified, on daily bars.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from lumibot.entities import Asset

from parity.backtests import BacktestResult, assert_same_result, run
from parity.example_runs import ON_DAYS, moment, yahoo_served
from parity.examples import CONFIGURATIONS, EXAMPLES, HOME, LEFT_OUT, Example, some_of
from parity.strategies import Brackets, Crossing, HoldForEvents, Indicating
from sources.yahoo.market import have_real_data, made_up, real
from sources.yahoo.server import YahooServer
from sources.yahoo.sides import both_sides

NOT_ON_YAHOO = {
    **{module: why for module, why in LEFT_OUT.items() if module != "futures_hold_to_expiry"},
    "ccxt_backtesting_example": "names its crypto as ccxt does",
    "forex_hold_to_expiry": "names its currency in a way that Yahoo does not know",
    "test_broker_functions": "wants options",
}

# What Yahoo has nothing for fails, and has to do so in the same way.
FAIL_ALIKE = ("options_hold_to_expiry", "crypto_important_functions", "first_backtest")


@pytest.fixture(scope="module")
def example_server() -> Iterator[YahooServer]:
    with yahoo_served() as server:
        yield server


def compare(
    tmp_path: Path,
    server: YahooServer,
    strategy: Any,
    start: str,
    end: str,
    parameters: Any = None,
    *,
    fills: int = 1,
    **settings: Any,
) -> tuple[BacktestResult, BacktestResult]:
    found = []
    for side in both_sides(tmp_path):
        with side.entered(server):
            folder = side.folder / "run"
            found.append(run(strategy, side.source_class, folder, start, end, dict(parameters or {}), **settings))
    theirs, ours = found
    assert_same_result(theirs, ours, fills=fills)
    return theirs, ours


@pytest.mark.parametrize(
    "name",
    some_of(ON_DAYS, "momentum", "oco", "drift_rebalancer"),
)
def test_an_example_strategy_trades_the_same(name: str, tmp_path: Path, example_server: YahooServer) -> None:
    example = ON_DAYS[name]
    parameters, keywords = example.all_parameters(), example.keywords
    strategy = example.load()
    compare(tmp_path, example_server, strategy, example.start, example.end, parameters, fills=example.fills, **keywords)


@pytest.mark.parametrize("name", FAIL_ALIKE)
def test_what_yahoo_does_not_have_fails_alike(name: str, tmp_path: Path, example_server: YahooServer) -> None:
    example = EXAMPLES[name]
    outcomes: list[Any] = []
    for side in both_sides(tmp_path):
        with side.entered(example_server):
            try:
                result = run(
                    example.load(),
                    side.source_class,
                    side.folder / "run",
                    example.start,
                    example.end,
                    example.all_parameters(),
                    **example.keywords,
                )
                outcomes.append(result.values.to_csv())
            except Exception as error:
                outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


def test_every_example_is_compared_or_left_out_for_a_reason() -> None:
    shipped = {file.name.removesuffix(".py") for file in files(HOME).iterdir() if file.name.endswith(".py")}
    alike = {EXAMPLES[name].module for name in FAIL_ALIKE} | {"futures_hold_to_expiry", "__init__"}
    compared = {example.module for example in ON_DAYS.values()} | alike | set(CONFIGURATIONS)
    assert shipped == compared | {name for name in shipped if any(fnmatch(name, left_out) for left_out in NOT_ON_YAHOO)}


def test_a_future_is_held_to_its_expiration(tmp_path: Path, example_server: YahooServer) -> None:
    strategy = Example("futures_hold_to_expiry", "FuturesHoldToExpiry", "", "").load()
    parameters = {"buy_symbol": "ES", "expiry": dt.datetime(2023, 3, 17)}
    compare(tmp_path, example_server, strategy, "2023-03-03", "2023-03-24", parameters)


@pytest.mark.skipif(not have_real_data(), reason="the real bars are not at hand")
@pytest.mark.parametrize(
    ("strategy", "symbols", "start", "end"),
    [
        (HoldForEvents, ("AAPL", "SPY"), "2014-05-01", "2014-07-15"),  # seven Apple shares for one
        pytest.param(HoldForEvents, ("AAPL", "GOOG"), "2005-02-01", "2005-04-15", marks=pytest.mark.long),
        (HoldForEvents, ("GOOG", "GOOGL"), "2014-03-10", "2014-05-01"),
        pytest.param(Crossing, ("AAPL", "IBM", "EEM"), "2020-07-15", "2020-11-15", marks=pytest.mark.long),
        (Brackets, ("QQQ", "BAC"), "2020-02-15", "2020-04-15"),
    ],
)
def test_real_stocks_through_splits_and_dividends(
    strategy: Any, symbols: tuple[str, ...], start: str, end: str, tmp_path: Path
) -> None:
    parameters = {"assets": [Asset(symbol) for symbol in symbols], "sleeptime": "1D", "step": "day", "length": 12}
    with YahooServer(instruments={symbol: real(symbol) for symbol in symbols}) as server:
        server.now = moment("2021-03-30 20:00")
        compare(tmp_path, server, strategy, start, end, parameters)


def test_crypto_an_index_a_fund_and_a_foreign_stock(tmp_path: Path) -> None:
    today = dt.date.today()
    symbols = ("BTC-USD", "FUND", "VOD.L", "AAA", "GAPS")
    parameters = {
        "assets": [*(Asset(symbol) for symbol in symbols), Asset("GSPC", "index")],
        "sleeptime": "1D",
        "step": "day",
        "length": 9,
    }
    start, end = (str(today - dt.timedelta(days=days)) for days in (560, 460))
    with YahooServer(instruments=made_up(today)) as server:
        compare(tmp_path, server, Crossing, start, end, parameters, fills=4)


@pytest.mark.long
def test_indicators_of_lumibot(tmp_path: Path) -> None:
    parameters = {"assets": [Asset("AAA"), Asset("GAPS")], "sleeptime": "1D", "step": "day"}
    parameters["indicators"] = [("rsi", {"length": 9}), ("macd", {}), ("sma", {"length": 5}), ("atr", {})]
    today = dt.date.today()
    start, end = (str(today - dt.timedelta(days=days)) for days in (60, 40))
    with YahooServer(instruments=made_up(today)) as server:
        compare(tmp_path, server, Indicating, start, end, parameters)
