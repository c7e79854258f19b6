"""Every backtest of a script is recorded separately: nested, in threads, stopped by an error, left running.

One script runs them all, once, on frames in memory.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TypeAlias

import pytest

from comparison.ground import on_ground
from lumibot_duckdb.comparison.answers import Answer, read_answers
from lumibot_duckdb.comparison.meters import Costs
from lumibot_duckdb.comparison.outcome import (
    LUMIBOT,
    Backtest,
    answers_file,
    events_file,
    read_outcome,
    values_file,
    write_backtest,
    write_outcome,
    write_table,
)
from lumibot_duckdb.comparison.runner import Script, run_side
from lumibot_duckdb.comparison.trading_statistics import trading_statistics

pytestmark = pytest.mark.xdist_group("recorder")  # the backtests are run once
Recorded: TypeAlias = dict[str, tuple[Backtest, list[Answer]]]

KEY, NEWS_KEY = "key-of-a-broker", "key-read-from-a-file"
SCRIPT = """\
import multiprocessing, os, threading, time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import lumibot.strategies._strategy
import numpy as np
import pandas as pd
from dotenv import dotenv_values
from lumibot.backtesting import BacktestingBroker, PandasDataBacktesting
from lumibot.entities import Asset, Data, TradingFee
from lumibot.strategies import Strategy
from lumibot.traders import Trader

SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
SPAN = datetime(2024, 1, 8), datetime(2024, 1, 20)
UNATTENDED = dict(benchmark_asset=None, risk_free_rate=0.0, analyze_backtest=False)


def bars(symbol):
    days = pd.date_range("2024-01-01", "2024-02-01", tz="America/New_York")
    first = 100 * (1 + SYMBOLS.index(symbol))
    names = ("open", "high", "low", "close", "volume")
    frame = pd.DataFrame({name: np.arange(first, first + len(days)) for name in names}, days)
    return Data(Asset(symbol), frame.astype(float), timestep="day")


def backtest(strategy, symbols=SYMBOLS, **settings):
    frames = {Asset(symbol): bars(symbol) for symbol in symbols}
    return strategy.run_backtest(PandasDataBacktesting, *SPAN, pandas_data=frames, **{**UNATTENDED, **settings})


class Holding(Strategy):
    symbol = "AAA"

    def initialize(self):
        self.sleeptime = "1D"

    def on_trading_iteration(self):
        self.get_historical_prices(self.symbol, 3, "day")
        if self.first_iteration:
            self.submit_order(self.create_order(self.symbol, 10, "buy"))


class Within(Holding):
    symbol = "BBB"


class Around(Holding):
    def on_trading_iteration(self):
        super().on_trading_iteration()
        if self.first_iteration:
            backtest(Within)
        self.get_last_price("CCC")


class InOneThread(Holding):
    symbol = "CCC"


class InAnotherThread(Holding):
    symbol = "DDD"


class WithAPool(Holding):
    def on_trading_iteration(self):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda symbol: self.get_historical_prices(symbol, 5, "day"), SYMBOLS))


class AskingByItself(Holding):
    def initialize(self):
        super().initialize()
        self.parameters["news_key"] = dotenv_values("read.env")["NEWS_API_KEY"]
        self.second = PandasDataBacktesting(*SPAN, pandas_data={Asset("DDD"): bars("DDD")})

    def on_trading_iteration(self):
        broker, source = self.broker, self.broker.data_source
        with ThreadPoolExecutor(1) as pool:
            list(pool.map(source.get_last_price, [Asset("AAA")]))
        broker.get_last_bar(Asset("BBB"))
        source.get_yesterday_dividend(Asset("CCC"))
        self.second._update_datetime(self.get_datetime())
        self.second.get_historical_prices(Asset("DDD"), 2, "day")
        raise KeyError("refused " + self.parameters["news_key"])


class Forked(Holding):
    pass


class Forking(Holding):
    def on_trading_iteration(self):
        super().on_trading_iteration()
        if self.first_iteration:
            other = multiprocessing.get_context("fork").Process(target=backtest, args=(Forked,))
            other.start()
            other.join()
            if os.fork() == 0:
                self.get_historical_prices("BBB", 3, "day")
                raise SystemExit(0)
            os.wait()


class Outliving(Holding):
    def on_trading_iteration(self):
        super().on_trading_iteration()
        time.sleep(0.1)


class WithABenchmark(Holding):
    pass


class Failing(Holding):
    def on_trading_iteration(self):
        raise KeyError("refused " + os.environ["MY_BROKER_KEY"])


class Ending(Holding):
    def on_trading_iteration(self):
        raise SystemExit(3)


class FailingAtItsEnd(Holding):
    def on_strategy_end(self):
        raise ValueError("late")


