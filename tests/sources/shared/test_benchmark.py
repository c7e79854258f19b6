"""The benchmark and the risk-free rate of a backtest: Lumibot's values, out of the store, asked for once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting
from lumibot.entities import Asset
from lumibot.tools import yahoo_helper

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.sources.yahoo.client import YahooProvider
from lumibot_duckdb.sources.yahoo.history import YahooHistory
from parity.backtests import BacktestResult, assert_same_result, run
from parity.series import INVENTED, Market
from parity.sides import our_class, pandas_data, store
from parity.strategies import Crossing
from sources.yahoo.market import new_york_days, walk
from sources.yahoo.server import Instrument, YahooServer
from sources.yahoo.sides import Side, both_sides
from wire.loopback import Answer, Fault

DAYS = new_york_days("2021-06-01", "2024-05-31")
START, END = "2024-03-08", "2024-03-26"
ASKED = {"benchmark_asset": "SPY", "risk_free_rate": None}


@pytest.fixture
def server() -> Iterator[YahooServer]:
    paid = {day.date(): 1.5 for day in DAYS[10::63]}
    instruments = {
        "SPY": Instrument(walk(DAYS, 1, price=400.0), kind="ETF", dividends=paid),
        "QQQ": Instrument(walk(DAYS, 2, price=300.0), kind="ETF"),
        "^IRX": Instrument(walk(DAYS, 3, price=5.0), kind="INDEX"),
    }
    with YahooServer(instruments=instruments) as server:
        server.now = pd.Timestamp("2024-04-20 12:00", tz="UTC")
        yield server


@pytest.fixture
def market() -> Market:
    """User-supplied bars."""
    return INVENTED["dense"]()


def backtest(
    side: Side,
    server: YahooServer,
    source: Any,
    folder: str = "run",
    span: tuple[str, str] = (START, END),
    **settings: Any,
) -> BacktestResult:
    parameters = {"assets": [Asset("QQQ")], "sleeptime": "1D", "step": "day", "length": 6}
    with side.entered(server):
        return run(Crossing, source, side.folder / folder, *span, parameters, **{**ASKED, **settings})


def of_own_bars(
    side: Side, server: YahooServer, market: Market, source: Any, folder: str = "run", **settings: Any
) -> BacktestResult:
    parameters = {"assets": [asset for asset, _ in market.frames], "sleeptime": "30M"}
    with side.entered(server):
        return run(
            Crossing,
            source,
            side.folder / folder,
            market.start,
            market.end,
            parameters,
            **{**ASKED, **settings},
        )


def assert_same_benchmark(theirs: BacktestResult, ours: BacktestResult) -> None:
    benchmark = theirs.strategy._benchmark_returns_df
    assert len(benchmark) > 3
    pd.testing.assert_frame_equal(benchmark, ours.strategy._benchmark_returns_df, check_exact=True)
    assert repr(theirs.strategy._analysis) == repr(ours.strategy._analysis)


def rate(side: Side, server: YahooServer, result: BacktestResult) -> float:
    with side.entered(server):
        return float(result.strategy.risk_free_rate)


def never_slept() -> Any:
    """Fail on a sleep such as Lumibot's helper makes before a download."""
    return mock.patch.object(yahoo_helper.YahooHelper, "sleep_and_get_proxy", side_effect=AssertionError("it slept"))


def test_they_are_lumibots_and_requested_once(tmp_path: Path, server: YahooServer) -> None:
    theirs, ours = both_sides(tmp_path)
    expected = backtest(theirs, server, theirs.source_class)
    expected_rate = rate(theirs, server, expected)
    server.requests.clear()
    with never_slept():
        actual = backtest(ours, server, ours.source_class)
    assert_same_result(expected, actual)
    assert_same_benchmark(expected, actual)
    assert {symbol: len(server.charts(symbol)) for symbol in ("SPY", "QQQ", "^IRX")} == {"SPY": 1, "QQQ": 1, "^IRX": 1}
    assert rate(ours, server, actual) == expected_rate > 0.0

    server.requests.clear()
    again = backtest(ours, server, ours.source_class, "again")
    assert_same_benchmark(expected, again)
    assert server.requests == []


def test_a_backtest_that_needs_neither_does_not_load_the_helper(
    tmp_path: Path, server: YahooServer, market: Market
) -> None:
    """It takes most of a second."""
    _, ours = both_sides(tmp_path)
    with mock.patch("lumibot_duckdb.sources.shared.benchmark._wrap_helper", side_effect=AssertionError):
        result = of_own_bars(
            ours,
            server,
            market,
            our_class(market, store(market, tmp_path)),
            benchmark_asset=None,
            risk_free_rate=0.02,
        )
        assert rate(ours, server, result) == 0.02
    assert len(result.trades) > 0


