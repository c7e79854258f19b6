"""`verify` reads every block that holds something: none that is damaged goes unnoticed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import RepairError, StoreDamagedError, StoreWriteError, VersionGoneError
from lumibot_duckdb.storage.upkeep import salvage
from storage.damage import blocks_by_table, corrupt, used_blocks
from storage.frames import minute_bars
from templates import template

ROWS = 20_000


@template
def wide_series(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=ROWS)
    further = {"vwap": frame["close"] * 1.001, "bid": frame["close"] - 0.01, "note": [f"note {n}" for n in range(ROWS)]}
    storage.store_ohlcv_data("X", frame.assign(**further), "test", "minute", metadata={"long": "text" * ROWS})


@pytest.fixture
def wide(storage: DuckDBDataStorage) -> DuckDBDataStorage:
    """A store with blocks of many columns and of several tables."""
    wide_series(storage.path)
    return storage


@pytest.mark.older_duckdb
def test_every_damaged_block_is_reported(wide: DuckDBDataStorage) -> None:
    blocks = used_blocks(wide)
    wide.close()
    assert len(blocks) >= 10
    whole = wide.path.with_name("whole")
    shutil.copyfile(wide.path, whole)
    assert wide.verify().sound
    for block in blocks:
        shutil.copyfile(whole, wide.path)
        corrupt(wide.path, block)
        try:
            report = wide.verify()
        except StoreDamagedError:
            continue  # it cannot even be opened
        assert not report.sound, f"block {block}"
        assert all(finding.check == "blocks" and "cannot be read" in finding.what for finding in report.findings)
    shutil.copyfile(whole, wide.path)
    assert wide.verify().findings == []


def test_a_repair_keeps_what_can_be_read(wide: DuckDBDataStorage) -> None:
    """A bar is lost only with a block of bars. What is left is sound, and what is lost is requested again."""
    key = wide.list_series()[0].key
    before, covered = wide.read_pandas(wide.pin(key)), wide.coverage(key)
    blocks = used_blocks(wide)
    wide.close()
    whole = wide.path.with_name("whole")
    shutil.copyfile(wide.path, whole)
    kept = lost = 0
    for block in blocks[:: max(1, len(blocks) // 5)]:
        shutil.copyfile(whole, wide.path)
        corrupt(wide.path, block)
        try:
            report = wide.repair()
        except StoreDamagedError:
            continue  # it is in a table that nothing can replace
        damaged = wide.path.with_name(f"{wide.path.name}.damaged-1")
        assert damaged.read_bytes()[: 1 << 20] != whole.read_bytes()[: 1 << 20]
        damaged.unlink()
        assert report.left.findings == []
        there = wide.read_pandas(wide.pin(key))
        if len(there) < len(before):
            assert all(repair.repair_id is None for repair in report.repairs)
            with pytest.raises(RepairError, match="bars from before it are lost"):
                wide.undo_repair(wide.pin(key).ingest_id)
        pd.testing.assert_frame_equal(there, before.loc[there.index])
        lost += len(there) < len(before)
        kept += 0 < len(there) < len(before)
        assert (wide.coverage(key) == covered) == (len(there) == len(before))
        wide.close()
    assert lost > 0
    assert kept > 0


@pytest.mark.older_duckdb
@pytest.mark.parametrize("table", ["bar_checksum", "layout"])
def test_a_copy_names_damage_of_any_table(wide: DuckDBDataStorage, table: str) -> None:
    """The bars are copied first, and the other tables in one transaction, which the damage aborts."""
    blocks = blocks_by_table(wide)
    wide.close()
    corrupt(wide.path, max(blocks.pop(table).difference(*blocks.values())))
    target = wide.path.with_name("copy.duckdb")
    copies: list[Callable[[], object]] = [wide.compact, lambda: wide.backup(target), lambda: wide.replica(target)]
    for copy in copies:
        with pytest.raises(StoreDamagedError, match=r"the block at byte \d+ has a wrong checksum\. Repair it"):
            copy()
    assert [file.name for file in wide.path.parent.glob("*.duckdb*") if file.suffix == ".duckdb"] == [wide.path.name]


@pytest.mark.older_duckdb
@pytest.mark.parametrize("table", ["bar", "series"])
def test_a_merge_names_damage_of_the_other_store_in_short(wide: DuckDBDataStorage, table: str) -> None:
    blocks = blocks_by_table(wide)
    wide.close()
    corrupt(wide.path, max(blocks.pop(table).difference(*blocks.values())))
    with DuckDBDataStorage(wide.path.with_name("here.duckdb")) as here, pytest.raises(StoreDamagedError) as refused:
        here.merge(wide.path)
    reason = r"the block at byte \d+ has a wrong checksum"
    expected = rf"{wide.path} is damaged: {reason}\. Merge an intact copy of it, or a backup"
    assert re.fullmatch(expected, str(refused.value))
    assert not here.path.exists()


@pytest.mark.older_duckdb
@pytest.mark.parametrize("table", ["layout", "series"])
def test_what_no_repair_can_replace(wide: DuckDBDataStorage, table: str) -> None:
    """`verify` and `repair` name what helps, a planned repair fails as the real one would, and bars can be saved."""
    blocks = blocks_by_table(wide)
    wide.close()
    corrupt(wide.path, max(blocks.pop(table).difference(*blocks.values())))
    damaged = wide.path.read_bytes()
    report = wide.verify()
    assert (report.series, report.rows, report.unreadable) == (1, ROWS, True)
    (remedy,) = {finding.repair for finding in report.findings}
    assert remedy.startswith(f"--repair cannot replace table {table}. Restore a backup")
    for dry_run in (True, False):
        with pytest.raises(StoreDamagedError, match="has blocks that cannot be read, and") as refused:
            wide.repair(dry_run=dry_run)
        assert str(refused.value).endswith(remedy)
    wide.close()
    assert wide.path.read_bytes() == damaged
    query = remedy.split('"')[1]
    assert wide.export(wide.path.parent / "saved", query=query).rows == ROWS


@pytest.mark.older_duckdb
def test_a_store_that_cannot_even_be_checked(wide: DuckDBDataStorage) -> None:
    """The answer is a backup, and no repair, which would fail in the same way."""
    blocks = blocks_by_table(wide)
    wide.close()
    corrupt(wide.path, max(blocks.pop("store_meta").difference(*blocks.values())))
    attempts: list[Callable[[], object]] = [wide.verify, wide.repair]
    for attempt in attempts:
        with pytest.raises(StoreDamagedError, match=r"cannot be checked or repaired, because .*\. Restore a backup"):
            attempt()
    wide.close()
    with wide.path.open("r+b") as file:
        file.truncate(wide.path.stat().st_size // 2)
    with pytest.raises(StoreDamagedError, match="Restore a backup") as refused:
        wide.verify()
    assert "verify --repair" not in str(refused.value)


def test_a_salvaged_file_is_repaired_before_it_takes_the_place_of_the_store(
    wide: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So an interruption in between leaves no store that has fewer bars than its coverage claims."""
    blocks = blocks_by_table(wide)
    wide.close()
    corrupt(wide.path, max(blocks.pop("bar").difference(*blocks.values())))
    damaged = wide.path.read_bytes()
    found: list[bool] = []

    def fail(file: Path, live: Path) -> None:
        assert not list(file.parent.glob(f"{file.name}.wal"))
        copy = shutil.copyfile(file, wide.path.with_name("copy.duckdb"))
        with DuckDBDataStorage(copy) as storage:
            found.append(storage.verify().findings == [] and storage.list_series()[0].rows < ROWS)
        raise StoreWriteError("the disk is full")

    monkeypatch.setattr(salvage, "put_in_place", fail)
    with pytest.raises(StoreWriteError):
        wide.repair()
    assert found == [True]
    assert wide.path.read_bytes() == damaged
    assert not list(wide.path.parent.glob("*.salvaging-*"))


