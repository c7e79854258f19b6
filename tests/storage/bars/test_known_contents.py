"""What a process knows about the contents of a store: its storages share it, and it stays true."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.errors import SeriesNotFoundError, VersionGoneError
from storage.frames import assert_same, minute_bars


def test_a_second_storage_reads_no_catalog(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.store_ohlcv_data("A", minute_bars(), "test", "minute")
    known = storage.facts(storage.pin("A"))
    second = DuckDBDataStorage(storage.path)
    monkeypatch.setattr(second._store.connection, "read", None)  # no query
    assert second.facts(second.pin("A")) == known


def test_series_stored_later_are_on_the_page_of_their_neighbours(storage: DuckDBDataStorage) -> None:
    for symbol in ("A", "B", "C", "D"):
        storage.store_ohlcv_data(symbol, minute_bars(), "test", "minute")
        ids = tuple(storage.pin(each).series_id for each in "ABCD"[: len(storage.list_series())])
        assert {storage._store.catalog.page_of(each) for each in ids} == {ids}
    storage.delete_series("B")
    left = tuple(storage.pin(each).series_id for each in "ACD")
    assert {storage._store.catalog.page_of(each) for each in left} == {left}
    assert storage._store.catalog.page_of(ids[1]) == (ids[1],)


def test_a_restored_backup_that_one_storage_notices_is_known_to_all(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    old, new = minute_bars(), minute_bars(seed=2)
    storage.store_ohlcv_data("A", old, "test", "minute")
    storage.close()
    backup = tmp_path / "backup"
    shutil.copy(storage.path, backup)
    storage.store_ohlcv_data("A", new, "test", "minute")
    pin, within = storage.pin("A"), TimeRange(0, 2**40)
    held = storage.read_bars(pin, within)
    assert storage.read_bars(pin, within) is held
    assert_same(storage.read_pandas(pin), new)
    storage.close()
    shutil.copy(backup, storage.path)
    second = DuckDBDataStorage(storage.path)
    assert_same(second.get_historical_prices("A"), old)
    assert storage.statistics().cache_bytes == 0
    with pytest.raises(VersionGoneError):
        storage.read_bars(pin, within)
    with pytest.raises(VersionGoneError):
        storage.read_pandas(pin)


def test_a_removed_store_is_forgotten_by_all(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("A", minute_bars(), "test", "minute")
    second = DuckDBDataStorage(storage.path)
    second.pin("A")
    storage.close()
    storage.path.unlink()
    for each in (storage, second):
        with pytest.raises(SeriesNotFoundError):
            each.pin("A")
    anew = minute_bars(rows=9, seed=4)
    storage.store_ohlcv_data("B", anew, "test", "minute")
    assert_same(second.get_historical_prices("B"), anew)
    assert [info.key.asset.symbol for info in second.list_series()] == ["B"]
