"""Other parts of Lumibot that read a source: indicators, the agents' DuckDB tools, corporate actions, the benchmark."""

from __future__ import annotations

import datetime as dt
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting
from lumibot.backtesting.market_input_evidence import MarketInputEvidence
from lumibot.components.agents.duckdb_tools import DuckDBQueryLayer
from lumibot.entities import Asset, Data
from lumibot.indicators.indicators import Indicators

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import PandasDataBacktesting
from lumibot_duckdb.lumibot_contract import indicators_hooks
from lumibot_duckdb.windows import indicators as window_indicators
from parity.backtests import assert_same_result, run
from parity.strategies import Crossing
from windows.stored_minutes import NEW_YORK, minutes

DOLLAR = Asset("USD", "forex")
START = pd.Timestamp("2024-01-10 09:30", tz=NEW_YORK).to_pydatetime()
END = pd.Timestamp("2024-02-01 16:00", tz=NEW_YORK).to_pydatetime()
NOW = pd.Timestamp("2024-01-18 11:07", tz=NEW_YORK).to_pydatetime()
AAA = Asset("AAA")


@pytest.fixture
def sources(storage: DuckDBDataStorage) -> tuple[Any, Any]:
    span = {"datetime_start": START, "datetime_end": END, "show_progress_bar": False}
    theirs = LumibotPandasDataBacktesting(**span, pandas_data=[Data(AAA, minutes(0), quote=DOLLAR)])
    ours = PandasDataBacktesting.using(storage, assets=["AAA"])(**span)
    for source in (theirs, ours):
        source.load_data()
        source._datetime = NOW
    return theirs, ours


def strategy_on(source: Any, *, is_backtesting: bool = False) -> Any:
    return SimpleNamespace(
        broker=SimpleNamespace(data_source=source, option_source=None),
        get_datetime=source.get_datetime,
        get_historical_prices=lambda asset, length, timestep="minute", **other: source.get_historical_prices(
            asset, length, timestep=timestep
        ),
        is_backtesting=is_backtesting,
    )


@pytest.mark.parametrize(
    ("name", "settings"), [("sma", {"length": 50}), ("rsi", {"length": 14}), ("ema", {"length": 9})]
)
@pytest.mark.parametrize("step", ["minute", "day"])
def test_indicators_have_the_same_values(sources: tuple[Any, Any], name: str, settings: dict, step: str) -> None:
    theirs, ours = (
        getattr(Indicators(strategy_on(source)), name)(AAA, timestep=step, **settings) for source in sources
    )
    assert repr(theirs) == repr(ours)


def test_a_moving_average_reads_a_window_and_not_the_history(sources: tuple[Any, Any]) -> None:
    _, ours = sources
    indicators = Indicators(strategy_on(ours))
    before = ours.budget.statistics.rows_loaded
    assert indicators.sma(AAA, timestep="minute", length=50) is not None
    assert ours.budget.statistics.rows_loaded - before < 2_000 < ours._data_store[AAA, DOLLAR]._data_len


