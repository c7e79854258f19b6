"""A replica has the current bars, is refreshed by renaming, and is never written as a store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import ReplicaError
from lumibot_duckdb.storage.upkeep import replica as replica_module
from storage.frames import assert_same
from storage.upkeep.copies import FRAME, LATER, assert_nothing_left, fill, store


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "Kopie für Jupyter" / "r.duckdb"


@pytest.fixture(autouse=True)
def _folder(target: Path) -> None:
    target.parent.mkdir()


def closes(path: Path, **options: Any) -> list[tuple[str, float]]:
    with duckdb.connect(str(path), **options) as connection:
        return connection.sql("SELECT asset_symbol, sum(close) FROM ohlcv_data GROUP BY ALL ORDER BY ALL").fetchall()


@pytest.mark.parametrize("options", [{}, {"read_only": True}])
def test_any_duckdb_reads_the_current_bars(storage: DuckDBDataStorage, target: Path, options: dict[str, Any]) -> None:
    fill(storage)
    report = storage.replica(target)
    assert (report.refreshed, report.series, report.bytes) == (True, 3, target.stat().st_size)
    assert report.rows == 2 * len(FRAME) < storage.statistics().rows  # it lacks the superseded version of A
    storage.close()
    assert closes(target, **options) == closes(storage.path, read_only=True) != []
    assert [file.name for file in target.parent.iterdir()] == [target.name]


def test_it_has_no_snapshots(storage: DuckDBDataStorage, target: Path) -> None:
    store(storage, "A", FRAME)
    storage.snapshot("before")
    store(storage, "A", FRAME + 1)
    storage.replica(target)
    with DuckDBDataStorage(target) as replica:
        assert replica.snapshots() == []
        assert replica.verify().findings == []
        assert_same(replica.get_historical_prices("A"), FRAME + 1)
    assert [each.name for each in storage.snapshots()] == ["before"]


def test_nothing_is_copied_if_nothing_has_changed(
    storage: DuckDBDataStorage, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(storage)
    first = storage.replica(target)
    before = target.stat().st_ino
    storage.close()
    with monkeypatch.context() as patched:
        patched.setattr(replica_module, "copy_most", None)
        again = DuckDBDataStorage(storage.path).replica(target)
    assert (again.refreshed, again.series, again.rows) == (False, first.series, first.rows)
    assert target.stat().st_ino == before
    storage.store_option_chain("A", {"Chains": {}}, "test", FRAME.index[0].date(), days_ahead=3)  # which is no ingest
    assert storage.replica(target).refreshed
    assert not storage.replica(target).refreshed


@pytest.mark.parametrize("mode", ["read_only=True", "read_only=False"])
def test_a_program_with_the_old_one_open_keeps_it(storage: DuckDBDataStorage, target: Path, mode: str) -> None:
    """Even one that has it open for writing, which is DuckDB's default, and that has written into it."""
    store(storage, "A")
    storage.replica(target)
    code = f"""
import duckdb, sys
c = duckdb.connect(sys.argv[1], {mode})
if not {mode.partition("=")[2]}:
    c.execute("CREATE TABLE note AS SELECT 1")
print(c.execute("SELECT count(*) FROM bar").fetchone()[0], flush=True)
input()
print(c.execute("SELECT count(*) FROM bar").fetchone()[0], flush=True)
"""
    call = [sys.executable, "-c", code, str(target)]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as notebook:
        assert notebook.stdout is not None
        assert notebook.stdout.readline() == f"{len(FRAME)}\n"
        assert not storage.replica(target).refreshed
        store(storage, "A", LATER)  # nothing blocks it
        assert storage.replica(target).refreshed
        assert closes(target) == [("A", pytest.approx(FRAME["close"].sum() + LATER["close"].sum()))]
        out, _ = notebook.communicate("\n")
        assert out == f"{len(FRAME)}\n"
    assert closes(target) == [("A", pytest.approx(FRAME["close"].sum() + LATER["close"].sum()))]
    assert_nothing_left(target.parent)


def test_our_own_package_reads_it_and_refuses_to_write_it(storage: DuckDBDataStorage, target: Path) -> None:
    store(storage, "A")
    storage.replica(target)
    replica = DuckDBDataStorage(target)
    assert_same(replica.get_historical_prices("A"), FRAME)
    assert replica.verify().findings == []
    before = target.read_bytes()
    message = f"a replica of {storage.path}, which is only read: write to that store"
    hour = TimeRange(0, 3600)
    for write in (
        lambda: store(replica, "A", LATER),
        lambda: store(replica, "A", LATER, covered=hour),  # a download, which is not spooled beside a replica
        lambda: replica.record_coverage("A", hour, "test", "minute"),
        lambda: replica.delete_series("A"),
        lambda: replica.record_corporate_actions("A", [], "test"),
    ):
        with pytest.raises(ReplicaError, match=message):
            write()
    with pytest.raises(ReplicaError, match="is a replica of"):
        replica.compact()
    replica.close()
    assert target.read_bytes() == before
    assert sorted(file.name for file in target.parent.iterdir()) == ["r.duckdb", "r.duckdb.lock", "r.duckdb.turn"]


@pytest.mark.older_duckdb
def test_a_replica_of_an_older_schema_is_refreshed(storage: DuckDBDataStorage, target: Path) -> None:
    store(storage, "A")
    storage.replica(target)
    with StoreConnection.of(target).write() as cursor:
        cursor.execute("DROP TABLE {db}.snapshot; DROP TABLE {db}.setting")
        cursor.execute("UPDATE {db}.store_meta SET value = '5' WHERE key = 'schema_version'")
    replica = DuckDBDataStorage(target)
    with pytest.raises(ReplicaError, match="refresh the replica"):
        replica.list_series()
    replica.close()
    storage.compact()
    assert storage.replica(target).refreshed
    assert_same(replica.get_historical_prices("A"), FRAME)
    replica.close()


def test_only_a_replica_of_the_same_store_is_replaced(storage: DuckDBDataStorage, target: Path, tmp_path: Path) -> None:
    store(storage, "A")
    other = DuckDBDataStorage(tmp_path / "other.duckdb")
    store(other, "A")
    other.replica(target)
    with pytest.raises(FileExistsError, match="replica of another store: delete it first"):
        storage.replica(target)
    target.unlink()
    storage.backup(target)
    for content in (target.read_bytes(), b"", b"no store at all" * 10_000):
        target.write_bytes(content)
        with pytest.raises(FileExistsError, match="exists and is not a replica"):
            storage.replica(target)
        assert target.read_bytes() == content
    other.close()