class NotWaitedFor(Holding):
    def on_trading_iteration(self):
        super().on_trading_iteration()
        time.sleep(600)


def start(strategy):
    source = PandasDataBacktesting(*SPAN, pandas_data={Asset("AAA"): bars("AAA")})
    made = strategy(broker=BacktestingBroker(source), backtesting_start=SPAN[0], backtesting_end=SPAN[1], **UNATTENDED)
    trader = Trader(backtest=True)
    trader.add_strategy(made)
    trader.run_all_async()
    return trader


backtest(Around)
threads = [threading.Thread(target=backtest, args=(each,)) for each in (InOneThread, InAnotherThread)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
backtest(WithAPool)
for name, settings in (
    ("As usual", {}),
    ("Richer", dict(budget=200_000)),
    ("With a fee", dict(buy_trading_fees=[TradingFee(flat_fee=1)])),
    ("With another fee", dict(buy_trading_fees=[TradingFee(flat_fee=2)])),
    ("With a benchmark", dict(benchmark_asset="AAA")),
    ("With fewer bars", dict(symbols=["AAA"])),
):
    backtest(Holding, name=name, **settings)
try:
    backtest(Failing)
except KeyError:
    pass
backtest(Ending)
backtest(FailingAtItsEnd)
start(type("Started", (Holding,), {}))._join_pool()
start(NotWaitedFor)
lumibot.strategies._strategy.get_symbol_returns = lambda *_: bars("AAA").df.head(2)
backtest(WithABenchmark, benchmark_asset="SPY")
try:
    backtest(AskingByItself, name="AskingByItself")
except KeyError:
    pass
backtest(Forking)
if os.fork() == 0:
    raise SystemExit(0)
os.wait()
threading.Thread(target=backtest, args=(Outliving,)).start()
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("recorded")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    (folder / "read.env").write_text(f"NEWS_API_KEY={NEWS_KEY}\n")
    with on_ground(folder, {"MY_BROKER_KEY": KEY}), pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        run = run_side(Script(script, (), folder / "lumibot.duckdb"), LUMIBOT, folder / "run")
    backtests = run.outcome.backtests
    assert len(backtests) == 20
    assert set(run.outcome.forked) == {"Forked"}
    written = [file for file in run.folder.rglob("*") if file.is_file()]
    assert not [file for file in written if any(key in file.read_bytes() for key in (KEY.encode(), NEWS_KEY.encode()))]
    return {
        each.name: (each, list(read_answers(answers_file(run.folder, number))) if each.ended else [])
        for number, each in enumerate(backtests)
    }


def assets(answers: list[Answer]) -> set[str]:
    """Return the assets of a request. Lumibot requests dividends for lists."""
    return {answer.asset.strip("[]") for answer in answers}


def test_a_backtest_within_another_has_its_own_record(recorded: Recorded) -> None:
    assert list(recorded)[:2] == ["Around", "Within"]
    around, within = recorded["Around"], recorded["Within"]
    assert assets(around[1]) == {"AAA", "CCC"}
    assert assets(within[1]) == {"BBB"}
    assert [set(backtest.events.column("symbol")) for backtest, _ in (around, within)] == [{"AAA"}, {"BBB"}]
    assert len(around[0].values.rows) == len(within[0].values.rows) > 5


def test_backtests_of_two_threads_have_their_own_records(recorded: Recorded) -> None:
    for name, symbol in (("InOneThread", "CCC"), ("InAnotherThread", "DDD")):
        backtest, answers = recorded[name]
        assert assets(answers) == {symbol}
        assert set(backtest.events.column("symbol")) == {symbol}


def test_backtests_are_distinguished_by_their_settings(recorded: Recorded) -> None:
    """Backtests of the same class are paired by that."""
    names = ("As usual", "Richer", "With a fee", "With another fee", "With a benchmark")
    assert len({recorded[name][0].settings for name in names}) == len(names)
    assert recorded["As usual"][0].settings == recorded["Within"][0].settings


def test_bars_that_are_passed_are_no_settings(recorded: Recorded) -> None:
    """Lumibot adds `pandas_data` to the parameters; a source of stored bars does not. Years of bars are long texts."""
    assert recorded["With fewer bars"][0].settings == recorded["As usual"][0].settings


def test_what_threads_of_a_strategy_ask_for_is_in_its_record(
    recorded: Recorded,
) -> None:
    backtest, answers = recorded["WithAPool"]
    assert len(answers) == 4 * len({answer.when for answer in answers}) > 20
    assert backtest.failure is None


def test_an_error_that_stops_a_backtest_is_recorded_without_keys(
    recorded: Recorded,
) -> None:
    assert recorded["Failing"][0].failure == "KeyError: 'refused [hidden]'"
    assert recorded["Ending"][0].failure == "SystemExit: 3"
    assert (recorded["FailingAtItsEnd"][0].failure or "").startswith("on_strategy_end raised an error")
    assert recorded["Around"][0].failure is None


def test_what_a_strategy_asks_brokers_and_sources_by_itself_is_in_its_record(recorded: Recorded) -> None:
    backtest, answers = recorded["AskingByItself"]
    assert [answer.call.removeprefix("data_source.").partition(",")[0].removesuffix(")") for answer in answers] == [
        "get_last_price(AAA",
        "get_last_bar(BBB",
        "get_yesterday_dividend(CCC",
        "get_historical_prices(DDD",
    ]
    assert backtest.failure == "KeyError: 'refused [hidden]'"


def test_a_forked_process_leaves_the_records_of_its_parent_alone(recorded: Recorded) -> None:
    forking, answers = recorded["Forking"]
    assert forking.ended
    assert forking.failure is None
    assert assets(answers) == {"AAA"}
    assert len(forking.values.rows) == len(recorded["Around"][0].values.rows)


def test_a_backtest_in_a_thread_that_outlives_the_main_one_is_waited_for(recorded: Recorded) -> None:
    outliving, answers = recorded["Outliving"]
    assert outliving.ended
    assert len(answers) >= len(outliving.values.rows) > 5


def test_a_backtest_that_continues_after_run_all_is_recorded_to_its_end(
    recorded: Recorded,
) -> None:
    started, answers = recorded["Started"]
    assert started.ended
    assert len(started.fills) == 1
    assert len(answers) > 5


def test_a_backtest_that_had_not_ended_with_the_script_reports_it(
    recorded: Recorded,
) -> None:
    assert not recorded["NotWaitedFor"][0].ended


def test_numbers_of_statistics_are_plain(recorded: Recorded) -> None:
    analysis = recorded["Around"][0].analysis
    assert float(analysis["total_return"]) > 0
    assert not [text for text in analysis.values() if "np." in text]


def test_what_returns_are_held_against_is_among_the_statistics(recorded: Recorded) -> None:
    analysis = recorded["WithABenchmark"][0].analysis
    assert {name: text for name, text in analysis.items() if name.startswith("benchmark")} == {
        "benchmark SPY, columns": "open,high,low,close,volume",
        "benchmark SPY 2024-01-01 00:00:00-05:00": "100.0,100.0,100.0,100.0,100.0",
        "benchmark SPY 2024-01-02 00:00:00-05:00": "101.0,101.0,101.0,101.0,101.0",
    }


def test_daily_returns_are_recorded_as_the_tear_sheet_has_them(recorded: Recorded) -> None:
    backtest = recorded["As usual"][0]
    assert backtest.returns.columns == ["day", "strategy"]
    values = list(map(float, backtest.values.column("portfolio_value")))
    assert math.prod(1 + float(text) for text in backtest.returns.column("strategy")) == pytest.approx(
        values[-1] / values[0]
    )
    assert recorded["WithABenchmark"][0].returns.columns == ["day", "strategy", "benchmark"]
    assert (backtest.risk_free_rate, backtest.benchmark) == (0.0, "")
    assert recorded["WithABenchmark"][0].benchmark == "SPY"


def test_a_backtest_that_was_stopped_has_no_returns(recorded: Recorded) -> None:
    for name in ("Failing", "NotWaitedFor"):
        assert recorded[name][0].returns.rows == []
        assert trading_statistics(recorded[name][0])["sharpe"].value is None


def test_the_period_and_the_parameters_are_recorded_without_keys_and_bars(recorded: Recorded) -> None:
    backtest = recorded["AskingByItself"][0]
    assert backtest.parameters == {"news_key": "[hidden]"}
    assert [time[:10] for time in backtest.span] == ["2024-01-08", "2024-01-20"]
    assert recorded["NotWaitedFor"][0].parameters == {}


def test_statistics_of_any_length_are_read(tmp_path: Path) -> None:
    row = ["2024-01-02", "x" * 200_000]
    write_table(events_file(tmp_path, 0), ["time"], [])
    write_table(values_file(tmp_path, 0), ["datetime", "note"], [row])
    write_backtest(tmp_path, 0, name="Long", source="a.Source", covered=True, settings="", analysis={})
    costs = Costs(1.0, 1.0, 0.0, {}, 1, [], {}, 0, 0)
    write_outcome(tmp_path / "result.json", costs, 1, {}, None, [])
    limit = csv.field_size_limit()
    (backtest,) = read_outcome(tmp_path / "result.json").backtests
    assert backtest.values.rows == [row]
    assert csv.field_size_limit() == limit
