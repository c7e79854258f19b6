"""`PandasDataBacktesting(pandas_data=...)`: whatever a script passes, it gets what Lumibot gives it."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting
from lumibot.entities import Asset, Data

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import PandasDataBacktesting
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.windows.adopted_data import AdoptedData, reason_to_leave
from parity.harness import DAY_STEPS, MINUTE_STEPS, ask, assert_same_answer, assert_same_frame, random_requests
from parity.series import AROUND_THE_CLOCK, BUSINESS_DAYS, DOLLAR, NEW_YORK, SESSIONS, walk

AAA, BBB, BTC = Asset("AAA"), Asset("BBB"), Asset("BTC", "crypto")
MINUTES, DAYS = walk(1, SESSIONS, missing=0.1), walk(2, BUSINESS_DAYS)
COINS = walk(3, AROUND_THE_CLOCK, missing=0.02, volume="float64")
MINUTES_SPAN = (SESSIONS[200], SESSIONS[-100])
DAYS_SPAN = (BUSINESS_DAYS[100], BUSINESS_DAYS[-5])


def source(source_class: Any, span: tuple[pd.Timestamp, pd.Timestamp], passed: Any) -> Any:
    start, end = (each.to_pydatetime() for each in span)
    made = source_class(datetime_start=start, datetime_end=end, pandas_data=passed, show_progress_bar=False)
    made.load_data()
    return made


def both(make: Callable[[], Any], span: tuple[pd.Timestamp, pd.Timestamp]) -> tuple[Any, Any]:
    """Return Lumibot's source and ours, each with data of its own."""
    return source(LumibotPandasDataBacktesting, span, make()), source(PandasDataBacktesting, span, make())


def assert_same(theirs: Any, ours: Any, *, seed: int = 1, count: int = 80) -> None:
    pd.testing.assert_index_equal(theirs._date_index, ours._date_index, exact=True)
    assert theirs._date_index.freq == ours._date_index.freq
    assert list(theirs._data_store) == list(ours._data_store)
    steps = DAY_STEPS if theirs._timestep == "day" else MINUTE_STEPS
    assets = [(asset, quote) for key in theirs._data_store for asset, quote in ((key[0], None), key)]
    for request in random_requests(random.Random(seed), assets, theirs._date_index, count, steps):
        assert_same_answer(request, ask(theirs, request), ask(ours, request))
    assert_same_data(theirs, ours)


def assert_same_data(theirs: Any, ours: Any) -> None:
    for expected, actual in zip(theirs._data_store.values(), ours._data_store.values(), strict=True):
        if isinstance(actual, AdoptedData):
            assert_same_frame(expected.df, actual.whole_frame(), str(actual.asset))
        assert set(expected.datalines) == set(actual.datalines)
        for name in ("date_start", "date_end", "datetime_start", "datetime_end", "trading_hours_start", "quote"):
            assert getattr(expected, name) == getattr(actual, name), name


def adopted(ours: Any) -> list[bool]:
    return [isinstance(data, AdoptedData) for data in ours._data_store.values()]


# -- the ways to pass bars ------------------------------------------------------------------------------------------

NAIVE = MINUTES.tz_localize(None)
WITH_FREQUENCY = DAYS.asfreq("B")


def _list() -> Any:
    return [Data(AAA, MINUTES.copy()), Data(BTC, COINS.copy(), quote=DOLLAR)]


def _by_asset() -> Any:
    return {AAA: Data(AAA, MINUTES.copy()), BBB: Data(BBB, walk(4, SESSIONS, missing=0.5), quote=DOLLAR)}


def _by_pair() -> Any:
    pair = (BTC, Asset("USDT", "crypto"))
    return {pair: Data(BTC, COINS.copy(), quote=pair[1]), (AAA, DOLLAR): Data(AAA, MINUTES.copy())}


def _minutes_and_days() -> Any:
    return [Data(AAA, MINUTES.copy()), Data(BBB, DAYS.copy(), timestep="day")]


def _days_and_minutes() -> Any:
    return [Data(BBB, DAYS.copy(), timestep="day"), Data(AAA, MINUTES.copy())]


