"""Whole strategies on Lumibot's pandas source and on ours: same trades, same portfolio values, same frames seen.

On ours they run twice: on stored bars, and on frames that are passed as Lumibot's are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting
from lumibot.entities import Asset
from lumibot.strategies import Strategy

from lumibot_duckdb.backtesting import PandasDataBacktesting
from lumibot_duckdb.windows.adopted_data import AdoptedData
from parity.backtests import BacktestResult, assert_same_result, run
from parity.series import INVENTED, NEW_YORK, REAL, Market, real_days, real_minutes
from parity.sides import our_class, pandas_data, store
from parity.strategies import Brackets, Crossing, HoldForEvents, Indicating, LimitsAndTrails, ManyHorizons

MINUTE_REQUESTS = [(60, "minute"), (60, "5min"), (10, "hour"), (3, "day"), (20, "7min")]
DAY_REQUESTS = [(60, "day"), (10, "2day")]


def trading_every(seldom: str, often: str) -> pytest.MarkDecorator:
    """Let the strategy trade now and then over the whole time, and in make soak more often as well."""
    return pytest.mark.parametrize("sleeptime", [seldom, pytest.param(often, marks=pytest.mark.long)])


def on_each(
    strategy: Any, market: Market, tmp_path: Path, *, start: Any = None, end: Any = None, **parameters: Any
) -> tuple[BacktestResult, BacktestResult, BacktestResult]:
    """Return the results on Lumibot's source, and on ours with stored bars and with frames that are passed."""
    start, end = (start or market.start), (end or market.end)
    parameters["assets"] = [asset for asset, _ in market.frames]
    if any(asset.asset_type in ("crypto", "forex") for asset in parameters["assets"]):
        parameters["market"] = "24/7"
    theirs, passed = (
        run(strategy, source, tmp_path / name, start, end, dict(parameters), pandas_data=pandas_data(market))
        for name, source in (("theirs", LumibotPandasDataBacktesting), ("passed", PandasDataBacktesting))
    )
    stored = run(strategy, our_class(market, store(market, tmp_path)), tmp_path / "stored", start, end, parameters)
    return theirs, stored, passed


def check(theirs: BacktestResult, stored: BacktestResult, passed: BacktestResult, *, fills: int = 1) -> None:
    assert_same_result(theirs, stored, fills=fills)
    assert_same_result(theirs, passed, fills=fills)
    data = passed.strategy.broker.data_source.pandas_data.values()
    assert {type(each) for each in data} == {AdoptedData}


@pytest.mark.parametrize(
    "strategy", [Brackets, *(pytest.param(each, marks=pytest.mark.long) for each in (Crossing, LimitsAndTrails))]
)
def test_minutes_of_two_stocks(strategy: Any, tmp_path: Path) -> None:
    check(*on_each(strategy, INVENTED["dense"](), tmp_path, sleeptime="3M"))


def test_minutes_on_many_horizons_and_indicators(tmp_path: Path) -> None:
    check(*on_each(ManyHorizons, INVENTED["dense"](), tmp_path, sleeptime="67M", requests=MINUTE_REQUESTS))


INDICATORS = [
    ("rsi", {"length": 14}),
    ("ema", {}),
    ("macd", {"fast": 5, "slow": 13, "signal": 4}),
    ("bbands", {"length": 20, "std": 2}),
    ("atr", {"length": 7.0}),
    ("stoch", {}),
    ("obv", {}),
    ("adx", {}),
    ("sma", {"length": 9}),
    ("supertrend", {}),
    ("ema", {"length": 4, "offset": 2}),
    ("kama", {"length": 900}),
]


@pytest.mark.parametrize(
    ("name", "step", "sleeptime"),
    [
        ("dense", "minute", "337M"),
        ("days", "day", "1D"),
        *(pytest.param(name, "minute", "97M", marks=pytest.mark.long) for name in ("holes", "whole_prices", "crypto")),
    ],
)
def test_indicators_of_lumibot(name: str, step: str, sleeptime: str, tmp_path: Path) -> None:
    """Those that are computed once for all bars, and those that are not, from the first bars on."""
    market = INVENTED[name]()
    span = {"start": pd.Timestamp("2023-10-02"), "end": pd.Timestamp("2023-10-07")} if step == "day" else {}
    settings = {"step": step, "sleeptime": sleeptime, "indicators": INDICATORS}
    results = on_each(Indicating, market, tmp_path, **span, **settings)
    check(*results)
    values = {note[2] for note in results[1].seen if note[-1] in ("float64", "IndicatorRow") and "nan" not in note[3]}
    assert values >= {"rsi", "macd", "bbands", "atr", "sma"}


@trading_every("30M", "10M")
@pytest.mark.parametrize("strategy", [Crossing, pytest.param(LimitsAndTrails, marks=pytest.mark.long)])
def test_crypto_around_the_clock_over_the_change_of_clocks(strategy: Any, sleeptime: str, tmp_path: Path) -> None:
    check(*on_each(strategy, INVENTED["crypto"](), tmp_path, sleeptime=sleeptime, step="15 minutes"))


