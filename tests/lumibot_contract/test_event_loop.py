"""Cheaper steps of Lumibot's event loop: the same results as its own."""

from __future__ import annotations

import copy
import sys
from datetime import datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import pytz
from hypothesis import given
from hypothesis import strategies as st
from lumibot._lazy_imports import LazyLogger, LazyModule, lazy_class
from lumibot.backtesting.backtesting_broker import BacktestingBroker
from lumibot.data_sources import DataSource
from lumibot.entities import Asset
from lumibot.strategies import strategy_executor

from hypothesis_settings import examples
from lumibot_duckdb.lumibot_contract import event_loop_hooks

NEW_YORK = pytz.timezone("America/New_York")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a module that counts as one of Lumibot's."""
    made = ModuleType("lumibot.a_module_for_this_test")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def test_names_are_bound_to_what_is_imported(module: ModuleType) -> None:
    used = LazyLogger("used")
    logger = used._load()
    names = {
        "pd": LazyModule("pandas"),
        "Asset": lazy_class("lumibot.entities.asset", "Asset"),
        "logger": used,
        "later": LazyModule("a_library_that_is_not_imported"),
        "Later": lazy_class("lumibot.not_imported", "Later"),
        "quiet": LazyLogger("quiet"),
        "ours": lazy_class("lumibot_duckdb.clock", "datetime"),
        "other": 7,
    }
    vars(module).update(names)
    event_loop_hooks.bind_loaded_names()
    from lumibot.entities.asset import Asset

    found = vars(module)
    assert found["pd"] is pd
    assert found["Asset"] is Asset
    assert found["logger"] is logger
    assert all(found[name] is names[name] for name in ("later", "Later", "quiet", "ours", "other"))


