"""Bar lengths and session minutes of a time index, against pandas and Lumibot themselves."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from lumibot.data_sources import PandasData
from lumibot.entities.data import _intraday_bar_state

from hypothesis_settings import examples
from lumibot_duckdb.windows.trading_index import TradingIndex, session_minutes, trading_days
from windows.indexes import NEW_YORK, indexes


@examples(40)
@given(indexes(), st.sampled_from(["minute", "hour", "day"]), st.data())
def test_bar_length_is_lumibots(index: pd.DatetimeIndex, unit: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(index) - 1))
    stop = data.draw(st.integers(start + 1, len(index)))
    part = index[start:stop].as_unit("ns")
    keeper = SimpleNamespace()
    _intraday_bar_state(part.asi8, len(part) - 1, part[-1], timestep=unit, index_tz=part.tz, cache_owner=keeper)
    expected = keeper._closed_bar_length_cache[2] if unit != "day" else None
    assert TradingIndex(index).bar_length(start, stop, unit) == expected


@examples(40)
@given(indexes(), st.integers(-3000, 100))
def test_session_minutes_are_lumibots(index: pd.DatetimeIndex, minutes_after_the_last: int) -> None:
    until = index[-1] + pd.Timedelta(minutes=minutes_after_the_last)
    source = _source(index, until)
    sessions = PandasData.get_trading_days_pandas(source)
    expected = PandasData.clean_trading_times(source, index, sessions)
    minutes = session_minutes(index, sessions, until)
    pd.testing.assert_index_equal(minutes.index, expected, exact=True)
    if len(minutes):
        described = TradingIndex(minutes.index)
        assert [part.tolist() for part in minutes.days()] == [part.tolist() for part in described.days()]
        for unit in ("minute", "hour"):
            start = len(minutes) // 3
            assert minutes.bar_length(start, len(minutes), unit) == described.bar_length(start, len(minutes), unit)


@examples(40)
@given(indexes(), st.data())
def test_minutes_are_found_without_making_them(index: pd.DatetimeIndex, data: st.DataObject) -> None:
    sessions = PandasData.get_trading_days_pandas(_source(index, index[-1]))
    minutes, whole = (session_minutes(index, sessions, index[-1]) for _ in range(2))
    made = TradingIndex(whole.index)
    assert len(minutes) == len(made)
    for _ in range(5):
        start = data.draw(st.integers(0, len(made)))
        stop = data.draw(st.integers(start, min(len(made), start + 3_000)))
        assert minutes.nanoseconds(start, stop).tolist() == made.nanoseconds(start, stop).tolist()
        pd.testing.assert_index_equal(minutes.rows(start, stop), made.rows(start, stop), exact=True)
        assert minutes.rows(start, stop).freq == made.rows(start, stop).freq
        first = data.draw(st.integers(0, len(made) - 1))
        row = data.draw(st.integers(0, len(made) - 1 - first))
        assert minutes.time_of(first)(row) == made.time_of(first)(row)
        time = index[0].value + data.draw(st.integers(-(10**12), index[-1].value - index[0].value + 10**12))
        assert minutes.row_at(time) == made.row_at(time)
    for ours, lumibots in zip(minutes.day_bounds(), made.day_bounds(), strict=True):
        pd.testing.assert_index_equal(ours, lumibots, exact=True)
    assert "index" not in vars(minutes)


def _source(index: pd.DatetimeIndex, until: pd.Timestamp) -> SimpleNamespace:
    return SimpleNamespace(_timestep="minute", datetime_end=until, _date_index=index)


@examples(40)
@given(indexes())
def test_days_of_new_york_are_those_of_pandas(index: pd.DatetimeIndex) -> None:
    local = index.tz_localize(None).normalize()
    first_rows, midnights, numbers = TradingIndex(index).days()
    assert numbers.tolist() == local.unique().to_numpy("M8[D]").astype(int).tolist()
    assert first_rows.tolist() == [int((local < day).sum()) for day in local.unique()]
    assert midnights.tolist() == index.normalize().unique().as_unit("ns").asi8.tolist()


@examples(40)
@given(indexes(), st.sampled_from(["ns", "us", "s"]))
def test_trading_days_are_lumibots(index: pd.DatetimeIndex, unit: str) -> None:
    index = index.as_unit(unit)
    expected = PandasData.get_trading_days_pandas(SimpleNamespace(_date_index=index))
    described = trading_days(TradingIndex(index))
    pd.testing.assert_frame_equal(described, expected, check_freq=True)
    assert described.index.freq == expected.index.freq


def test_the_same_index_object_is_described_once() -> None:
    index = pd.date_range("2024-01-02", periods=10, freq="min", tz=NEW_YORK)
    assert TradingIndex.of(index) is TradingIndex.of(index)
    assert TradingIndex.of(index) is not TradingIndex.of(index[:5])


def test_an_index_without_rows_has_no_days_and_no_closed_bars() -> None:
    index = TradingIndex(pd.DatetimeIndex([], tz=NEW_YORK))
    assert [len(part) for part in index.days()] == [0, 0, 0]
    assert index.bar_length(0, 0, "minute") == 60_000_000_000