def _hours() -> Any:
    hours = pd.date_range("2024-03-05", "2024-03-15", freq="1h", tz=NEW_YORK)
    return [Data(AAA, walk(5, hours, missing=0.2), timestep="hour")]


def _hours_of_trading() -> Any:
    morning = {"trading_hours_start": dt.time(9, 45), "trading_hours_end": dt.time(11, 30)}
    return [Data(AAA, MINUTES.copy(), **morning), Data(BBB, walk(6, SESSIONS))]


def _dates() -> Any:
    dates = {"date_start": dt.datetime(2024, 3, 8), "date_end": dt.datetime(2024, 3, 12)}
    return [Data(AAA, MINUTES.copy(), **dates), Data(BTC, COINS.copy(), quote=DOLLAR, **dates)]


def _until_midnight() -> Any:
    late = pd.date_range("2024-03-07 23:50:20", "2024-03-13 00:10:00", freq="20s", tz=NEW_YORK)
    return [Data(AAA, walk(7, late), trading_hours_end=dt.time(23, 59, 59))]


def _without_zone() -> Any:
    return [Data(AAA, NAIVE.copy()), Data(BBB, NAIVE.copy(), timezone="America/Chicago")]


def _in_utc() -> Any:
    return [Data(AAA, MINUTES.tz_convert("UTC").sample(frac=1, random_state=1))]


def _from_csv(**columns: str) -> Any:
    frame = NAIVE.rename(columns={name: name.title() for name in NAIVE}).reset_index(names="Date")
    return [Data(AAA, frame.assign(**columns))]


def _texts() -> Any:
    return _from_csv(Ticker="AAA")


def _quotes() -> Any:
    frame = MINUTES.assign(bid=MINUTES["close"] - 0.01, ask=MINUTES["close"] + 0.01)
    frame.loc[frame.index[::3], ["bid", "ask"]] = np.nan
    return [Data(AAA, frame)]


def _options() -> Any:
    expiry = dt.date(2024, 3, 15)
    calls = [Asset("AAA", "option", expiration=expiry, strike=strike, right="CALL") for strike in (99.0, 101.5)]
    return [Data(AAA, MINUTES.copy()), *(Data(call, walk(8, SESSIONS, missing=0.6)) for call in calls)]


def _without_volume() -> Any:
    return [Data(AAA, MINUTES.drop(columns="volume")), Data(BBB, MINUTES.astype("float32"))]


WITH_MINUTES = [
    _list,
    _by_asset,
    _by_pair,
    _minutes_and_days,
    _hours,
    _hours_of_trading,
    _dates,
    _until_midnight,
    _without_zone,
    _in_utc,
    _from_csv,
    _texts,
    _quotes,
    _options,
    _without_volume,
]


@pytest.mark.parametrize("make", WITH_MINUTES)
def test_minutes_and_hours_in_every_form(make: Callable[[], Any]) -> None:
    theirs, ours = both(make, MINUTES_SPAN)
    assert all(adopted(ours))
    assert_same(theirs, ours)


@pytest.mark.parametrize("frame", [DAYS, WITH_FREQUENCY, DAYS.tz_localize(None), DAYS.tz_convert("UTC")])
def test_days_in_every_form(frame: pd.DataFrame) -> None:
    theirs, ours = both(lambda: {AAA: Data(AAA, frame.copy(), timestep="day")}, DAYS_SPAN)
    assert all(adopted(ours))
    assert_same(theirs, ours)


def test_days_before_minutes_decide_the_clock() -> None:
    theirs, ours = both(_days_and_minutes, MINUTES_SPAN)
    assert_same(theirs, ours)


# -- frames of any shape --------------------------------------------------------------------------------------------

PRICES = ["open", "high", "low", "close"]


