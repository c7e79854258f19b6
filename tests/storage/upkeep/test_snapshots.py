"""Snapshots: names for the state of the store, which reads accept and upkeep respects."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import (
    SeriesNotFoundError,
    SnapshotError,
    SnapshotNotFoundError,
    StoreNotFoundError,
    VersionGoneError,
)
from storage.frames import assert_same, minute_bars

AT_ONCE = dt.timedelta(0)
FRAME = minute_bars(rows=60)
LATER = minute_bars("2024-01-03 09:30", rows=60, seed=1)


def store(storage: DuckDBDataStorage, symbol: str = "A", frame: Any = FRAME) -> None:
    storage.store_ohlcv_data(symbol, frame, "test", "minute")


def test_a_snapshot_shows_what_was_there(storage: DuckDBDataStorage) -> None:
    store(storage)
    made = storage.snapshot("first")
    store(storage, frame=LATER)  # the same version
    storage.snapshot("second")
    store(storage, frame=FRAME * 2)  # another version
    store(storage, "B")
    storage.compact(AT_ONCE)
    assert storage.snapshots()[0] == made
    assert [snapshot.name for snapshot in storage.snapshots()] == ["first", "second"]
    for one in (storage, DuckDBDataStorage(storage.path)):
        assert_same(one.get_historical_prices("A", as_of="first"), FRAME)
        assert len(one.get_historical_prices("A", as_of="second")) == 120
        assert one.facts(one.pin("A", as_of="first")).rows == 60
        with pytest.raises(SeriesNotFoundError, match=r"B stock.* not stored yet as of second"):
            one.pin("B", as_of="second")
    assert storage.verify().findings == []


def test_without_the_snapshot_its_versions_go(storage: DuckDBDataStorage) -> None:
    store(storage, frame=FRAME * 5)
    store(storage)
    pin = storage.pin("A")
    storage.snapshot("one")
    store(storage, frame=FRAME * 2)
    store(storage, frame=FRAME * 3)
    assert storage.compact(AT_ONCE).versions_removed == 2  # the first one, and the one between
    assert_same(storage.read_pandas(pin), FRAME)
    storage.delete_snapshot("one")
    assert storage.compact(AT_ONCE).versions_removed == 1
    with pytest.raises(VersionGoneError):
        DuckDBDataStorage(storage.path).read_pandas(pin)
    assert storage.verify().findings == []


def test_a_restated_series_is_there_as_of_the_snapshot(storage: DuckDBDataStorage) -> None:
    store(storage)
    storage.snapshot("before")
    storage.restate_series("A", "test", "minute")
    storage.compact(AT_ONCE)
    assert len(storage.get_historical_prices("A")) == 0
    assert_same(storage.get_historical_prices("A", as_of="before"), FRAME)


def test_the_clock_does_not_matter(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    store(storage)
    storage.snapshot("before")
    back = clock.utc_now() - dt.timedelta(days=400)
    monkeypatch.setattr(clock, "utc_now", lambda: back)
    store(storage, frame=FRAME * 2)
    storage.snapshot("after")
    assert_same(storage.get_historical_prices("A", as_of="before"), FRAME)
    assert_same(storage.get_historical_prices("A", as_of="after"), FRAME * 2)
    assert [snapshot.name for snapshot in storage.snapshots()] == ["before", "after"]


@pytest.mark.older_duckdb
def test_the_series_of_a_snapshot_cannot_be_deleted(storage: DuckDBDataStorage) -> None:
    store(storage)
    storage.snapshot("one")
    storage.store_ohlcv_data("A", FRAME, "other", "minute")
    with pytest.raises(SnapshotError, match=r"A stock, minute bars from test cannot .*'one'.*snapshot one --delete"):
        storage.delete_series("A")
    assert len(storage.list_series()) == 2  # not even the one that it lacks
    assert storage.delete_series("A", "other") == 60
    storage.delete_snapshot("one")
    assert storage.delete_series("A") == 60


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "-x", "_x", ".x", "x" * 101, "a/b", "a\n", "2024-01-02", "20240102", "now"]
)
def test_unusable_names(storage: DuckDBDataStorage, name: str) -> None:
    store(storage)
    with pytest.raises(SnapshotError, match="cannot name a snapshot"):
        storage.snapshot(name)
    assert storage.snapshots() == []


@pytest.mark.parametrize("name", ["q1-review", "vor_der_Änderung", "release.2", "x" * 100])
def test_usable_names(storage: DuckDBDataStorage, name: str) -> None:
    store(storage)
    storage.snapshot(name)
    with pytest.raises(SnapshotError, match="already"):
        storage.snapshot(name)
    assert_same(storage.get_historical_prices("A", as_of=name), FRAME)


def test_unknown_names(storage: DuckDBDataStorage) -> None:
    assert storage.snapshots() == []
    with pytest.raises(StoreNotFoundError):
        storage.snapshot("one")
    store(storage)
    with pytest.raises(SnapshotNotFoundError, match="none yet"):
        storage.pin("A", as_of="release")
    storage.snapshot("release")
    for act in (lambda: storage.pin("A", as_of="relaese"), lambda: storage.check_as_of("relaese")):
        with pytest.raises(SnapshotNotFoundError, match="'relaese'; did you mean 'release'"):
            act()
    with pytest.raises(SnapshotNotFoundError, match="it has 'release'"):
        storage.delete_snapshot("xyz")
    storage.check_as_of("release")
    storage.check_as_of("2024-01-02")


def test_a_text_may_be_a_time(storage: DuckDBDataStorage) -> None:
    store(storage)
    assert_same(storage.get_historical_prices("A", as_of="2200-01-01"), FRAME)
    with pytest.raises(SeriesNotFoundError, match="not stored yet as of 2001-01-01"):
        storage.pin("A", as_of="2001-01-01")


@pytest.mark.older_duckdb
def test_verify_finds_a_snapshot_without_its_version(storage: DuckDBDataStorage) -> None:
    store(storage)
    storage.snapshot("one")
    store(storage, frame=FRAME * 2)
    with StoreConnection.of(storage.path).write() as cursor:
        for table in ("bar", "series_version"):
            cursor.execute(f"DELETE FROM {{db}}.{table} WHERE version_id = 1")
        cursor.execute("INSERT INTO {db}.snapshot SELECT * FROM {db}.snapshot")
    found = {finding.what for finding in storage.verify().findings if finding.check == "snapshots"}
    assert found == {
        "the snapshot one is there 2 times",
        "the snapshot one needs version 1 of series 1, which is gone",
    }