def test_an_indicator_of_all_bars_is_computed_once(sources: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = (Indicators(strategy_on(source)) for source in sources)
    computed: list[int] = []
    compute = Indicators._compute
    monkeypatch.setattr(
        Indicators, "_compute", lambda self, df, *more: computed.append(len(df)) or compute(self, df, *more)
    )
    times = [NOW + dt.timedelta(minutes=minute) for minute in range(8)]

    def values(indicators: Any) -> list[str]:
        found = []
        for time in times:
            indicators._strategy.broker.data_source._datetime = time
            found += [repr(indicators.rsi(AAA, timestep="minute")), repr(indicators.macd(AAA, timestep="minute"))]
        return found

    expected = values(theirs)
    assert len(computed) == 2 * len(times)
    computed.clear()
    assert values(ours) == expected
    assert len(computed) == 2
    ours.invalidate(AAA)
    assert ours.cache_size == 0
    assert values(ours) == expected
    assert len(computed) == 4


@pytest.mark.parametrize("most", [50_000, 1_000])
def test_the_record_of_inputs_is_the_same_if_there_are_too_many_bars(
    sources: tuple[Any, Any], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more bars than Lumibot records, it only notes that there were some."""
    assert signature(MarketInputEvidence).parameters["max_rows"].default == indicators_hooks.MOST_RECORDED
    monkeypatch.setattr(window_indicators, "MOST_RECORDED", most)
    records = []
    for source in sources:
        source._market_input_evidence = record = MarketInputEvidence(max_rows=most)
        Indicators(strategy_on(source, is_backtesting=True)).rsi(AAA, timestep="minute")
        records.append((record.incomplete, record.observations, list(record.rows.values())))
    assert records[0] == records[1]
    assert records[1][0] == (set() if most == 50_000 else {"row_limit"})
    assert bool(records[1][1]) == (most == 50_000)


def test_lumibots_own_data_is_queried_as_before(sources: tuple[Any, Any]) -> None:
    theirs, _ = sources
    frame = Indicators(strategy_on(theirs))._full_history(AAA, "minute", required_length=5)
    assert frame is theirs._data_store[AAA, DOLLAR].df


def test_the_agents_sql_sees_the_same_rows(sources: tuple[Any, Any]) -> None:
    answers = []
    for source in sources:
        layer = DuckDBQueryLayer(strategy_on(source))
        for step in ("minute", "5minute"):
            table = layer.load_history_table(symbol="AAA", length=40, timestep=step)
            answers.append(layer.query(sql=f"SELECT * FROM {table['table_name']}")["rows"])
    assert repr(answers[:2]) == repr(answers[2:])
    assert len(answers[0]) == 40


def test_a_price_does_not_read_the_full_frame_of_days(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = (
        minutes(3).resample("D").agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
    )
    days = days.dropna()
    days["stock_splits"] = np.where(np.arange(len(days)) == 8, 2.0, 0.0)
    storage.store_ohlcv_data("DDD", days, "own", "day")
    source = PandasDataBacktesting.using(storage, timestep="day")(
        datetime_start=START, datetime_end=END, show_progress_bar=False
    )
    source.load_data()
    data = source._data_store[Asset("DDD"), DOLLAR]
    monkeypatch.setattr(type(data), "df", property(lambda self: pytest.fail("the full frame was read")))
    for day in pd.bdate_range("2024-01-10", "2024-01-20", tz=NEW_YORK):
        source._datetime = (day + pd.Timedelta(hours=12)).to_pydatetime()
        assert source.get_last_price(Asset("DDD")) is not None
        assert source.get_quote(Asset("DDD")).price is not None


def test_benchmark_and_risk_free_rate_are_lumibots(
    storage: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both come from Lumibot's Yahoo helper for this source, with ours as with theirs."""
    from lumibot.tools.yahoo_helper import YahooHelper

    asked: list[str] = []

    def stored_history(symbol: str, *args: Any, **kwargs: Any) -> pd.DataFrame:
        asked.append(symbol)
        index = pd.bdate_range("2023-12-01", "2024-03-01", tz=NEW_YORK)
        close = np.linspace(4.5, 5.5, len(index)) if symbol == "^IRX" else np.linspace(470, 500, len(index))
        return pd.DataFrame({"Close": close, "Dividends": 0.0, "Stock Splits": 0.0}, index=index)

    monkeypatch.setattr(YahooHelper, "get_symbol_data", staticmethod(stored_history))
    settings = {"benchmark_asset": "SPY", "risk_free_rate": None, "analyze_backtest": True}
    parameters = {"assets": [AAA], "sleeptime": "30M"}
    frame = Data(AAA, minutes(0), quote=DOLLAR)
    theirs = run(
        Crossing, LumibotPandasDataBacktesting, tmp_path / "a", START, END, parameters, pandas_data=[frame], **settings
    )
    ours = run(
        Crossing,
        PandasDataBacktesting.using(storage, assets=["AAA"]),
        tmp_path / "b",
        START,
        END,
        parameters,
        **settings,
    )
    assert_same_result(theirs, ours)
    left, right = theirs.strategy, ours.strategy
    assert {"SPY", "^IRX"} <= set(asked)
    assert left.risk_free_rate == right.risk_free_rate > 0
    pd.testing.assert_frame_equal(left._benchmark_returns_df, right._benchmark_returns_df, check_exact=True)
    assert repr(left._analysis) == repr(right._analysis)


def test_a_strategy_run_through_backtest_trades_on_stored_bars(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    result = run(
        Crossing,
        PandasDataBacktesting.using(storage, source="own"),
        tmp_path / "run",
        START,
        START + dt.timedelta(days=5),
        {"assets": [AAA, Asset("BBB")], "sleeptime": "15M"},
    )
    assert (result.trades["status"] == "fill").any()
    assert len(result.inputs) > 50
