"""`repair` makes a damaged store sound, keeps every bar that is not damaged, and can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import RepairError, StorageError, StoreDamagedError, VersionGoneError
from storage.frames import assert_same, minute_bars
from templates import template

FRAME = minute_bars(rows=200)
LATER = minute_bars("2024-04-02 09:30", rows=100, seed=1)
LONG = minute_bars("2023-03-01 09:30", rows=10_100, seed=3)
AT = "ts = TIMESTAMP_S '2024-01-02 15:00:00'"


@template
def two_series(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("A", FRAME, "test", "minute", metadata={"request": 1})
    storage.store_ohlcv_data("A", LATER, "test", "minute")
    storage.store_ohlcv_data("B", LONG, "test", "minute")


@pytest.fixture
def stored(storage: DuckDBDataStorage) -> DuckDBDataStorage:
    two_series(storage.path)
    return storage


def run(storage: DuckDBDataStorage, sql: str) -> None:
    with StoreConnection.of(storage.path).write() as cursor:
        cursor.execute(sql)


def key_of(storage: DuckDBDataStorage, symbol: str) -> SeriesKey:
    return storage.list_series(symbol)[0].key


def bars_of(storage: DuckDBDataStorage, symbol: str) -> pd.DataFrame:
    return storage.read_pandas(storage.pin(symbol))


BOTH = pd.concat([FRAME, LATER])


def test_nothing_is_repaired_in_a_sound_store(stored: DuckDBDataStorage) -> None:
    before = stored.list_series()
    report = stored.repair(stored.list_series())
    assert (report.repairs, report.left.findings) == ([], [])
    assert stored.list_series() == before


def test_a_doubled_bar_is_kept_once(stored: DuckDBDataStorage) -> None:
    run(stored, f"INSERT INTO {{db}}.bar SELECT * FROM {{db}}.bar WHERE version_id = 1 AND {AT}")
    coverage = stored.coverage("A")
    assert not stored.verify().sound
    (planned,) = stored.repair(dry_run=True).repairs
    assert planned.repair_id is None
    assert not stored.verify().sound
    report = stored.repair()
    (repair,) = report.repairs
    assert (repair.series, repair.forgotten, report.left.findings) == (key_of(stored, "A"), (), [])
    assert_same(bars_of(stored, "A"), BOTH)
    assert stored.coverage("A") == coverage
    assert stored.verify().findings == []


@pytest.mark.older_duckdb
def test_a_changed_value_is_located_kept_and_requested_again(stored: DuckDBDataStorage) -> None:
    run(stored, f"UPDATE {{db}}.bar SET close = close + 0.01 WHERE version_id = 1 AND {AT}")
    damaged = bars_of(stored, "A")
    (finding,) = stored.verify().findings
    assert (finding.check, finding.severity, finding.series) == ("checksums", "error", key_of(stored, "A"))
    (place,) = finding.bars
    assert place.note == "column close"
    assert place.start <= FRAME.index[30].timestamp() < (place.end or 0)
    report = stored.repair()
    assert report.left.findings == []
    (repair,) = report.repairs
    assert_same(bars_of(stored, "A"), damaged)
    first = TimeRange(int(FRAME.index[0].timestamp()), int(FRAME.index[-1].timestamp()) + 60)
    assert stored.missing_ranges("A", first) == [first]
    later = TimeRange(int(LATER.index[0].timestamp()), int(LATER.index[-1].timestamp()) + 60)
    assert stored.missing_ranges("A", later) == []
    stored.store_ohlcv_data("A", FRAME, "test", "minute")  # what the source gives
    assert_same(bars_of(stored, "A"), BOTH)
    assert stored.verify().findings == []
    assert repair.repair_id is not None
    with pytest.raises(StorageError, match="written to since"):
        stored.undo_repair(repair.repair_id)


def test_lost_bars_are_requested_again(stored: DuckDBDataStorage) -> None:
    run(stored, f"DELETE FROM {{db}}.bar WHERE version_id = 1 AND {AT}")
    assert {finding.check for finding in stored.verify().findings} == {"checksums", "recorded_facts"}
    report = stored.repair()
    assert report.left.findings == []
    (repair,) = report.repairs
    assert repair.removed == 1
    assert stored.facts(stored.pin("A")).rows == len(BOTH) - 1
    assert len(repair.forgotten) == 1


@pytest.mark.parametrize("doubled", [False, True])
def test_a_repair_of_lost_bars_is_not_undone(stored: DuckDBDataStorage, doubled: bool) -> None:
    """The coverage from before would claim bars that are not there, even if a doubled bar makes up their number."""
    run(stored, f"DELETE FROM {{db}}.bar WHERE version_id = 1 AND {AT}")
    if doubled:
        run(stored, "INSERT INTO {db}.bar SELECT * FROM {db}.bar WHERE version_id = 1 ORDER BY ts LIMIT 1")
    (repair,) = stored.repair().repairs
    assert repair.repair_id is None
    coverage, bars = stored.coverage("A"), bars_of(stored, "A")
    with pytest.raises(RepairError, match="bars from before it are lost"):
        stored.undo_repair(stored.pin("A").ingest_id)
    assert stored.coverage("A") == coverage
    assert_same(bars_of(stored, "A"), bars)
    with pytest.raises(RepairError, match="there is no repair 1; the store has none that can be undone"):
        stored.undo_repair(1)


def test_a_repair_is_undone(stored: DuckDBDataStorage) -> None:
    run(stored, f"UPDATE {{db}}.bar SET open = 7 WHERE version_id = 1 AND {AT}")
    before, coverage, pin = bars_of(stored, "A"), stored.coverage("A"), stored.pin("A")
    (repair,) = stored.repair().repairs
    assert repair.repair_id is not None
    assert stored.coverage("A") != coverage
    assert_same(stored.read_pandas(pin), before)
    assert stored.undo_repair(repair.repair_id) == key_of(stored, "A")
    assert_same(bars_of(stored, "A"), before)
    assert stored.coverage("A") == coverage
    assert_same(stored.read_pandas(pin), before)
    assert [f.check for f in DuckDBDataStorage(stored.path).verify().findings if f.damage] == ["checksums"]
    stored.store_ohlcv_data("A", minute_bars("2024-05-02 09:30", rows=3), "test", "minute")
    assert len(bars_of(stored, "A")) == len(BOTH) + 3


@pytest.mark.older_duckdb
def test_a_repair_cannot_be_undone_after_a_compaction(stored: DuckDBDataStorage) -> None:
    run(stored, f"UPDATE {{db}}.bar SET open = 7 WHERE version_id = 1 AND {AT}")
    (repair,) = stored.repair().repairs
    stored.compact(timedelta(0))
    assert repair.repair_id is not None
    with pytest.raises(VersionGoneError, match="a compaction removed the bars"):
        stored.undo_repair(repair.repair_id)
    with pytest.raises(StorageError, match="there is no repair 1;"):
        stored.undo_repair(1)


def test_impossible_bars_are_dropped_on_request(stored: DuckDBDataStorage) -> None:
    bad = FRAME.iloc[[3, 7]].assign(high=1.0)
    stored.store_ohlcv_data("A", bad, "test", "minute")
    assert stored.repair().repairs == []
    report = stored.repair(stored.list_series())
    (repair,) = report.repairs
    assert (repair.removed, report.left.findings) == (2, [])
    assert_same(bars_of(stored, "A"), BOTH.drop(bad.index))
    times = [int(time.timestamp()) for time in bad.index]
    assert repair.forgotten == tuple(TimeRange(time, time + 60) for time in times)
    assert stored.undo_repair(repair.repair_id or 0) == key_of(stored, "A")
    assert len(bars_of(stored, "A")) == len(BOTH)


@pytest.mark.older_duckdb
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE {db}.outline SET days = 1",
        "DELETE FROM {db}.outline",
        "INSERT INTO {db}.outline SELECT 77, block, ingest_id, days, packed FROM {db}.outline",
        "INSERT INTO {db}.repeated_bar SELECT 1, ts, ts FROM {db}.bar WHERE version_id = 1 LIMIT 1",
        "INSERT INTO {db}.bar_checksum SELECT 77, segment, bars, columns, sums FROM {db}.bar_checksum",
        "INSERT INTO {db}.asset SELECT * REPLACE (77 AS asset_id, 'Z' AS name) FROM {db}.asset LIMIT 1",
        "INSERT INTO {db}.ingest_request VALUES (77, now()::TIMESTAMP)",
        "INSERT INTO {db}.bar SELECT * REPLACE (77 AS version_id) FROM {db}.bar WHERE version_id = 1",
        "INSERT INTO {db}.series_version VALUES (77, 77, now()::TIMESTAMP, NULL)",
        "INSERT INTO {db}.series_version VALUES (77, 1, now()::TIMESTAMP, NULL)",
        "INSERT INTO {db}.coverage SELECT series_id, 1, range_end, range_start, NULL FROM {db}.coverage",
        "INSERT INTO {db}.coverage SELECT 77, 1, range_start, range_end, NULL FROM {db}.coverage",
    ],
)
def test_what_belongs_to_nothing_is_removed_and_what_is_derived_computed_again(
    stored: DuckDBDataStorage, damage: str
) -> None:
    before = stored.list_series()
    run(stored, damage)
    assert not stored.verify().sound
    report = stored.repair()
    assert report.left.findings == []
    assert report.repairs
    assert DuckDBDataStorage(stored.path).list_series() == before
    assert_same(bars_of(stored, "A"), BOTH)
    assert_same(bars_of(stored, "B"), LONG)


def test_a_repair_of_coverage_is_undone(stored: DuckDBDataStorage) -> None:
    run(stored, "UPDATE {db}.coverage SET range_end = TIMESTAMP_S '2200-01-01' WHERE series_id = 1")
    before = stored.list_series()
    (planned,) = stored.repair(dry_run=True).repairs
    assert (planned.repair_id, stored.list_series()) == (None, before)
    (repair,) = stored.repair().repairs
    assert (
        (repair.series, repair.forgotten)
        == (planned.series, planned.forgotten)
        == (key_of(stored, "A"), before[0].coverage)
    )
    assert DuckDBDataStorage(stored.path).verify().findings == []
    assert stored.coverage("A") == []
    assert_same(bars_of(stored, "A"), BOTH)
    with pytest.raises(StorageError, match=f"there is no repair 1; the latest repairs are {repair.repair_id}$"):
        stored.undo_repair(1)
    assert stored.undo_repair(repair.repair_id or 0) == key_of(stored, "A")
    assert [(info.key, info.coverage, info.rows) for info in stored.list_series()] == [
        (info.key, info.coverage, info.rows) for info in before
    ]
    with pytest.raises(StorageError, match="written to since"):
        stored.undo_repair(repair.repair_id or 0)
    run(stored, "INSERT INTO {db}.coverage SELECT series_id, 1, range_end, range_start, NULL FROM {db}.coverage")
    with pytest.raises(StoreDamagedError, match="a covered range ends before it starts"):
        stored.list_series()
    (again,) = stored.repair().repairs
    stored.store_ohlcv_data("A", minute_bars("2024-05-02 09:30", rows=3), "test", "minute")
    with pytest.raises(StorageError, match="written to since"):
        stored.undo_repair(again.repair_id or 0)


def test_bars_of_no_write_are_kept(stored: DuckDBDataStorage) -> None:
    run(stored, "UPDATE {db}.bar SET ingest_id = 99 WHERE version_id = 1")
    assert stored.repair().left.findings == []
    assert_same(bars_of(stored, "A"), BOTH)


def test_as_of_and_snapshots_see_each_version_after_a_repair_is_undone(stored: DuckDBDataStorage) -> None:
    seen = {}

    def name(snapshot: str) -> None:
        stored.snapshot(snapshot)
        seen[snapshot] = bars_of(stored, "A")

    run(stored, f"UPDATE {{db}}.bar SET open = 7 WHERE version_id = 1 AND {AT}")
    name("damaged")
    (repair,) = stored.repair(stored.list_series()).repairs
    stored.store_ohlcv_data("B", LATER, "test", "minute")
    name("repaired")
    stored.undo_repair(repair.repair_id or 0)
    name("undone")
    stored.store_ohlcv_data("A", FRAME.assign(volume=1.0), "test", "minute")
    name("corrected")
    stored.delete_snapshot("corrected")
    stored.store_ohlcv_data("A", FRAME, "test", "minute")
    stored.compact(timedelta(0))
    for snapshot in ("damaged", "repaired", "undone"):
        assert_same(stored.read_pandas(stored.pin("A", as_of=snapshot)), seen[snapshot])
    with pytest.raises(StorageError, match="written to since"):
        stored.undo_repair(repair.repair_id or 0)


def undo_is_refused(stored: DuckDBDataStorage, repair_id: int) -> None:
    with pytest.raises(StorageError, match="there is no repair"):
        stored.undo_repair(repair_id)


def test_damage_that_only_a_snapshot_shows_becomes_a_warning(stored: DuckDBDataStorage) -> None:
    stored.snapshot("early")
    stored.store_ohlcv_data("A", FRAME.assign(volume=1.0), "test", "minute")
    run(stored, f"UPDATE {{db}}.bar SET open = 7 WHERE version_id = 1 AND {AT}")
    before = stored.read_pandas(stored.pin("A", as_of="early"))
    assert not stored.verify().sound
    report = stored.repair()
    assert ["kept for a snapshot" in repair.what for repair in report.repairs] == [True]
    assert [(finding.check, finding.severity) for finding in report.left.findings] == [
        ("repaired_in_snapshots", "warning")
    ]
    assert stored.repair().repairs == []
    stored.compact(timedelta(0))
    assert_same(stored.read_pandas(stored.pin("A", as_of="early")), before)
    assert stored.verify().sound
    undo_is_refused(stored, stored.pin("A").ingest_id)
    stored.delete_snapshot("early")
    stored.compact(timedelta(0))
    assert stored.verify().findings == []


def test_a_damaged_version_that_nothing_needs_is_deleted(stored: DuckDBDataStorage) -> None:
    pin = stored.pin("A")
    stored.store_ohlcv_data("A", FRAME.assign(volume=1.0), "test", "minute")
    now = bars_of(stored, "A")
    run(stored, f"DELETE FROM {{db}}.bar WHERE version_id = 1 AND {AT}")
    (planned,) = stored.repair(dry_run=True).repairs
    (done,) = stored.repair().repairs
    assert done == planned
    assert stored.verify().findings == []
    assert_same(bars_of(stored, "A"), now)
    with pytest.raises(VersionGoneError):
        stored.read_pandas(pin)


@pytest.mark.older_duckdb
def test_a_repair_can_be_undone_in_an_upgraded_store(stored: DuckDBDataStorage) -> None:
    run(stored, "DELETE FROM {db}.bar_checksum")
    run(stored, "INSERT INTO {db}.store_meta SELECT 'unchecked_to', max(ingest_id) FROM {db}.ingest")
    run(stored, f"INSERT INTO {{db}}.bar SELECT * FROM {{db}}.bar WHERE version_id = 1 AND {AT}")
    (repair,) = stored.repair().repairs
    assert stored.verify().findings == []
    stored.undo_repair(repair.repair_id or 0)
    assert {finding.check for finding in stored.verify().findings} == {"doubled_bars", "recorded_facts"}
    assert stored.repair().left.findings == []


def test_a_repair_that_is_interrupted_says_what_it_has_repaired(
    stored: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(stored, "UPDATE {db}.bar SET close = close + 0.01 WHERE extract(minute FROM ts) = 33")
    assert len(stored.repair(dry_run=True).repairs) == 2
    write, begun = StoreConnection.write, 0

    @contextmanager
    def interrupted(self: StoreConnection, wait_seconds: float | None = None) -> Iterator[StoreCursor]:
        nonlocal begun
        begun += 1
        if begun == 2:
            raise KeyboardInterrupt
        with write(self, wait_seconds) as cursor:
            yield cursor

    monkeypatch.setattr(StoreConnection, "write", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"^made 1 repair \(--undo \d+\): repair again for the rest$"):
        stored.repair()
    monkeypatch.setattr(StoreConnection, "write", write)
    assert len(stored.repair().repairs) == 1
    assert stored.verify().sound
