"""`data_source.indicators`: the values of the full history at the newest closed bar, and never of a later one."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting
from lumibot.entities import Asset, Data
from lumibot.strategies import Strategy

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics.catalogue import CATALOGUE
from lumibot_duckdb.analytics.computation import engine
from lumibot_duckdb.analytics.errors import IndicatorError, MissingLibraryError
from lumibot_duckdb.backtesting import PandasDataBacktesting
from lumibot_duckdb.comparison.headless import UNATTENDED
from lumibot_duckdb.sources.shared import indicators
from lumibot_duckdb.sources.shared.class_substitution import without_duckdb
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from lumibot_duckdb.windows import bar_ends
from parity.backtests import working_in
from parity.series import NEW_YORK

AAA, BBB = Asset("AAA"), Asset("BBB")
REQUESTS = ["rsi(3)", "ema(4)", "sma(3)", "obv", "pivot_points", "supertrend(3)"]
STEPS = {"minute": ("minute", "5min", "7min", "hour", "2hour", "day", "week"), "day": ("day", "2day", "week", "month")}
START, END = pd.Timestamp("2024-03-07 09:30", tz=NEW_YORK), pd.Timestamp("2024-03-12 16:00", tz=NEW_YORK)


def minutes(days: int = 6, seed: int = 0) -> pd.DataFrame:
    """Return regular sessions with minutes missing, across the change of the clock on 2024-03-10."""
    sessions = pd.bdate_range("2024-03-05", periods=days, tz=NEW_YORK)
    index = pd.DatetimeIndex(
        np.concatenate([pd.date_range(day + pd.Timedelta(hours=9.5), periods=390, freq="min") for day in sessions])
    )
    rng = np.random.default_rng(seed)
    return bars_on(index[rng.uniform(size=len(index)) > 0.2], rng)


def daily(days: int = 120, seed: int = 0) -> pd.DataFrame:
    return bars_on(pd.bdate_range("2023-10-02", periods=days, tz=NEW_YORK), np.random.default_rng(seed))


def bars_on(index: pd.DatetimeIndex, rng: np.random.Generator) -> pd.DataFrame:
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.004, len(index)))), 2)
    table = {"open": np.round(close - 0.1, 2), "high": close + 0.3, "low": close - 0.4, "close": close}
    return pd.DataFrame(table, index=index).assign(volume=rng.integers(0, 900, len(index)).astype(float))


FRAMES = {"minute": minutes(), "day": daily()}


def stored(folder: Path, frames: dict[str, pd.DataFrame], unit: str) -> DuckDBDataStorage:
    storage = DuckDBDataStorage(folder / "indicators.duckdb")
    for symbol, frame in frames.items():
        storage.store_ohlcv_data(symbol, frame, "own", unit)
    return storage


def opened(source_class: Any, end: pd.Timestamp = END, **settings: Any) -> Any:
    span = {"datetime_start": START.to_pydatetime(), "datetime_end": end.to_pydatetime()}
    made = source_class(**span, show_progress_bar=False, **settings)
    made.load_data()
    return made


def on_store(storage: DuckDBDataStorage, unit: str, **settings: Any) -> Any:
    return opened(PandasDataBacktesting.using(storage, source="own", timestep=unit, **settings))


def on_frames(frames: dict[str, pd.DataFrame], unit: str) -> Any:
    data = [Data(Asset(symbol), frame.copy(), timestep=unit) for symbol, frame in frames.items()]
    return opened(PandasDataBacktesting, pandas_data=data)


def at(source: Any, time: Any) -> Any:
    moment = pd.Timestamp(time)
    source._datetime = (moment if moment.tzinfo else moment.tz_localize(NEW_YORK)).to_pydatetime()
    return source


def end_of(start: pd.Timestamp, step: str) -> pd.Timestamp:
    """Return when a bar has closed, by the calendar of New York."""
    if step in ("day", "2day", "week", "month"):
        local = start.tz_localize(None)
        months = {"months": 1} if step == "month" else {"days": {"day": 1, "2day": 2, "week": 7}[step]}
        return (local + pd.DateOffset(**months)).tz_localize(NEW_YORK)
    midnight = (start.normalize().tz_localize(None) + pd.Timedelta(days=1)).tz_localize(NEW_YORK)
    length = pd.Timedelta(step) if step not in ("minute", "hour") else pd.Timedelta(f"1{step}")
    return min(start + length, midnight)


class FullHistory:
    """What `storage.indicators` computes of all bars, and when each of them has closed."""

    def __init__(self, storage: DuckDBDataStorage, step: str) -> None:
        self._values = storage.indicators("AAA", REQUESTS, step)
        self._ends = pd.DatetimeIndex([end_of(start, step) for start in self._values.index])

    def closed_by(self, now: pd.Timestamp) -> pd.DataFrame:
        """Return the bars that have closed."""
        return self._values[self._ends <= now]


def assert_same_values(actual: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(actual, expected, rtol=1e-9, atol=1e-9, check_freq=False)


# -- values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", FRAMES)
def test_values_are_those_of_the_full_history_at_the_newest_closed_bar(unit: str, tmp_path: Path) -> None:
    """Stored bars and frames, at times in and between sessions, in order and not."""
    storage = stored(tmp_path, {"AAA": FRAMES[unit]}, unit)
    sources = on_store(storage, unit), on_frames({"AAA": FRAMES[unit]}, unit)
    times = [START + pd.Timedelta(minutes=step) for step in (0, 1, 5, 61, 390, 391, 1440)]
    times += [END, START + pd.Timedelta(seconds=100), pd.Timestamp("2024-03-10 23:59", tz=NEW_YORK)]
    for step in STEPS[unit]:
        full = FullHistory(storage, step)
        for time in times:
            wanted = full.closed_by(time)
            for source, length in zip(sources, (1, 5), strict=True):
                expected = wanted.tail(length)
                found = at(source, time).indicators("AAA", REQUESTS, step, length)
                expected.index = expected.index.as_unit(found.index.unit)
                assert_same_values(found, expected)


def test_every_indicator_has_the_values_of_the_store(tmp_path: Path) -> None:
    storage = stored(tmp_path, {"AAA": FRAMES["minute"]}, "minute")
    source = at(on_store(storage, "minute"), END)
    found = source.indicators(AAA, list(CATALOGUE), "minute", 50)
    assert_same_values(found, storage.indicators("AAA", list(CATALOGUE), "minute", end=END).tail(50))
    assert found.notna().any(axis=None)


def test_the_newest_minute_is_that_of_get_historical_prices(tmp_path: Path) -> None:
    frame = FRAMES["minute"]
    source = on_store(stored(tmp_path, {"AAA": frame}, "minute"), "minute")
    compared = 0
    for time in pd.date_range(START + pd.Timedelta(minutes=1), periods=200, freq="min"):
        shown = at(source, time).get_historical_prices(AAA, 1, "minute").df.index[-1]
        newest = source.indicators(AAA, "sma(3)", "minute").index[-1]
        assert newest == frame.index[frame.index <= shown][-1]
        compared += newest == shown
    assert 100 < compared < 200  # Lumibot fills the others


def test_several_assets_are_one_long_frame(tmp_path: Path) -> None:
    frames = {"AAA": FRAMES["day"], "BBB": daily(60, 1)}
    storage = stored(tmp_path, frames, "day")
    source = at(on_store(storage, "day"), START)
    found = source.indicators(["BBB", AAA], ["rsi(3)", "macd"], length=2)
    expected = storage.indicators(["BBB", "AAA"], ["rsi(3)", "macd"], end="2024-03-07")
    assert_same_values(found, expected.groupby("asset_symbol", sort=False).tail(2).reset_index(drop=True))
    assert source.indicators([], "rsi").columns.tolist() == ["asset_symbol", "timestamp", "close", "rsi_14"]


@pytest.mark.parametrize("pair", ["BTC/USD", ("BTC", "USD"), (Asset("BTC", "crypto"), "USD")])
def test_a_pair_may_be_named_in_every_way(pair: Any, tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path)
    storage.store_ohlcv_data(("BTC", "USD"), FRAMES["day"], "own", "day")
    source = at(on_store(storage, "day"), START)
    base, dollar = Asset("BTC", "crypto"), Asset("USD", "forex")
    expected = source.indicators((base, dollar), "sma(3)")
    assert len(expected) == 1
    assert_same_values(source.indicators(pair, "sma(3)"), expected)
    assert_same_values(source.indicators(base, "sma(3)", quote=dollar), expected)
    assert source.indicators(iter([pair]), "sma(3)")["asset_symbol"].tolist() == ["BTC/USD"]


def test_the_frame_belongs_to_the_caller(tmp_path: Path) -> None:
    source = at(on_store(stored(tmp_path, {"AAA": FRAMES["day"]}, "day"), "day"), START)
    first = source.indicators(AAA, "sma(3)", length=3)
    before = first.copy()
    first.loc[:] = 0.0
    assert_same_values(source.indicators(AAA, "sma(3)", length=3), before)


def test_before_the_first_closed_bar_there_is_no_row(tmp_path: Path) -> None:
    frame = FRAMES["minute"][FRAMES["minute"].index >= "2024-03-08"]
    source = on_store(stored(tmp_path, {"AAA": frame}, "minute"), "minute")
    for time in (START, frame.index[0]):
        for step in ("minute", "hour", "day"):
            found = at(source, time).indicators(AAA, "bollinger", step)
            assert found.empty
            assert found.columns.tolist()[:2] == ["close", "bollinger_20_2_lower"]
    assert len(at(source, frame.index[0] + pd.Timedelta(minutes=1)).indicators(AAA, "rsi", "minute")) == 1


def test_bars_of_several_minutes_close_when_they_are_over(tmp_path: Path) -> None:
    """Frames of five minutes, which Lumibot calls minutes, and the same bars in the store."""
    index = pd.date_range("2024-03-07 08:00", periods=60, freq="5min", tz=NEW_YORK)
    frame = bars_on(index, np.random.default_rng(0))
    passed, kept = on_frames({"AAA": frame}, "minute"), on_store(stored(tmp_path, {"AAA": frame}, "5min"), "5min")
    for minute in range(12):
        now = START + pd.Timedelta(minutes=minute)
        newest = index[index + pd.Timedelta(minutes=5) <= now][-1]
        assert at(passed, now).indicators(AAA, "sma(3)", "minute").index[-1] == newest
        assert at(kept, now).indicators(AAA, "sma(3)", "5min").index[-1] == newest
    with pytest.raises(IndicatorError, match="bars of 'minute' cannot be made of these; pass timestep='5minute'"):
        kept.indicators(AAA, "sma(3)", "minute")


def test_without_ta_lib_the_values_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = at(on_store(stored(tmp_path, {"AAA": FRAMES["day"]}, "day"), "day"), START)
    expected = [source.indicators(AAA, ["rsi(3)", "macd"], step, 9) for step in ("day", "week")]
    source.release_indicators()
    monkeypatch.setattr(engine, "ta_lib", lambda: None)
    for step, values in zip(("day", "week"), expected, strict=True):
        assert_same_values(source.indicators(AAA, ["rsi(3)", "macd"], step, 9), values)
    with pytest.raises(MissingLibraryError, match="kama needs TA-Lib"):
        source.indicators(AAA, "kama")


# -- no look-ahead --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", FRAMES)
@given(data=st.data())
@examples(12)
def test_bars_after_the_clock_change_no_value(unit: str, data: st.DataObject) -> None:
    """A source whose later bars differ, or do not exist, returns the same bits."""
    frame = FRAMES[unit]
    minute = data.draw(st.integers(0, int((END - START).total_seconds()) // 60), "minute")
    now = START + pd.Timedelta(minutes=minute)
    step = data.draw(st.sampled_from(STEPS[unit]), "step")
    requests = data.draw(st.lists(st.sampled_from(sorted(CATALOGUE)), min_size=1, max_size=4), "indicators")
    is_open = np.array([end_of(start, unit) > now for start in frame.index])
    changed = frame.copy()
    changed.loc[is_open] *= data.draw(st.sampled_from([0.01, 0.9, 1.1, 50.0]), "factor")
    expected = at(on_frames({"AAA": frame}, unit), now).indicators(AAA, requests, step, 3)
    assert_same_values(at(on_frames({"AAA": changed}, unit), now).indicators(AAA, requests, step, 3), expected)
    if (frame.index[~is_open] >= START).any():
        without = on_frames({"AAA": frame[~is_open], "BBB": frame}, unit)
        assert_same_values(at(without, now).indicators(AAA, requests, step, 3), expected)


class Watching(Strategy):
    """Notes the indicators of each iteration."""

    def initialize(self) -> None:
        self.sleeptime = self.parameters["sleeptime"]
        self.set_market("NYSE")
        self.seen: list[Any] = []

    def on_trading_iteration(self) -> None:
        source = self.broker.data_source
        for step in self.parameters["steps"]:
            self.seen.append((pd.Timestamp(self.get_datetime()), step, source.indicators(AAA, REQUESTS, step)))


@pytest.mark.parametrize(
    ("unit", "sleeptime", "steps"), [("minute", "57M", ("minute", "5min", "day")), ("day", "1D", ("day", "week"))]
)
def test_a_whole_backtest(unit: str, sleeptime: str, steps: tuple[str, ...], tmp_path: Path) -> None:
    storage = stored(tmp_path, {"AAA": FRAMES[unit]}, unit)
    source = PandasDataBacktesting.using(storage, source="own", timestep=unit)
    parameters = {"sleeptime": sleeptime, "steps": steps}
    with working_in(tmp_path / "run"):
        _, strategy = Watching.run_backtest(
            source, START.to_pydatetime(), END.to_pydatetime(), parameters=parameters, **UNATTENDED
        )
    assert len(strategy.seen) >= 2 * 3
    for step in steps:
        full = FullHistory(storage, step)
        for time, _, found in (each for each in strategy.seen if each[1] == step):
            assert_same_values(found, full.closed_by(time).tail(1))


def test_what_another_process_restates_does_not_matter(tmp_path: Path) -> None:
    storage = stored(tmp_path, {"AAA": FRAMES["minute"]}, "minute")
    source = at(on_store(storage, "minute"), START)
    full = FullHistory(storage, "minute")
    assert_same_values(source.indicators(AAA, REQUESTS, "minute"), full.closed_by(START).tail(1))
    with DuckDBDataStorage(tmp_path / "indicators.duckdb") as other:
        other.store_ohlcv_data("AAA", FRAMES["minute"] * 2, "own", "minute", replace=True)
    for time in (START + pd.Timedelta(minutes=5), END):
        found = at(source, time).indicators(AAA, REQUESTS, "minute")
        assert_same_values(found, full.closed_by(time).tail(1))
    assert at(on_store(storage, "minute"), END).indicators(AAA, "sma(3)", "minute")["close"].iloc[0] == pytest.approx(
        2 * found["close"].iloc[0]
    )


# -- what is read ---------------------------------------------------------------------------------------------


def test_a_backtest_reads_about_as_many_bars_as_it_passes(tmp_path: Path) -> None:
    index = pd.date_range("2024-02-02", "2024-03-20", freq="min", tz=NEW_YORK)
    storage = stored(tmp_path, {"AAA": bars_on(index, np.random.default_rng(0))}, "minute")
    source = on_store(storage, "minute")
    at(source, START).get_last_price(AAA)
    before = source.telemetry.rows_read
    for time in pd.date_range(START, periods=300, freq="min"):
        at(source, time).indicators(AAA, ["rsi(14)", "sma(20)"], "minute")
    assert source.telemetry.rows_read - before < 12_000 < len(index)


@pytest.mark.parametrize("module", [indicators, bar_ends])
def test_the_examples_of_docstrings(module: Any) -> None:
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted
    assert not found.failed


# -- mistakes -------------------------------------------------------------------------------------------------


def test_mistakes_are_named(tmp_path: Path) -> None:
    storage = stored(tmp_path, {"AAA": FRAMES["day"]}, "day")
    source = at(on_store(storage, "day"), START)
    with pytest.raises(IndicatorError, match="there is no indicator 'rsj'; did you mean rsi"):
        source.indicators(AAA, "rsj(14)")
    with pytest.raises(SeriesNotFoundError, match="no bars of AAA, or none that bars of 'minute' can be made of"):
        source.indicators(AAA, "rsi", "minute")
    with pytest.raises(SeriesNotFoundError, match=r"no bars of AAA/BBB, .* several assets are a list"):
        source.indicators(("AAA", "BBB"), "rsi")
    with pytest.raises(IndicatorError, match="'14' is not an indicator"):
        source.indicators(AAA, [14])
    with pytest.raises(IndicatorError, match=r"'sma': 3. is no list of names with their parameters"):
        source.indicators(AAA, {"sma": 3})
    with pytest.raises(SeriesNotFoundError, match="no bars of CCC, or none that bars of 'day'"):
        source.indicators("CCC", "rsi")
    with pytest.raises(ValueError, match="length must be a whole number of bars from 1 on, not 0"):
        source.indicators(AAA, "rsi", length=0)
    with pytest.raises(ValueError, match="'fortnight' is not a timeframe"):
        source.indicators(AAA, "rsi", "fortnight")


@pytest.mark.parametrize("asset", ["OKK", Asset("OKK"), (Asset("OKK"), Asset("USD", "forex")), ["OK", "OKK"]])
def test_a_misspelled_symbol_is_answered_with_a_similar_one(asset: Any, tmp_path: Path) -> None:
    frames = {"OK": FRAMES["day"], "BBB": FRAMES["day"]}
    storage = stored(tmp_path, frames | {"OKKK": FRAMES["day"]}, "day")
    for source in (on_store(storage, "day", assets=["OK", "BBB"]), on_frames(frames, "day")):
        with pytest.raises(SeriesNotFoundError, match=r"no bars of OKK.*; did you mean OK\?$"):
            at(source, "2024-03-08 12:00").indicators(asset, "sma(3)")
        with pytest.raises(SeriesNotFoundError) as unlike:
            source.indicators("XYZ", "sma(3)")
        assert "did you mean" not in str(unlike.value)


def test_a_data_that_is_left_to_lumibot_is_named() -> None:
    class Special(Data):
        """A class of the script's own."""

    source = opened(PandasDataBacktesting, pandas_data=[Special(AAA, FRAMES["day"].copy(), timestep="day")])
    with pytest.raises(IndicatorError, match="AAA: its bars are left to Lumibot's own Data"):
        at(source, START).indicators(AAA, "rsi")


def test_without_duckdb_the_error_says_what_to_do() -> None:
    plain = without_duckdb(PandasDataBacktesting)
    assert issubclass(plain, LumibotPandasDataBacktesting)
    data = [Data(AAA, FRAMES["day"].copy(), timestep="day")]
    with pytest.raises(IndicatorError, match="needs DuckDB, which is switched off"):
        opened(plain, pandas_data=data).indicators(AAA, "rsi")