@pytest.mark.older_duckdb
def test_coverage_that_cannot_be_read_is_requested_again(wide: DuckDBDataStorage) -> None:
    """No bar is lost, and nothing else is claimed."""
    key = wide.list_series()[0].key
    before = wide.read_pandas(wide.pin(key))
    with StoreConnection.of(wide.path).write() as cursor:  # so many ranges that they have blocks of their own
        cursor.execute("""
            INSERT INTO {db}.coverage SELECT series_id, ingest_id,
                TIMESTAMP_S '1980-01-01' + to_minutes(CAST(100 * n + hash(n) % 40 AS BIGINT)),
                TIMESTAMP_S '1980-01-01' + to_minutes(CAST(100 * n + 50 + hash(-n) % 40 AS BIGINT)), NULL
            FROM {db}.coverage, range(60_000) AS numbers(n)
        """)
    wide.close()
    with StoreConnection.of(wide.path).exclusive():
        pass  # folds the log in
    covered = {(piece.start, piece.end) for piece in wide.coverage(key)}
    blocks = blocks_by_table(wide)
    wide.close()
    corrupt(wide.path, max(blocks.pop("coverage").difference(*blocks.values())))
    assert {finding.check for finding in wide.verify().findings} == {"blocks"}
    assert wide.repair(dry_run=True).repairs[0].what.endswith("what can be read is copied into a new file")
    (repair,) = wide.repair().repairs
    assert re.search(r"no bar is lost, [\d,]+ covered ranges could not be read and are lost, the next", repair.what)
    assert {(piece.start, piece.end) for piece in wide.coverage(key)} < covered
    pd.testing.assert_frame_equal(wide.read_pandas(wide.pin(key)), before)
    assert wide.verify().sound


