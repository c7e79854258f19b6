"""A backup has everything that the store had at one moment, while others read and write."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.errors import ReplicaError, StorageError, StoreNotFoundError, StoreWriteError
from lumibot_duckdb.storage.upkeep import backup
from processes import FORKED
from storage.frames import assert_same, minute_bars
from storage.upkeep.copies import FRAME, LATER, assert_nothing_left, fill, store, tables


def test_a_backup_has_every_row_of_every_table(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    fill(storage)
    target = tmp_path / "bäckup of mine's.bak"
    report = storage.backup(target)
    assert Path(report.path) == target
    assert (report.bytes, report.series, report.spooled_bars) == (target.stat().st_size, 3, 0)
    assert report.rows == len(tables(storage.path)["bar"])
    assert tables(target) == tables(storage.path)
    assert_nothing_left(tmp_path)


def test_a_backup_can_be_opened_like_any_store(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    fill(storage)
    storage.backup(tmp_path / "b.duckdb")
    opened = DuckDBDataStorage(tmp_path / "b.duckdb")
    assert opened.verify().findings == []
    assert_same(opened.get_historical_prices("A"), FRAME.assign(volume=7))
    store(opened, "NEW")
    assert [info.key.asset.symbol for info in opened.list_series()] == ["A", "B", "C", "NEW"]
    opened.close()


@pytest.mark.older_duckdb
def test_what_users_have_created_in_the_file_is_there(
    storage: DuckDBDataStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store(storage, "A")
    storage.close()
    with duckdb.connect(str(storage.path)) as shell:
        shell.execute("""CREATE TABLE "my notes" (id INTEGER PRIMARY KEY, note VARCHAR DEFAULT 'x')""")
        shell.execute("""INSERT INTO "my notes" VALUES (1, 'one')""")
        shell.execute("CREATE VIEW closes AS SELECT close FROM ohlcv_data")
        shell.execute("CREATE TABLE short_lived (a INTEGER); CREATE VIEW broken AS SELECT * FROM short_lived")
        shell.execute("DROP TABLE short_lived")
    storage.backup(tmp_path / "b")
    storage.compact()
    storage.close()
    for file in (tmp_path / "b", storage.path):
        with duckdb.connect(str(file)) as shell:
            assert shell.execute("""FROM "my notes" """).fetchall() == [(1, "one")]
            assert shell.execute("SELECT count(*) FROM closes").fetchall() == [(len(FRAME),)]
    assert "the copy lacks the view broken" in caplog.text
    with duckdb.connect(str(storage.path)) as shell:
        shell.execute("CREATE TABLE twice (a INTEGER, b INTEGER GENERATED ALWAYS AS (2 * a))")
    with pytest.raises(StorageError, match="has a table twice, not of lumibot-duckdb, which cannot be copied"):
        storage.backup(tmp_path / "other")


def test_progress_counts_bars(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    seen: list[tuple[int, int]] = []
    storage.backup(tmp_path / "b", on_rows=lambda done, total: seen.append((done, total)))
    assert seen == [(len(FRAME), len(FRAME))]


@pytest.mark.older_duckdb
def test_what_waits_in_the_spool_is_merged_first(
    storage: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faults.operations import spool

    store(storage, "A")
    spool(storage, "A", LATER)
    assert storage.backup(tmp_path / "b").spooled_bars == 0
    assert len(tables(tmp_path / "b")["bar"]) == len(FRAME) + len(LATER)
    spool(storage, "B", FRAME)

    def fail(*_: Any) -> int:
        raise StoreWriteError("no space")

    monkeypatch.setattr(type(storage._store), "merge_spooled", fail)
    assert storage.backup(tmp_path / "other").spooled_bars == len(FRAME)


def write_for_ever(path: Path, pipe: Connection) -> None:
    """In another process: extend series in turn, a bar at a time."""
    storage = DuckDBDataStorage(path)
    frame = minute_bars(rows=20_000)
    for at in range(len(frame)):
        for symbol in ("A", "B"):
            store(storage, symbol, frame.iloc[at : at + 1])
        if at == 3:
            pipe.send("going")


def test_a_backup_while_another_process_writes_has_a_prefix_of_what_was_written(
    storage: DuckDBDataStorage, tmp_path: Path
) -> None:
    frame = minute_bars(rows=20_000)
    ours, theirs = FORKED.Pipe()
    process = FORKED.Process(target=write_for_ever, args=(storage.path, theirs), daemon=True)
    process.start()
    assert ours.recv() == "going"
    sizes = []
    for number in range(4):
        storage.backup(tmp_path / f"b{number}.duckdb")
        opened = DuckDBDataStorage(tmp_path / f"b{number}.duckdb")
        a, b = opened.get_historical_prices("A"), opened.get_historical_prices("B")
        assert_same(a, frame.iloc[: len(a)])
        assert_same(b, frame.iloc[: len(b)])
        assert len(a) - len(b) in (0, 1)
        assert opened.verify().sound
        opened.close()
        sizes.append(len(a))
    process.kill()
    process.join()
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_others_read_while_the_last_part_is_copied(
    storage: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a notebook that has the store open for reading is in the way."""
    store(storage, "A")
    storage.close()
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print('open', flush=True); input()"
    call = [sys.executable, "-c", code, str(storage.path)]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as notebook:
        assert notebook.stdout is not None
        assert notebook.stdout.readline() == "open\n"
        assert storage.backup(tmp_path / "b").rows == len(FRAME)
        notebook.communicate("\n")


