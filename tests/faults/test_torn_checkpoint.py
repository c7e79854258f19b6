"""A process dies while it rewrites metadata in place: the next one finds the store in its earlier state."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pytest

from lumibot_duckdb.storage.connection.checkpoint_guard import CheckpointGuard
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StoreDamagedError

pytestmark = pytest.mark.older_duckdb

FIRST_BLOCK, BLOCK = 12_288, 262_144


def numbers(path: Path) -> list[int]:
    with StoreConnection.of(path).read() as cursor:
        return [n for (n,) in cursor.rows("SELECT n FROM {db}.main.number ORDER BY n")]


def write(path: Path, number: int) -> None:
    with StoreConnection.of(path).write() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS {db}.main.number (n INTEGER)")
        cursor.execute("INSERT INTO {db}.main.number VALUES (?)", [number])
    StoreConnection.of(path).close()


def metadata_blocks(path: Path) -> list[int]:
    with duckdb.connect(str(path), read_only=True) as person:
        return [block for (block,) in person.execute("SELECT block_id FROM pragma_metadata_info()").fetchall()]


def guarded(path: Path) -> CheckpointGuard:
    """Set a guard as a checkpoint does."""
    guard = CheckpointGuard(path)
    descriptor = os.open(path, os.O_RDONLY)
    guard.set(descriptor, BLOCK, metadata_blocks(path))
    os.close(descriptor)
    return guard


def tear(path: Path) -> None:
    """Leave the metadata blocks half rewritten."""
    with path.open("r+b") as file:
        for block in metadata_blocks(path):
            file.seek(FIRST_BLOCK + block * BLOCK)
            file.write(os.urandom(BLOCK // 2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "s.duckdb"
    for number in range(3):
        write(path, number)
    return path


def test_duckdb_does_rewrite_metadata_in_place(path: Path) -> None:
    """Shows why the guard is needed. If a DuckDB release passes without it, the guard can be removed."""
    before = metadata_blocks(path)
    contents = path.read_bytes()
    write(path, 9)
    rewritten = path.read_bytes()
    at = [slice(FIRST_BLOCK + block * BLOCK, FIRST_BLOCK + (block + 1) * BLOCK) for block in before]
    assert any(contents[part] != rewritten[part] for part in at)


def test_without_a_guard_a_torn_block_is_the_end(path: Path) -> None:
    tear(path)
    with pytest.raises(StoreDamagedError):
        numbers(path)


@pytest.mark.parametrize("reads_first", [True, False])
def test_torn_blocks_are_restored_by_the_next_process(path: Path, reads_first: bool) -> None:
    guard = guarded(path)
    tear(path)
    if reads_first:
        assert numbers(path) == [0, 1, 2]
    write(path, 3)
    assert numbers(path) == [0, 1, 2, 3]
    assert not guard.exists()


def test_a_checkpoint_that_had_finished_stays(path: Path) -> None:
    guard = guarded(path)
    kept = guard.path.read_bytes()
    write(path, 3)
    guard.path.write_bytes(kept)  # as if the process had died before it could clear the guard
    assert numbers(path) == [0, 1, 2, 3]
    assert not guard.exists()


def test_a_guard_that_was_cut_short_is_of_no_account(path: Path) -> None:
    guard = guarded(path)
    guard.path.write_bytes(guard.path.read_bytes()[:-100])
    assert numbers(path) == [0, 1, 2]
    assert not guard.exists()


def test_a_finished_write_leaves_no_guard_and_no_log(path: Path) -> None:
    assert {file.name for file in path.parent.iterdir()} == {"s.duckdb", "s.duckdb.lock", "s.duckdb.turn"}


def test_a_long_lease_folds_its_log_on_the_way(path: Path) -> None:
    connection = StoreConnection.of(path)
    longest = 0
    with connection.burst():
        for number in range(40):
            with connection.write() as cursor:
                cursor.execute("INSERT INTO {db}.main.number SELECT ? FROM range(100_000)", [number])
            log = path.with_name("s.duckdb.wal")
            longest = max(longest, log.stat().st_size if log.exists() else 0)
    connection.close()
    assert longest < 20 * 2**20