@st.composite
def frames(draw: st.DrawFn) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a frame and further arguments of `Data`."""
    timestep = draw(st.sampled_from(["minute", "hour", "day"]))
    times = {"minute": SESSIONS[:900], "hour": AROUND_THE_CLOCK[::60], "day": BUSINESS_DAYS[-200:]}[timestep]
    seed = draw(st.integers(0, 1_000))
    frame = walk(seed, times, missing=draw(st.sampled_from([0.0, 0.3, 0.9])), volume=draw(st.sampled_from(VOLUMES)))
    rng = np.random.default_rng(seed)
    for column in draw(st.sets(st.sampled_from(["close", "open", "volume"]))):
        if column in frame:
            frame[column] = frame[column].astype("float64").mask(rng.random(len(frame)) < 0.2)
    for column, values in draw(st.sets(st.sampled_from(list(EXTRA.items())))):
        frame[column] = values(rng, len(frame))
    if draw(st.booleans()):
        frame[PRICES] = frame[PRICES].astype("float32")
    frame.index = draw(st.sampled_from(INDEXES))(frame.index)
    arguments: dict[str, Any] = {"timestep": timestep, "quote": draw(st.sampled_from([None, DOLLAR]))}
    if draw(st.booleans()):
        arguments["trading_hours_start"] = dt.time(draw(st.integers(0, 12)))
    if draw(st.booleans()):
        arguments["date_start"] = times[len(times) // 3].to_pydatetime()
    return frame, arguments


VOLUMES: list[str | None] = ["int64", "float64", None]
EXTRA: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "dividend": lambda rng, size: np.where(rng.random(size) < 0.05, 0.25, 0.0),
    "stock_splits": lambda rng, size: np.where(rng.random(size) < 0.02, 2.0, np.nan),
    "bid": lambda rng, size: np.where(rng.random(size) < 0.5, 99.0, np.nan),
    "signal": lambda rng, size: np.where(rng.random(size) < 0.1, 1.0, np.nan),
    "symbol": lambda rng, size: ["AAA"] * size,
    "return": lambda rng, size: rng.random(size),
    "last_bid_time": lambda rng, size: pd.date_range("2024-01-01", periods=size, tz="UTC"),
}
INDEXES: list[Callable[[pd.DatetimeIndex], pd.DatetimeIndex]] = [
    lambda index: index,
    lambda index: index.as_unit("us"),
    lambda index: index.as_unit("s").tz_convert("UTC"),
    lambda index: index.tz_localize(None),
]


@examples(40)
@given(st.lists(frames(), min_size=1, max_size=3), st.integers(0, 1_000))
def test_frames_of_any_shape(made: list[tuple[pd.DataFrame, dict[str, Any]]], seed: int) -> None:
    def data() -> list[Data]:
        return [Data(Asset(f"A{number}"), frame.copy(), **arguments) for number, (frame, arguments) in enumerate(made)]

    passed = data()
    first, last = min(each.datetime_start for each in passed), max(each.datetime_end for each in passed)
    span = (pd.Timestamp(first), pd.Timestamp(last))
    theirs, ours = both(data, span)
    assert_same(theirs, ours, seed=seed, count=25)


# -- what a script does with its objects ------------------------------------------------------------------------------


def test_a_data_object_stays_the_same_object_without_a_copy_of_its_frame() -> None:
    data = Data(AAA, MINUTES.copy())
    frame = data.df
    ours = source(PandasDataBacktesting, MINUTES_SPAN, [data])
    assert ours.pandas_data[AAA, DOLLAR] is data
    assert type(data) is AdoptedData
    assert data._frame_view.whole is frame
    facts = data._frame_view.facts
    assert facts.first is not None
    assert facts.last is not None
    read = data._frame_view.bars(TimeRange(facts.first, facts.last)).columns
    assert set(read) == set(frame.columns)
    assert all(np.shares_memory(values, frame[name].to_numpy()) for name, values in read.items())


def _whole_frame(data: Any) -> Any:
    return data.df


def _column(data: Any) -> Any:
    data.df["mark"] = 1.5
    return data.df


def _price(data: Any) -> Any:
    data.df.loc[data.df.index[300:400], "close"] = 1.0
    return data.df


def _other_frame(data: Any) -> Any:
    data.df = data.df.iloc[:-50].copy()
    data.repair_times_and_fill(data.df.index)
    return data.df


def _copied(data: Any) -> Any:
    return copy.deepcopy(data).df


def _pickled(data: Any) -> Any:
    return pickle.loads(pickle.dumps(data)).df


@pytest.mark.parametrize("use", [_whole_frame, _column, _price, _other_frame, _copied, _pickled])
def test_a_script_may_do_with_its_data_what_it_does_on_lumibot(use: Callable[[Any], Any]) -> None:
    theirs, ours = both(_by_asset, MINUTES_SPAN)
    when = MINUTES_SPAN[0] + pd.Timedelta(days=3, hours=2)
    for each in (theirs, ours):
        each._datetime = when.to_pydatetime()
        each.get_historical_prices(AAA, 30, "minute")
    expected, actual = use(theirs._data_store[AAA, DOLLAR]), use(ours._data_store[AAA, DOLLAR])
    assert_same_frame(expected, actual, use.__name__)
    assert type(ours._data_store[AAA, DOLLAR]) is Data
    assert_same(theirs, ours)


def test_bars_may_be_added_and_replaced_before_the_backtest() -> None:
    sources = []
    for kind in (LumibotPandasDataBacktesting, PandasDataBacktesting):
        data = Data(AAA, MINUTES.copy())
        data.df = data.df.assign(close=data.df["close"] + 1)
        each = kind(
            datetime_start=MINUTES_SPAN[0].to_pydatetime(),
            datetime_end=MINUTES_SPAN[1].to_pydatetime(),
            pandas_data=[data],
            show_progress_bar=False,
        )
        each.pandas_data[BBB, DOLLAR] = Data(BBB, walk(4, SESSIONS))
        each.load_data()
        sources.append(each)
    assert adopted(sources[1]) == [True, True]
    assert_same(*sources)


@pytest.mark.parametrize("reading", [True, False])
def test_another_backtest_with_the_same_objects_begins_where_lumibots_does(reading: bool) -> None:
    """Lumibot leaves the filled rows of the first backtest in them, up to its end."""
    passed = _by_asset(), _by_asset()
    kinds = LumibotPandasDataBacktesting, PandasDataBacktesting
    first = (SESSIONS[500], SESSIONS[900])
    for span in (first, MINUTES_SPAN, first):
        theirs, ours = (source(kind, span, each) for kind, each in zip(kinds, passed, strict=True))
        assert_same(theirs, ours, count=30)
        if reading:
            assert_same_frame(passed[0][AAA].df, passed[1][AAA].df, "after a backtest")


def test_a_backtest_on_lumibots_class_with_the_same_objects_begins_there_too() -> None:
    passed = _by_asset(), _by_asset()
    first = (SESSIONS[500], SESSIONS[900])
    source(LumibotPandasDataBacktesting, first, passed[0])
    source(PandasDataBacktesting, first, passed[1])
    theirs, after_ours = (source(LumibotPandasDataBacktesting, MINUTES_SPAN, each) for each in passed)
    assert_same(theirs, after_ours, count=30)
    assert type(passed[1][AAA]) is Data


def test_loading_twice_gives_what_it_gives_on_lumibot() -> None:
    theirs, ours = both(_by_asset, MINUTES_SPAN)
    for each in (theirs, ours):
        each.load_data()
    assert_same(theirs, ours)


# -- what is left to Lumibot ----------------------------------------------------------------------------------------


class AskingData(Data):
    """A subclass with a price of its own."""

    def get_last_price(self, dt: Any, length: int = 1, timeshift: int = 0) -> float:
        return 17.0


def _subclass(asset: Asset = AAA) -> Data:
    return AskingData(asset, MINUTES.copy())


def _attribute() -> Data:
    data = Data(AAA, MINUTES.copy())
    data.strict_end_check = True
    return data


def _used() -> Data:
    data = Data(AAA, MINUTES.copy())
    data.get_last_price(MINUTES_SPAN[0].to_pydatetime())
    return data


def _twice() -> Data:
    return Data(AAA, pd.concat([MINUTES, MINUTES.iloc[5:9] + 1]))


def _within_a_second() -> Data:
    return Data(AAA, MINUTES.set_axis(MINUTES.index + pd.Timedelta(milliseconds=250)))


def _no_close() -> Data:
    return Data(AAA, MINUTES.drop(columns="open"))


def _mixed_prices() -> Data:
    frame = MINUTES.astype({"open": "float32"})
    frame.loc[frame.index[10:40], "open"] = np.nan
    return Data(AAA, frame)


def _timestep() -> Data:
    return Data(AAA, MINUTES.assign(timestep=1.0))


def _unsorted() -> Data:
    data = Data(AAA, MINUTES.copy())
    data.df = pd.concat([data.df.iloc[100:200], data.df.iloc[:100], data.df.iloc[200:]])
    return data


LEFT: dict[Callable[[], Data], str] = {
    _timestep: "its column timestep has the name of an attribute",
    _subclass: "it is of the class AskingData",
    _attribute: "it was used before, or has attributes of its own",
    _used: "it was used before, or has attributes of its own",
    _twice: "a time occurs twice",
    _within_a_second: "a bar starts within a second",
    _no_close: "it has no column open",
    _mixed_prices: "prices are missing from open",
}


def test_times_that_are_not_sorted_are_left_to_lumibot_which_rejects_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lumibot_duckdb.sources.own_bars.source.log_line", lambda _: None)
    for kind in (LumibotPandasDataBacktesting, PandasDataBacktesting):
        with pytest.raises(ValueError, match="monotonic"):
            source(kind, MINUTES_SPAN, [_unsorted()])


def test_times_of_another_zone_are_left_to_lumibot() -> None:
    data = Data(AAA, MINUTES.copy())
    data.df = data.df.tz_convert("UTC")
    assert reason_to_leave(data) == "its times are not those of America/New_York"


@pytest.mark.parametrize("make", LEFT)
def test_unusual_data_is_left_to_lumibot_with_one_message(
    make: Callable[[], Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    monkeypatch.setattr("lumibot_duckdb.sources.own_bars.source.log_line", messages.append)
    theirs, ours = both(lambda: [make(), Data(BBB, walk(4, SESSIONS))], MINUTES_SPAN)
    assert len(messages) == 1
    assert messages[0].startswith(f"DuckDB: left to Lumibot's own Data: AAA ({LEFT[make]}")
    assert "BBB" not in messages[0]
    assert adopted(ours) == [False, True]
    assert_same(theirs, ours)


def test_nothing_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(tmp_path / "store.duckdb"))
    ours = source(PandasDataBacktesting, MINUTES_SPAN, _by_asset())
    ours.get_historical_prices(AAA, 30, "5min")
    ours.shutdown()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("times", [1, 2])
def test_frames_are_stored_if_that_is_requested(times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(tmp_path / "store.duckdb"))
    monkeypatch.setenv("LUMIBOT_DUCKDB_STORE_FRAMES", "Mine")
    messages: list[str] = []
    monkeypatch.setattr("lumibot_duckdb.sources.own_bars.storing.log_line", messages.append)
    for _ in range(times):
        source(PandasDataBacktesting, MINUTES_SPAN, [*_by_asset().values(), _subclass(Asset("CCC"))]).shutdown()
    storage = DuckDBDataStorage(tmp_path / "store.duckdb")
    assert [info.key.label() for info in storage.list_series()] == [
        "AAA stock, minute bars from mine",
        "BBB stock, minute bars from mine",
    ]
    stored = storage.read_pandas(storage.pin(BBB, timeframe="minute", source="mine"))
    assert_same_frame(Data(BBB, walk(4, SESSIONS, missing=0.5)).df, stored, "stored")
    assert messages == []


def test_bars_that_cannot_be_stored_are_named_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(tmp_path / "store.duckdb"))
    monkeypatch.setenv("LUMIBOT_DUCKDB_STORE_FRAMES", "mine")
    messages: list[str] = []
    monkeypatch.setattr("lumibot_duckdb.sources.own_bars.storing.log_line", messages.append)
    lists = MINUTES.assign(levels=[[1.0]] * len(MINUTES))
    ours = source(PandasDataBacktesting, MINUTES_SPAN, [Data(AAA, lists)])
    assert adopted(ours) == [True]
    assert len(messages) == 1
    assert messages[0].startswith("DuckDB: the bars of AAA are not stored: ")


def test_a_source_to_store_under_is_one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_STORE_FRAMES", "my bars")
    with pytest.raises(ValueError, match="LUMIBOT_DUCKDB_STORE_FRAMES: 'my bars' cannot name a source"):
        source(PandasDataBacktesting, MINUTES_SPAN, _by_asset())