@pytest.mark.older_duckdb
def test_what_is_written_between_the_parts_is_there(
    storage: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(storage)
    copy_most = backup.copy_most

    def copy_and_then_write(*arguments: Any) -> Any:
        copied = copy_most(*arguments)
        store(storage, "A", LATER.assign(bid=1.5))
        store(storage, "B", FRAME.assign(volume=9), adjustment="split")
        storage.delete_series("C")
        store(storage, "D")
        return copied

    monkeypatch.setattr(backup, "copy_most", copy_and_then_write)
    storage.backup(tmp_path / "b")
    assert tables(tmp_path / "b") == tables(storage.path)


def test_a_copy_is_given_up_if_an_earlier_backup_is_restored_meanwhile(
    storage: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "early")
    store(storage, "B")
    copy_most = backup.copy_most

    def copy_and_then_restore(*arguments: Any) -> Any:
        copied = copy_most(*arguments)
        storage.restore(tmp_path / "early")
        store(storage, "B", LATER)  # under the ids of the lost write
        return copied

    monkeypatch.setattr(backup, "copy_most", copy_and_then_restore)
    with pytest.raises(StorageError, match="was replaced by another store while it was copied"):
        storage.backup(tmp_path / "b")
    assert not (tmp_path / "b").exists()
    assert_nothing_left(tmp_path)


def test_a_file_that_is_there_is_replaced_only_on_request(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    target = tmp_path / "b"
    target.write_text("precious")
    with pytest.raises(FileExistsError, match="b exists already"):
        storage.backup(target)
    assert target.read_text() == "precious"
    target.unlink()
    storage.backup(target)
    store(storage, "B")
    storage.backup(target, replace=True)
    assert tables(target) == tables(storage.path)


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("{store}", ValueError, "is the store itself"),
        ("{folder}/link", ValueError, "is the store itself"),
        ("{store}.wal", ValueError, "belongs to the store"),
        ("{store}.use", ValueError, "belongs to the store"),
        ("{folder}/another.duckdb.wal", ValueError, "belongs to the store"),
        ("{folder}", ValueError, "is a folder"),
        ("{folder}/what?", ValueError, "DuckDB cannot handle"),
        ("{folder}/missing/b", StoreWriteError, "there is no folder"),
        ("/proc/b", StoreWriteError, "/proc"),
    ],
)
def test_unusable_paths(
    storage: DuckDBDataStorage, tmp_path: Path, path: str, error: type[Exception], message: str
) -> None:
    store(storage, "A")
    (tmp_path / "link").symlink_to(storage.path)
    (tmp_path / "another.duckdb").touch()
    before = tables(storage.path)
    for copy in (storage.backup, storage.replica):
        with pytest.raises(error, match=message.replace("?", r"\?")):
            copy(path.format(store=storage.path, folder=tmp_path))
    assert tables(storage.path) == before
    assert_nothing_left(tmp_path)


def test_without_a_store_there_is_nothing_to_back_up(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    for copy in (storage.backup, storage.replica):
        with pytest.raises(StoreNotFoundError):
            copy(tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_replica_is_no_store_to_back_up(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    storage.replica(tmp_path / "r.duckdb")
    replica = DuckDBDataStorage(tmp_path / "r.duckdb")
    with pytest.raises(ReplicaError, match=r"is a replica of .*: name that store"):
        replica.backup(tmp_path / "b")
    replica.close()


@pytest.mark.parametrize("operation", ["backup", "replica"])
def test_a_full_disk_leaves_nothing(storage: DuckDBDataStorage, tmp_path: Path, operation: str) -> None:
    store(storage, "A", minute_bars(rows=20_000))
    storage.close()
    code = """
        import resource, sys
        from lumibot_duckdb import DuckDBDataStorage
        from lumibot_duckdb.storage.errors import StoreWriteError
        storage = DuckDBDataStorage(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            getattr(storage, sys.argv[3])(sys.argv[2])
        except StoreWriteError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(storage.path), str(tmp_path / "b"), operation]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "nothing was written to" in done.stdout, done.stderr
    assert not (tmp_path / "b").exists()
    assert_nothing_left(tmp_path)
    assert storage.verify().findings == []


def test_leftovers_of_a_killed_backup_are_removed(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead = tmp_path / f"b[1].copying-{int(done.stdout)}-abc"
    dead.write_text("unfinished")
    storage.backup(tmp_path / "b[1]")
    assert not dead.exists()


def test_a_plain_duckdb_reads_a_backup(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "b.duckdb")
    with duckdb.connect(str(tmp_path / "b.duckdb"), read_only=True) as connection:
        found: pd.DataFrame = connection.sql("SELECT close FROM ohlcv_data ORDER BY timestamp").df()
    assert found["close"].tolist() == FRAME["close"].tolist()
