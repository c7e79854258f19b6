"""How the number of bars grew, from the log of writes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage.api import TimeRange
from storage.frames import minute_bars

START = datetime(2024, 5, 1, 12, 0, 30, tzinfo=timezone.utc)


def write_at(
    monkeypatch: pytest.MonkeyPatch, storage: DuckDBDataStorage, hours: float, symbol: str, frame: pd.DataFrame
) -> None:
    monkeypatch.setattr(clock, "utc_now", lambda: START + timedelta(hours=hours))
    storage.store_ohlcv_data(symbol, frame, "test", "minute")


@pytest.mark.older_duckdb
def test_bars_count_when_they_came(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    write_at(monkeypatch, storage, 0, "A", minute_bars(rows=10))
    write_at(monkeypatch, storage, 1, "A", minute_bars(rows=15))  # five more
    write_at(monkeypatch, storage, 2, "A", minute_bars(rows=15, seed=1))  # others: a new version, no more bars
    write_at(monkeypatch, storage, 3, "B", minute_bars(rows=4))
    found = storage.growth()
    noon = int(START.timestamp()) // 60 * 60
    assert [(each.start - noon, each.bars) for each in found] == [(0, 10), (3_600, 5), (3 * 3_600, 4)]
    assert {(each.seconds, each.source, each.timeframe) for each in found} == {(60, "test", "minute")}
    assert [each.bars for each in storage.growth(storage.list_series("B"))] == [4]
    assert storage.growth([]) == []


def test_removed_bars_are_taken_away(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = minute_bars(rows=10)
    write_at(monkeypatch, storage, 0, "A", frame)
    monkeypatch.setattr(clock, "utc_now", lambda: START + timedelta(hours=1))
    covered = TimeRange(int(frame.index[0].timestamp()), int(frame.index[-1].timestamp()) + 60)
    storage.store_ohlcv_data("A", frame.iloc[:4], "test", "minute", covered=covered, replace=True)
    assert [each.bars for each in storage.growth()] == [10, -6]


def test_a_deleted_series_is_left_out(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    write_at(monkeypatch, storage, 0, "A", minute_bars(rows=10))
    write_at(monkeypatch, storage, 0, "B", minute_bars(rows=3))
    monkeypatch.setattr(clock, "utc_now", lambda: START + timedelta(hours=5))
    storage.delete_series("A", timeframe="minute", source="test")
    assert [each.bars for each in storage.growth()] == [3]
    storage.compact(timedelta(0))
    assert [each.bars for each in storage.growth()] == [3]


@pytest.mark.parametrize(("days", "seconds"), [(1, 60), (2, 600), (30, 3_600), (100, 86_400), (3_000, 86_400)])
def test_an_old_store_has_longer_intervals(
    days: int, seconds: int, storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_at(monkeypatch, storage, 0, "A", minute_bars(rows=1))
    write_at(monkeypatch, storage, 24 * days, "B", minute_bars(rows=1))
    found = storage.growth()
    assert [each.seconds for each in found] == [seconds, seconds]
    assert found[0].start == int(START.timestamp()) // seconds * seconds


def test_no_store_has_not_grown(storage: DuckDBDataStorage) -> None:
    assert storage.growth() == []
    assert list(storage.stored_days([])) == []


@pytest.mark.older_duckdb
@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 12), st.integers(0, 2)), max_size=6))
@examples(10)
def test_the_sum_is_what_there_is(tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[str, int, int]]) -> None:
    storage = DuckDBDataStorage(tmp_path_factory.mktemp("growth"))
    for symbol, rows, seed in writes:
        if rows:
            storage.store_ohlcv_data(symbol, minute_bars(rows=rows, seed=seed), "test", "minute")
        elif storage.list_series(symbol):
            storage.delete_series(symbol, timeframe="minute", source="test")
    there = storage.list_series()
    assert sum(each.bars for each in storage.growth()) == sum(info.rows for info in there)
    assert sum(each.bars for each in storage.growth(there)) == sum(info.rows for info in there)
    storage.close()