def test_bid_and_ask_decide_fills(tmp_path: Path) -> None:
    check(*on_each(LimitsAndTrails, INVENTED["quotes"](), tmp_path, sleeptime="15M"))


@trading_every("13M", "5M")
def test_holes_in_the_bars(sleeptime: str, tmp_path: Path) -> None:
    check(*on_each(Crossing, INVENTED["holes"](), tmp_path, sleeptime=sleeptime))


@pytest.mark.parametrize("start", ["2023-06-01", pytest.param(None, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", ["days", "days_unquoted"])
@pytest.mark.parametrize("strategy", [Crossing, HoldForEvents])
def test_days_with_dividends_and_splits(strategy: Any, name: str, start: str | None, tmp_path: Path) -> None:
    market = INVENTED[name]()
    first, _ = market.frames.values()
    assert (first.loc[start:, ["dividend", "stock_splits"]] > 0).sum().min() >= 3
    check(*on_each(strategy, market, tmp_path, start=start, sleeptime="1D", step="day"))


@pytest.mark.parametrize("start", ["2023-06-01", pytest.param(None, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", ["days_at_the_close", "days_at_the_close_unquoted"])
def test_days_stamped_at_the_close_with_splits(name: str, start: str | None, tmp_path: Path) -> None:
    market = INVENTED[name]()
    assert (next(iter(market.frames.values())).loc[start:, "stock_splits"] > 0).any()
    check(*on_each(HoldForEvents, market, tmp_path, start=start, sleeptime="1D"))


@pytest.mark.parametrize("name", ["hours_unquoted", "derivatives_unquoted", "forex_unquoted"])
@trading_every("5H", "2H")
def test_assets_without_a_quote(name: str, sleeptime: str, tmp_path: Path) -> None:
    check(*on_each(Crossing, INVENTED[name](), tmp_path, sleeptime=sleeptime, step="hour", length=12))


@trading_every("3H", "1H")
def test_hours(sleeptime: str, tmp_path: Path) -> None:
    check(*on_each(Crossing, INVENTED["hours"](), tmp_path, sleeptime=sleeptime, step="hour", length=20))


@pytest.mark.parametrize("start", ["2013-08-22", pytest.param("2013-08-01", marks=pytest.mark.long)])
def test_real_days_of_four_symbols_with_indicators(start: str, tmp_path: Path) -> None:
    market = real_days("AAPL", "SPY", "IBM", "FB")
    end = pd.Timestamp("2013-09-06")
    fills = 10 if start == "2013-08-01" else 4
    check(
        *on_each(ManyHorizons, market, tmp_path, start=start, end=end, sleeptime="1D", requests=DAY_REQUESTS),
        fills=fills,
    )


@trading_every("1H", "15M")
def test_real_minutes_of_three_symbols(sleeptime: str, tmp_path: Path) -> None:
    market = real_minutes("IBM", "BAC", "AIG")
    check(*on_each(Crossing, market, tmp_path, sleeptime=sleeptime, step="5min", length=24), fills=10)


@trading_every("7M", "2M")
def test_real_half_day(sleeptime: str, tmp_path: Path) -> None:
    check(*on_each(Crossing, REAL["us_half_day"](), tmp_path, sleeptime=sleeptime))


@pytest.mark.long
def test_real_crypto(tmp_path: Path) -> None:
    market = REAL["crypto"]()
    start, end = pd.Timestamp("2022-01-10"), pd.Timestamp("2022-01-13")
    check(*on_each(Crossing, market, tmp_path, start=start, end=end, sleeptime="7M", step="30min"))


def test_real_forex(tmp_path: Path) -> None:
    market = REAL["forex"]()
    start, end = pd.Timestamp("2012-02-06"), pd.Timestamp("2012-02-08")
    check(*on_each(Crossing, market, tmp_path, start=start, end=end, sleeptime="10M", step="minute"))


class BuyAtTen(Strategy):
    """Trades daily, at 10:00, which on bars of minutes is one of many iterations."""

    def initialize(self) -> None:
        self.sleeptime = "1D"

    def on_trading_iteration(self) -> None:
        if f"{self.get_datetime():%H:%M}" == "10:00":
            self.submit_order(self.create_order(Asset("AAA"), 1, "buy"))


def test_a_daily_order_on_minutes_is_filled_at_the_first_price_of_yesterday(tmp_path: Path) -> None:
    """Lumibot issue 1175. Each price is the day, hour and minute of its bar."""
    days = pd.bdate_range("2024-03-04", "2024-03-08", tz=NEW_YORK)
    times = [pd.date_range(day + pd.Timedelta(hours=4), periods=27, freq="15min") for day in days]
    index = times[0].append(times[1:])
    price = index.day * 10_000.0 + index.hour * 100 + index.minute
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), price), index).assign(volume=1.0)
    market = Market("minute", {(Asset("AAA"), None): frame})
    results = on_each(BuyAtTen, market, tmp_path, start=days[2], end=days[4])
    check(*results, fills=2)
    trades = results[0].trades
    assert trades[trades["status"] == "fill"]["price"].tolist() == [5_0400.0, 6_0400.0]
