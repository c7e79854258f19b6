"""Renames, snapshots, prunings, copies and exports of one store, one after another."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.errors import ReplicaError, SeriesNotFoundError, SnapshotError
from storage.frames import assert_same, minute_bars

FRAME = minute_bars(rows=300)
LATER = minute_bars("2024-01-03 09:30", rows=300, seed=1)


def store(storage: DuckDBDataStorage, symbol: str, frame: object = FRAME) -> None:
    storage.store_ohlcv_data(symbol, frame, "test", "minute")  # type: ignore[arg-type]


@pytest.mark.older_duckdb
def test_a_snapshot_shows_a_series_that_was_renamed_afterwards_as_it_was(storage: DuckDBDataStorage) -> None:
    store(storage, "FB")
    storage.snapshot("paper")
    store(storage, "FB", FRAME * 2)
    storage.rename("FB", "META")
    storage.compact(dt.timedelta(0))
    assert_same(storage.to_pandas("FB", as_of="paper"), FRAME)
    assert_same(storage.to_pandas("META"), FRAME * 2)
    assert storage.coverage("META")
    assert (storage.coverage("FB"), len(storage.to_pandas("FB"))) == ([], 0)
    with pytest.raises(SnapshotError, match="FB stock, minute bars from test cannot be deleted"):
        storage.delete_series("FB")
    found = {info.key.asset.symbol: storage.snapshots(info.key) for info in storage.list_series()}
    assert {symbol: [each.name for each in found[symbol]] for symbol in found} == {"FB": ["paper"], "META": []}
    assert storage.verify().findings == []
    storage.rename("META", "FB")
    assert_same(storage.to_pandas("FB"), FRAME * 2)
    assert_same(storage.to_pandas("FB", as_of="paper"), FRAME)
    storage.delete_snapshot("paper")
    storage.delete_series("FB")
    assert storage.verify().findings == []


def test_only_an_earlier_backup_of_the_store_is_replaced_by_one(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    backup, live, text = (tmp_path / name for name in ("backup.duckdb", "live.duckdb", "notes.txt"))
    other = DuckDBDataStorage(live)
    store(other, "B")
    other.close()
    text.write_text("notes")
    storage.replica(tmp_path / "replica.duckdb")
    for path in (live, text, tmp_path / "replica.duckdb"):
        before = path.read_bytes()
        with pytest.raises(FileExistsError, match=r"is no backup of .* choose another name, or delete it first"):
            storage.backup(path, replace=True)
        assert path.read_bytes() == before
    storage.backup(backup)
    store(storage, "C")
    assert storage.backup(backup, replace=True).series == 2


def test_a_replica_is_not_replaced_by_a_backup(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "backup.duckdb")
    storage.replica(tmp_path / "replica.duckdb")
    with pytest.raises(ReplicaError, match="is a replica of"):
        DuckDBDataStorage(tmp_path / "replica.duckdb").restore(tmp_path / "backup.duckdb")


@pytest.mark.older_duckdb
def test_an_export_of_a_range_leaves_out_what_has_nothing_in_it(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    store(storage, "B", LATER)
    start = int(LATER.index[0].timestamp())
    report = storage.export(tmp_path / "exported", within=TimeRange(start, start + 600))
    assert [(file.key.asset.symbol, file.rows) for file in report.files if file.key] == [("B", 10)]
    with pytest.raises(SeriesNotFoundError, match="none of these series has bars or coverage in this range"):
        storage.export(tmp_path / "none", within=TimeRange(0, 60))
    assert not (tmp_path / "none").exists()


def test_a_snapshot_shows_the_old_symbol_of_bars_that_were_renamed_from_a_date_on(storage: DuckDBDataStorage) -> None:
    store(storage, "FB")
    store(storage, "META", LATER)
    storage.snapshot("paper")
    storage.rename("FB", "META", "2024-01-03")
    storage.compact(dt.timedelta(0))
    assert len(storage.to_pandas("META")) == 600
    assert_same(storage.to_pandas("META", as_of="paper"), LATER)
    assert_same(storage.to_pandas("FB", as_of="paper"), FRAME)
    assert storage.verify().findings == []


@pytest.mark.parametrize("change", ["rename", "prune", "merge", "import"])
def test_a_restored_backup_has_everything_of_before(storage: DuckDBDataStorage, tmp_path: Path, change: str) -> None:
    store(storage, "A")
    store(storage, "B", LATER)
    storage.snapshot("before")
    store(storage, "A", FRAME * 2)
    storage.settings.set("versions.keep", "30d")
    storage.backup(tmp_path / "backup.duckdb")
    other = DuckDBDataStorage(tmp_path / "other.duckdb")
    store(other, "A", FRAME * 3)
    store(other, "C")
    if change == "rename":
        storage.rename("B", "Z")
    elif change == "prune":
        storage.delete_snapshot("before")
        storage.prune(dt.timedelta(days=1))
        assert storage.list_series() == []
    elif change == "merge":
        storage.merge(other.path)
    else:
        other.export(tmp_path / "exported")
        storage.import_exported(tmp_path / "exported")
        assert_same(storage.to_pandas("A"), FRAME * 3)
    assert storage.verify().findings == []
    storage.restore(tmp_path / "backup.duckdb")
    assert [info.key.asset.symbol for info in storage.list_series()] == ["A", "B"]
    assert_same(storage.to_pandas("A"), FRAME * 2)
    assert_same(storage.to_pandas("A", as_of="before"), FRAME)
    assert storage.settings.get("versions.keep") == dt.timedelta(days=30)
    store(storage, "B", FRAME)
    storage.compact(dt.timedelta(0))
    assert_same(storage.to_pandas("A", as_of="before"), FRAME)
    assert storage.verify().findings == []
    assert DuckDBDataStorage(tmp_path / "backup.duckdb").verify().findings == []


def test_a_pruned_series_is_exported_merged_and_copied_as_it_is(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    long = minute_bars("2023-03-01 09:30", rows=10_100, seed=3)  # has an outline
    store(storage, "A", long)
    storage.prune(dt.datetime.now(dt.timezone.utc) - dt.datetime(2023, 3, 4, tzinfo=dt.timezone.utc))
    left = storage.to_pandas("A")
    assert 0 < len(left) < len(long)
    assert_same(left, long.iloc[-len(left) :])
    storage.export(tmp_path / "exported")
    storage.replica(tmp_path / "replica.duckdb")
    merged, imported = (DuckDBDataStorage(tmp_path / f"{name}.duckdb") for name in ("merged", "imported"))
    merged.merge(storage.path)
    imported.import_exported(tmp_path / "exported")
    for copy in (merged, imported, DuckDBDataStorage(tmp_path / "replica.duckdb")):
        assert_same(copy.to_pandas("A"), left)
        assert copy.coverage("A") == storage.coverage("A")
        assert copy.outline(copy.pin("A")) == storage.outline(storage.pin("A")) or len(left) < 10_000
        assert copy.verify().findings == []
