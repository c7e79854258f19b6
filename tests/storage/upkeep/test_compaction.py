"""Compaction makes the file smaller and ordered, loses nothing, and lets other processes work meanwhile."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import textwrap
from pathlib import Path
from threading import Timer
from typing import Any

import duckdb
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import CorporateAction
from lumibot_duckdb.storage.connection.engine import attach
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import SeriesNotFoundError, StorageError, VersionGoneError
from lumibot_duckdb.storage.upkeep import compaction, store_copy
from storage.frames import assert_same, minute_bars

AT_ONCE = dt.timedelta(0)
Frames = dict[str, pd.DataFrame]


def scattered(storage: DuckDBDataStorage, symbols: int = 5, pieces: int = 8, rows: int = 500) -> Frames:
    """Write several series a piece at a time, so that their bars lie among one another, latest first."""
    frames = {f"S{i}": minute_bars(rows=rows * pieces, seed=i) for i in range(symbols)}
    for piece in reversed(range(pieces)):
        for symbol, frame in frames.items():
            storage.store_ohlcv_data(symbol, frame.iloc[piece * rows : (piece + 1) * rows], "test", "minute")
    return frames


def assert_holds(storage: DuckDBDataStorage, frames: Frames) -> None:
    for one in (storage, DuckDBDataStorage(storage.path)):
        for symbol, frame in frames.items():
            assert_same(one.get_historical_prices(symbol), frame)
    assert storage.verify().findings == []
    assert [path.name for path in storage.path.parent.glob("*compacting*")] == []


def in_reading_order(storage: DuckDBDataStorage) -> bool:
    with StoreConnection.of(storage.path).read() as cursor:
        rows = cursor.rows("SELECT version_id, ts FROM {db}.bar")
    return rows == sorted(rows)


@pytest.mark.older_duckdb
def test_bars_are_put_in_the_order_in_which_they_are_read(storage: DuckDBDataStorage) -> None:
    frames = scattered(storage)
    assert not in_reading_order(storage)
    report = storage.compact()
    assert (report.rows, report.rows_removed, report.versions_removed) == (20_000, 0, 0)
    assert in_reading_order(storage)
    assert_holds(storage, frames)


def test_large_versions_are_copied_in_pieces(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = scattered(storage)
    frames["SMALL"] = minute_bars(rows=3)
    storage.store_ohlcv_data("SMALL", frames["SMALL"], "test", "minute")
    monkeypatch.setattr(store_copy, "_ROWS_AT_A_TIME", 700)
    assert storage.compact().rows == 20_003
    assert in_reading_order(storage)
    assert_holds(storage, frames)


def test_row_groups_are_full_except_at_the_end_of_a_version_and_leave_no_holes(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = {"LONG": minute_bars(rows=5000), "SHORT": minute_bars(rows=100), "LONGER": minute_bars(rows=7000)}
    for symbol, frame in frames.items():
        storage.store_ohlcv_data(symbol, frame, "test", "minute")
    monkeypatch.setattr(store_copy, "_ROW_GROUP", 2048)
    monkeypatch.setattr(store_copy, "_ROWS_AT_A_TIME", 4096)
    storage.compact()
    storage.close()
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{storage.path}' AS s (READ_ONLY)")
        groups = connection.execute(
            "SELECT sum(count) FROM pragma_storage_info('s.bar') "
            "WHERE column_name = 'ts' AND segment_type <> 'VALIDITY' GROUP BY row_group_id ORDER BY row_group_id"
        ).fetchall()
        free = connection.execute("SELECT free_blocks FROM pragma_database_size() WHERE database_name = 's'").fetchall()
    assert [rows for (rows,) in groups] == [2048, 2048, 904, 100, 2048, 2048, 2048, 856]
    assert free in ([(0,)], [(1,)])  # one had metadata of an earlier checkpoint
    assert_holds(storage, frames)


def test_short_versions_that_fit_into_a_row_group_lie_in_one(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = {f"S{number}": minute_bars(rows=900 + number) for number in range(5)}
    for symbol, frame in frames.items():
        storage.store_ohlcv_data(symbol, frame, "test", "minute")
    monkeypatch.setattr(store_copy, "_ROW_GROUP", 2048)
    storage.compact()
    storage.close()
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{storage.path}' AS s (READ_ONLY)")
        groups = connection.execute(
            "SELECT sum(count) FROM pragma_storage_info('s.bar') "
            "WHERE column_name = 'ts' AND segment_type <> 'VALIDITY' GROUP BY row_group_id ORDER BY row_group_id"
        ).fetchall()
    assert [rows for (rows,) in groups] == [1801, 1805, 904]
    assert_holds(storage, frames)


def test_superseded_versions_go_after_their_grace(storage: DuckDBDataStorage) -> None:
    frames = scattered(storage, symbols=2)
    old = frames["S0"].copy()
    pin = storage.pin("S0")
    frames["S0"].iloc[9, 3] += 0.01
    frames["S0"].iloc[9, 1] += 0.01
    storage.store_ohlcv_data("S0", frames["S0"], "test", "minute")
    kept = storage.compact()
    assert (kept.versions_removed, kept.rows_removed) == (0, 0)
    assert_same(DuckDBDataStorage(storage.path).read_pandas(pin), old)
    gone = storage.compact(AT_ONCE)
    assert (gone.versions_removed, gone.rows_removed) == (1, 4000)
    with pytest.raises(VersionGoneError, match=r"S0 stock.* no longer in the store.*compact"):
        DuckDBDataStorage(storage.path).read_pandas(pin)
    assert_holds(storage, frames)


def test_the_file_gets_smaller(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=50_000)
    for step in range(4):
        frame["close"] += step
        frame["high"] = frame["low"] = frame["open"] = frame["close"]
        storage.store_ohlcv_data("X", frame, "test", "minute")
    storage.close()
    before = storage.path.stat().st_size
    report = storage.compact(AT_ONCE)
    assert report.bytes_before == before
    assert report.bytes_after == storage.path.stat().st_size < before
    assert_holds(storage, {"X": frame})


def test_ids_are_not_used_again(storage: DuckDBDataStorage) -> None:
    first = storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    storage.delete_series("X")
    storage.compact(AT_ONCE)
    again = storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    assert first.ingest_id is not None
    assert again.ingest_id is not None
    assert again.ingest_id > first.ingest_id + 1
    assert storage.verify().findings == []


def test_the_new_file_can_be_opened_by_the_oldest_duckdb(storage: DuckDBDataStorage) -> None:
    scattered(storage, symbols=1, pieces=1)
    storage.compact()
    storage.close()
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{storage.path}' AS s (READ_ONLY)")
        tags = connection.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 's'").fetchone()
    assert tags is not None
    assert tags[0]["storage_version"].startswith("v1.5.0")


def test_what_others_write_during_a_compaction_is_kept(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = scattered(storage, symbols=4)
    split = CorporateAction(dt.date(2024, 1, 2), 1, 2)
    copy_most = compaction.copy_most
    other = DuckDBDataStorage(storage.path)

    def copy_and_then_write(*arguments: Any) -> Any:
        copied = copy_most(*arguments)
        more = minute_bars("2024-03-01 09:30", rows=50)
        other.store_ohlcv_data("S0", more, "test", "minute")
        frames["S0"] = pd.concat([frames["S0"], more])
        frames["S1"]["close"] = frames["S1"]["low"]
        other.store_ohlcv_data("S1", frames["S1"], "test", "minute")
        other.delete_series("S2")
        del frames["S2"]
        other.restate_series("S3", "test", "minute")
        frames["S3"] = frames["S3"].iloc[:0]
        other.record_corporate_actions("S3", [split], "test")
        other.store_option_chain("S3", {"Chains": {"CALL": {"2024-01-19": [1.5]}}}, "test", split.ex_date)
        frames["NEW"] = minute_bars(rows=20).assign(Some_Column="text", bid=1.5)
        other.store_ohlcv_data("NEW", frames["NEW"], "test", "minute")
        return copied

    monkeypatch.setattr(compaction, "copy_most", copy_and_then_write)
    pin, renewed = storage.pin("S1"), storage.pin("S3")
    before, before_renewal = storage.read_pandas(pin), storage.read_pandas(renewed)
    storage.compact()
    assert_holds(storage, frames)
    assert_same(DuckDBDataStorage(storage.path).read_pandas(pin), before)
    assert_same(DuckDBDataStorage(storage.path).read_pandas(renewed), before_renewal)
    known = storage.corporate_actions("S3", "test")
    assert known is not None
    assert known.actions == (split,)
    found = storage.option_chain("S3", "test", split.ex_date, split.ex_date)
    assert found is not None
    assert found.chain == {"Chains": {"CALL": {"2024-01-19": [1.5]}}}
    with pytest.raises(SeriesNotFoundError):
        storage.pin("S2")


def test_a_compaction_during_a_compaction_does_no_harm(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = scattered(storage, symbols=2)
    copy_most = compaction.copy_most
    other = DuckDBDataStorage(storage.path)

    def copy_and_then_compact(*arguments: Any) -> Any:
        copied = copy_most(*arguments)
        monkeypatch.setattr(compaction, "copy_most", copy_most)
        frames["S1"]["close"] = frames["S1"]["low"]
        other.store_ohlcv_data("S1", frames["S1"], "test", "minute")
        other.compact(AT_ONCE)
        return copied

    monkeypatch.setattr(compaction, "copy_most", copy_and_then_compact)
    storage.compact(AT_ONCE)
    assert_holds(storage, frames)


def test_a_store_that_was_exchanged_meanwhile_is_not_overwritten(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    scattered(storage, symbols=1)
    copy_most = compaction.copy_most
    anew = minute_bars(rows=7, seed=9)

    def copy_and_then_make_another_store(*arguments: Any) -> Any:
        copied = copy_most(*arguments)
        storage.close()
        storage.path.unlink()
        storage.store_ohlcv_data("Y", anew, "test", "minute")
        return copied

    monkeypatch.setattr(compaction, "copy_most", copy_and_then_make_another_store)
    with pytest.raises(StorageError, match="replaced by another store"):
        storage.compact()
    assert_holds(storage, {"Y": anew})


@pytest.mark.older_duckdb
def test_a_full_disk_leaves_the_store_as_it_was(storage: DuckDBDataStorage) -> None:
    frames = scattered(storage, symbols=3, rows=5000)
    storage.close()
    code = """
        import resource, sys
        from lumibot_duckdb import DuckDBDataStorage
        from lumibot_duckdb.storage.errors import StoreWriteError
        storage = DuckDBDataStorage(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            storage.compact()
        except StoreWriteError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(storage.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "and the store is unchanged: " in done.stdout, done.stderr
    assert_holds(storage, frames)


def test_what_an_interrupted_compaction_left_behind_is_removed(storage: DuckDBDataStorage) -> None:
    scattered(storage, symbols=1)
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead = storage.path.with_name(f"{storage.path.name}.compacting-{int(done.stdout)}-abc")
    alive = storage.path.with_name(f"{storage.path.name}.compacting-1-abc")
    for file in (dead, dead.with_name(dead.name + ".wal"), alive):
        file.write_text("unfinished")
    storage.compact()
    assert sorted(Path(storage.path.parent).glob("*compacting*")) == [alive]


@pytest.mark.older_duckdb
def test_a_file_that_duckdb_has_not_let_go_of_yet_is_waited_for(tmp_path: Path) -> None:
    """It may keep a detached file for a moment, until its threads have dropped the last query."""
    path = tmp_path / "store.duckdb"
    storage = DuckDBDataStorage(path)
    storage.store_ohlcv_data("AAPL", minute_bars(rows=10), "test", "minute")
    storage.close()
    holding = duckdb.connect()
    attach(holding, path, "held", "READ_WRITE")
    Timer(0.2, holding.close).start()
    with store_copy.new_file(tmp_path / "new.duckdb") as new, new.with_old(path) as old:
        assert old.rows("SELECT count(*) FROM old.bar") == [(10,)]