@pytest.mark.older_duckdb
def test_what_users_made_in_the_store_is_salvaged(wide: DuckDBDataStorage) -> None:
    with duckdb.connect(str(wide.path)) as plain:
        plain.execute("CREATE MACRO mine(x) AS x + 1")
        plain.execute("CREATE TABLE notes AS SELECT 'a' AS note")
        plain.execute("CREATE VIEW latest AS SELECT max(timestamp) AS latest FROM ohlcv_data")
    blocks = blocks_by_table(wide)
    wide.close()
    corrupt(wide.path, max(blocks.pop("bar").difference(*blocks.values())))
    wide.repair()
    wide.close()
    with duckdb.connect(str(wide.path), read_only=True) as plain:
        assert plain.execute("SELECT mine(1), note, latest IS NOT NULL FROM notes, latest").fetchall() == [
            (2, "a", True)
        ]
        assert plain.execute("SELECT count(*) > 50 FROM duckdb_functions() WHERE comment = 'lumibot-duckdb'").fetchone()


def test_a_pin_of_what_lost_bars_never_shows_the_rest(wide: DuckDBDataStorage) -> None:
    """A snapshot does, which cannot be repeated without them, and `verify` says so."""
    pin = wide.pin("X")
    blocks = blocks_by_table(wide)
    wide.close()
    whole = wide.path.read_bytes()
    for snapshot in (False, True):
        wide.close()
        wide.path.write_bytes(whole)
        if snapshot:
            wide.snapshot("kept")
            blocks = blocks_by_table(wide)
            wide.close()
        corrupt(wide.path, max(blocks["bar"].difference(*(blocks[name] for name in blocks if name != "bar"))))
        report = wide.repair()
        assert 0 < wide.list_series()[0].rows < ROWS
        if snapshot:
            assert len(wide.get_historical_prices("X", as_of="kept")) < ROWS
            assert [finding.check for finding in report.left.findings] == ["repaired_in_snapshots"]
        else:
            with pytest.raises(VersionGoneError, match="run the backtest again"):
                wide.read_pandas(pin)
            assert report.left.findings == []


@pytest.mark.older_duckdb
def test_what_is_in_memory_does_not_hide_what_is_on_the_disk(wide: DuckDBDataStorage) -> None:
    blocks = used_blocks(wide)
    assert wide.verify().sound
    assert StoreConnection.of(wide.path)._lease.is_held
    before = wide.path.stat()
    corrupt(wide.path, blocks[-1])
    os.utime(wide.path, ns=(before.st_atime_ns, before.st_mtime_ns))  # a disk that fails changes no times
    try:
        sound = wide.verify().sound
    except StoreDamagedError:
        sound = False
    assert not sound