def test_a_module_that_decides_what_others_see_stays_behind_its_proxy(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deciding(ModuleType):
        pass

    monkeypatch.setitem(sys.modules, "deciding", Deciding("deciding"))
    proxy = LazyModule("deciding")
    vars(module)["deciding"] = proxy
    event_loop_hooks.bind_loaded_names()
    assert vars(module)["deciding"] is proxy


def test_lumibots_loop_is_changed_once() -> None:
    event_loop_hooks.make_steps_cheaper()
    changed = (BacktestingBroker.initialize_market_calendars, DataSource._stock_split_cache_from_frame)
    event_loop_hooks.make_steps_cheaper()
    assert changed == (BacktestingBroker.initialize_market_calendars, DataSource._stock_split_cache_from_frame)
    with pytest.raises(strategy_executor.Empty):
        strategy_executor.Queue().get_nowait()
    assert vars(sys.modules["lumibot.backtesting.backtesting_broker"])["pd"] is pd


def test_names_are_looked_for_again_once_more_is_imported(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    event_loop_hooks.make_steps_cheaper()
    vars(module)["later"] = LazyModule("imported_later")
    event_loop_hooks.make_steps_cheaper()
    monkeypatch.setitem(sys.modules, "imported_later", ModuleType("imported_later"))
    event_loop_hooks.make_steps_cheaper()
    assert vars(module)["later"] is sys.modules["imported_later"]


# -- the broker's times ------------------------------------------------------------------------------------------


class _Source:
    """A data source of which only the clock is read."""

    def __init__(self, start: datetime) -> None:
        self.datetime_start = self.datetime_end = self.now = start

    def get_datetime(self) -> datetime:
        return self.now


def _brokers(days: pd.DatetimeIndex, minutes: int, nanoseconds: int = 0) -> tuple[Any, Any]:
    """Return a broker that Lumibot set up, and one that was changed."""
    event_loop_hooks.make_steps_cheaper()
    opens, later = days + pd.Timedelta("9h30min"), pd.Timedelta(60 * minutes, "s") + pd.Timedelta(nanoseconds, "ns")
    frame = pd.DataFrame({"market_open": opens, "market_close": opens + later})
    found = []
    changed = BacktestingBroker.initialize_market_calendars
    for initialize in (changed.__wrapped__, changed):
        broker = object.__new__(BacktestingBroker)
        broker.data_source = _Source(opens[0].to_pydatetime())
        broker._end_of_trading_days_reached = False
        broker.option_source = None
        initialize(broker, frame)
        found.append(broker)
    return found[0], found[1]


def _seconds(broker: Any, now: datetime) -> list[Any]:
    broker.data_source.now = now
    return [broker.get_time_to_open(), broker.get_time_to_close(), broker._contiguous_session_time(now, 3)]


@examples(40)
@given(
    minutes=st.sampled_from([1, 390, 24 * 60 - 570, 24 * 60]),
    offset=st.integers(-2 * 86_400, 16 * 86_400),
    microseconds=st.sampled_from([0, 0, 1, 999_999]),
    zone=st.sampled_from(["America/New_York", "UTC", "Asia/Tokyo"]),
)
def test_times_to_open_and_close_are_lumibots(minutes: int, offset: int, microseconds: int, zone: str) -> None:
    days = pd.date_range("2021-03-08", periods=10, freq="B").tz_localize(NEW_YORK)  # the clocks change on the 14th
    theirs, ours = _brokers(days, minutes)
    assert type(ours._trading_close_datetimes[0]) is type(ours._trading_market_open_values[0]) is datetime
    now = (datetime(2021, 3, 8, 5, tzinfo=pytz.utc) + timedelta(seconds=offset, microseconds=microseconds)).astimezone(
        pytz.timezone(zone)
    )
    expected, found = _seconds(theirs, now), _seconds(ours, now)
    assert found == expected
    assert [type(each) for each in found] == [type(each) for each in expected]


@pytest.mark.parametrize("zone", [ZoneInfo("America/New_York"), None])
def test_times_stay_timestamps_where_a_difference_could_change(zone: ZoneInfo | None) -> None:
    _, broker = _brokers(pd.date_range("2021-03-08", periods=10, freq="B").tz_localize(zone), 390)
    assert type(broker._trading_close_datetimes[0]) is pd.Timestamp


def test_nanoseconds_are_kept() -> None:
    days = pd.date_range("2021-03-08", periods=3, freq="B").tz_localize(NEW_YORK)
    _, broker = _brokers(days, 390, nanoseconds=1)
    assert broker._trading_close_datetimes[0].nanosecond == 1


def test_no_trading_days_are_no_error() -> None:
    event_loop_hooks.make_steps_cheaper()
    broker = object.__new__(BacktestingBroker)
    broker.initialize_market_calendars(None)
    assert broker._trading_close_datetimes is None


# -- splits ------------------------------------------------------------------------------------------------------


@examples(40)
@given(st.lists(st.sampled_from([0, 0.0, -0.0, np.nan, 1.0, 2.0, 0.1, -3.0, np.inf, None, "4", "x"]), max_size=12))
def test_splits_are_lumibots(ratios: list[Any]) -> None:
    event_loop_hooks.make_steps_cheaper()
    changed: Any = DataSource._stock_split_cache_from_frame
    source: Any = DataSource
    index = pd.date_range("2022-01-03", periods=len(ratios), tz=NEW_YORK)
    for frame in (
        pd.DataFrame({"stock_splits": ratios, "close": 1.0}, index=index),
        pd.DataFrame({"close": 1.0}, index=index),
        None,
    ):
        before: Any = copy.deepcopy(frame)
        assert changed(source, frame) == changed.__wrapped__(source, frame)
        if frame is not None:
            pd.testing.assert_frame_equal(frame, before)


class _Frames:
    """A data source that has frames of some assets, either preloaded or as bars."""

    def __init__(self, frames: dict[Asset, Any], preloaded: bool) -> None:
        self._datetime = datetime(2022, 1, 5)
        self.datetime_end = datetime(2022, 1, 6)
        self._dividend_cache: dict[Asset, dict[Any, Any]] = {}
        self._frames = frames
        self._preloaded = preloaded

    def get_bars(self, assets: list[Asset], length: int, timestep: str, quote: Any) -> dict[Asset, Any]:
        assert (length, timestep, quote) == (2000, "day", "USD")
        return {asset: SimpleNamespace(df=self._frames[asset]) for asset in assets if asset in self._frames}

    def _get_backtest_daily_corporate_action_frame(self, asset: Asset, quote: Any) -> Any:
        return self._frames.get(asset) if self._preloaded else None


@examples(40)
@given(
    dividends=st.lists(
        st.sampled_from([0, 0.0, -0.0, np.nan, 1, 0.25, 1e-9, -3.0, np.inf, None, "4", True]), max_size=9
    ),
    preloaded=st.booleans(),
    texts=st.booleans(),
)
def test_dividends_are_lumibots(dividends: list[Any], preloaded: bool, texts: bool) -> None:
    event_loop_hooks.make_steps_cheaper()
    changed: Any = DataSource.get_yesterday_dividends
    index = pd.date_range("2022-01-03", periods=len(dividends), freq="12h", tz=NEW_YORK)  # some days have two rows
    columns = {"close": "x" if texts else 1.0, "dividend": dividends}
    numbers = pd.to_numeric(pd.Series(dividends, index, object), errors="coerce")
    given: list[Any] = [
        pd.DataFrame(columns, index=index),
        pd.DataFrame({**columns, "dividend": numbers}, index=index),
        pd.DataFrame({"close": 1.0}, index=index),
        None,
    ]
    frames = {Asset(f"A{number}"): frame for number, frame in enumerate(given)}
    assets = [*frames, Asset("UNKNOWN")]
    before: Any = copy.deepcopy(frames)
    found = []
    for find in (changed.__wrapped__, changed, changed):
        source = _Frames(frames, preloaded)
        paid, again = (dict(find(source, assets, quote="USD")) for _ in range(2))
        found.append([_typed(each) for each in (paid, again, *source._dividend_cache.values())])
        assert list(source._dividend_cache) == assets
    assert found[1] == found[0]
    for name, frame in frames.items():
        if frame is not None:
            pd.testing.assert_frame_equal(frame, before[name])


def _typed(values: dict[Any, Any]) -> list[tuple[Any, type, str]]:
    return [(key, type(value), repr(value)) for key, value in values.items()]


def test_few_rows_are_read_to_find_dividends(monkeypatch: pytest.MonkeyPatch) -> None:
    event_loop_hooks.make_steps_cheaper()
    index = pd.date_range("2020-01-01", periods=700, tz=NEW_YORK)
    frame = pd.DataFrame({"close": 1.0, "dividend": 0.0}, index=index)
    frame.loc[index[[3, 500]], "dividend"] = 0.5
    rows: list[int] = []
    iterrows = pd.DataFrame.iterrows
    monkeypatch.setattr(pd.DataFrame, "iterrows", lambda each: rows.append(len(each)) or iterrows(each))
    asset = Asset("A")
    source: Any = _Frames({asset: frame}, preloaded=False)
    find: Any = DataSource.get_yesterday_dividends
    find(source, [asset], quote="USD")
    assert source._dividend_cache[asset] == {index[3].date(): 0.5, index[500].date(): 0.5}
    assert rows == [2]


def test_the_last_dividend_of_a_live_source_is_that_of_its_bars() -> None:
    event_loop_hooks.make_steps_cheaper()
    bars = SimpleNamespace(get_last_dividend=lambda: 0.75)
    source: Any = SimpleNamespace(get_bars=lambda assets, length, timestep, quote: dict.fromkeys(assets, bars))
    find: Any = DataSource.get_yesterday_dividends
    assert dict(find(source, [Asset("A")])) == {Asset("A"): 0.75}