def test_bars_of_ones_own_are_measured_against_yahoos_too(tmp_path: Path, server: YahooServer, market: Market) -> None:
    theirs, ours = both_sides(tmp_path)
    expected = of_own_bars(theirs, server, market, LumibotPandasDataBacktesting, pandas_data=pandas_data(market))
    storage = store(market, tmp_path)
    actual = of_own_bars(ours, server, market, our_class(market, storage))
    assert_same_result(expected, actual)
    assert_same_benchmark(expected, actual)
    stored = storage.sql("SELECT DISTINCT asset_symbol FROM ohlcv_data WHERE source = 'yahoo:split' ORDER BY 1")
    assert stored.column(0).to_pylist() == ["SPY", "^IRX"]


def test_without_duckdb_they_are_lumibots_own(tmp_path: Path, server: YahooServer) -> None:
    _, ours = both_sides(tmp_path)
    with_store = backtest(ours, server, ours.source_class)
    server.requests.clear()
    without = backtest(ours, server, ours.source_class, "without", use_duckdb=False)
    assert_same_benchmark(without, with_store)
    assert len(server.charts("SPY")) == 1, "Lumibot's helper has a separate cache, which was empty"
    assert list(ours.pickles.glob("*SPY*"))


def test_another_sources_strategy_goes_its_own_way_beside_ours(
    tmp_path: Path, server: YahooServer, market: Market
) -> None:
    theirs, ours = both_sides(tmp_path)
    backtest(ours, server, ours.source_class)
    server.requests.clear()
    of_own_bars(theirs, server, market, LumibotPandasDataBacktesting, pandas_data=pandas_data(market))
    assert len(server.charts("SPY")) == 1
    assert len(server.charts("^IRX")) == 1
    assert not theirs.store.exists()


def test_yahoo_out_of_order_costs_the_benchmark_not_the_backtest(
    tmp_path: Path, server: YahooServer, market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    _, ours = both_sides(tmp_path)
    storage = store(market, tmp_path)
    server.faults.append(Fault(where="chart/", times=1_000, answer=Answer({}, status=404)))
    result = of_own_bars(ours, server, market, our_class(market, storage))
    assert result.strategy._benchmark_returns_df is None
    assert rate(ours, server, result) == 0.0
    assert "history of SPY is not available" in caplog.text


def test_what_is_stored_to_the_end_is_enough_when_yahoo_is_out_of_order(tmp_path: Path, server: YahooServer) -> None:
    _, ours = both_sides(tmp_path)
    expected = backtest(ours, server, ours.source_class)
    server.now = pd.Timestamp("2024-05-28 12:00", tz="UTC")
    server.faults.append(Fault(times=1_000, answer=Answer({}, status=404)))
    assert_same_benchmark(expected, backtest(ours, server, ours.source_class, "again"))


def test_the_first_run_has_the_rate_of_the_next_trading_day_as_the_second_has(
    tmp_path: Path, server: YahooServer
) -> None:
    """The backtest ends on a Sunday, and the store ends on the Friday before it. For the rate, Monday is nearer."""
    theirs, ours = both_sides(tmp_path)
    with ours.entered(server):
        server.now = pd.Timestamp("2024-02-10 12:00", tz="UTC")
        for symbol in ("SPY", "^IRX", "QQQ"):
            YahooHistory(DuckDBDataStorage(ours.store), YahooProvider(), symbol).ensure(server.now.to_pydatetime())
    server.now = pd.Timestamp("2024-02-20 12:00", tz="UTC")
    expected, first, second = (
        backtest(side, server, side.source_class, folder, ("2024-01-22", "2024-02-11 23:00"))
        for side, folder in ((theirs, "run"), (ours, "first"), (ours, "second"))
    )
    monday = server.instruments["^IRX"].daily["close"].loc["2024-02-12"] / 100
    assert rate(theirs, server, expected) == pytest.approx(monday)
    for result in (first, second):
        assert rate(ours, server, result) == rate(theirs, server, expected)
        assert_same_benchmark(expected, result)


def test_a_past_backtest_has_the_benchmark_of_its_time(tmp_path: Path, server: YahooServer) -> None:
    _, ours = both_sides(tmp_path)
    expected = backtest(ours, server, ours.source_class)
    as_of = pd.Timestamp.now("UTC").to_pydatetime()
    with ours.entered(server):
        storage = DuckDBDataStorage(ours.store)
    server.instruments["SPY"].dividends[pd.Timestamp("2024-05-01").date()] = 50.0
    server.now = pd.Timestamp("2024-05-28 12:00", tz="UTC")
    past = backtest(ours, server, ours.source_class.using(storage, as_of=as_of), "past")
    assert_same_benchmark(expected, past)
