"""Writes and compactions report how many rows are done: never fewer than before, and all of them at the end."""

from __future__ import annotations

import datetime as dt

import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.bars import bar_rows
from lumibot_duckdb.storage.errors import StoreWriteError
from lumibot_duckdb.storage.upkeep import store_copy
from storage.frames import assert_same, minute_bars


class Reports:
    """The reported numbers of rows."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.seen.append((done, total))

    def check(self, total: int) -> list[int]:
        """Fail unless the reports rise to the total; return them."""
        counts = [done for done, _ in self.seen]
        assert counts == sorted(counts)
        assert self.seen[-1] == (total, total)
        return counts


def test_a_write_reports_its_rows_while_they_are_inserted(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bar_rows, "_BATCH_ROWS", 1_000)
    bars = minute_bars(rows=4_500)
    first, more, again, changed = Reports(), Reports(), Reports(), Reports()
    storage.store_ohlcv_data("AAA", bars.iloc[:4_000], "test", "minute", on_rows=first)
    assert first.check(4_000) == [0, 1_000, 2_000, 3_000, 4_000]
    storage.store_ohlcv_data("AAA", bars, "test", "minute", on_rows=more)
    assert more.check(4_500) == [0, 4_500]
    storage.store_ohlcv_data("AAA", bars, "test", "minute", on_rows=again)
    assert again.check(4_500) == [4_500]
    assert_same(storage.get_historical_prices("AAA"), bars)
    bars.iloc[7, 4] += 1
    storage.store_ohlcv_data("AAA", bars, "test", "minute", on_rows=changed)
    assert changed.check(4_500) == [4_500]
    assert_same(storage.get_historical_prices("AAA"), bars)


def test_a_write_that_fails_does_not_report_its_end(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = Reports()

    def fail(*arguments: object) -> None:
        raise StoreWriteError("the disk is full")

    monkeypatch.setattr("lumibot_duckdb.storage.bars.writing.record_ingests", fail)
    with pytest.raises(StoreWriteError):
        storage.store_ohlcv_data("AAA", minute_bars(rows=10), "test", "minute", on_rows=reports)
    assert reports.seen == [(0, 10)]


def test_a_compaction_reports_the_bars_that_it_copied(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for symbol in ("AAA", "BBB"):
        storage.store_ohlcv_data(symbol, minute_bars(rows=1_999), "test", "minute")
    monkeypatch.setattr(store_copy, "_ROWS_AT_A_TIME", 700)
    reports = Reports()
    storage.compact(dt.timedelta(0), on_rows=reports)
    assert reports.check(3_998) == [666, 1_332, 1_999, 2_665, 3_331, 3_998]


def test_what_the_callback_of_a_compaction_raises_leaves_the_store_unchanged(storage: DuckDBDataStorage) -> None:
    bars = minute_bars(rows=100)
    storage.store_ohlcv_data("AAA", bars, "test", "minute")
    storage.close()
    before = storage.path.read_bytes()

    def stop(done: int, total: int) -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        storage.compact(on_rows=stop)
    storage.close()
    assert storage.path.read_bytes() == before
    assert_same(storage.get_historical_prices("AAA"), bars)
    assert [path.name for path in storage.path.parent.glob("*compacting*")] == []
