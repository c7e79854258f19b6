"""A writer killed at any moment leaves each of its transactions stored whole or not at all."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from faults import workers
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from processes import last_message

pytestmark = pytest.mark.older_duckdb


def kill(process: Any) -> None:
    """Kill a process that is still at work."""
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def wait_for(file: Path) -> None:
    """Wait until the file is there, ten seconds at most."""
    deadline = time.monotonic() + 10
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.0005)


@pytest.mark.parametrize("kills", [10, pytest.param(60, marks=pytest.mark.long)])
def test_what_a_killed_writer_committed_is_there_and_nothing_else(tmp_path: Path, kills: int) -> None:
    path = tmp_path / "s.duckdb"
    workers.create_tables(path)
    store = StoreConnection.of(path)
    store.close()
    rng = random.Random(7)
    stored = logs = 0
    for attempt in range(kills):
        process, pipe = workers.start(workers.write_until_killed, path, 1, attempt)
        began_with = pipe.recv()
        assert began_with == stored
        if attempt % 2:
            wait_for(path.with_name("s.duckdb.wal"))
        else:
            time.sleep(rng.uniform(0.0, 0.15))
        kill(process)
        reported = last_message(pipe, began_with)
        logs += path.with_name("s.duckdb.wal").exists()
        with store.read() as cursor:
            stored = workers.read_batches_of_any_size(cursor).get(1, 0)
        # The last commit may have happened without its report having been sent.
        assert reported <= stored <= reported + 1
        store.close()
        assert not path.with_name("s.duckdb.wal").exists()
    assert stored > kills / 2  # it did write
    assert logs > 0  # and was killed with a log left at least once


def test_a_killed_writer_is_recovered_by_the_next_writer_too(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    workers.create_tables(path)
    StoreConnection.of(path).close()
    process, pipe = workers.start(workers.write_until_killed, path, 1, 1)
    for _ in range(4):
        pipe.recv()
    kill(process)
    reported = last_message(pipe, 3)
    with StoreConnection.of(path).write() as cursor:
        workers.write_batch(cursor, 2, 1)
    with StoreConnection.of(path).read() as cursor:
        stored = workers.read_batches_of_any_size(cursor)
    assert stored[2] == 1
    assert reported <= stored[1] <= reported + 1


def test_a_program_killed_while_it_creates_a_store_leaves_none_or_a_complete_one(tmp_path: Path) -> None:
    rng = random.Random(3)
    for attempt in range(10):
        path = tmp_path / f"s{attempt}.duckdb"
        process, pipe = workers.start(workers.create_until_killed, path)
        assert pipe.recv() == "ready"
        time.sleep(rng.uniform(0.0, 0.06))
        process.kill()
        process.join()
        store = StoreConnection.of(path)
        with store.write() as cursor:
            tables = {
                name for (name,) in cursor.rows("SELECT table_name FROM duckdb_tables() WHERE database_name = '{db}'")
            }
            assert tables in (set(), {"entry", "tally"})
            cursor.execute("CREATE TABLE {db}.main.more AS SELECT 1 AS n")
        store.close()
        assert sorted(file.name for file in tmp_path.glob(f"s{attempt}.*")) == [
            path.name,
            f"{path.name}.lock",
            f"{path.name}.turn",
        ]


@pytest.mark.parametrize("left_over", ["s.duckdb", "s.duckdb.creating", "s.duckdb.wal", "s.duckdb.creating.wal"])
def test_what_an_interrupted_creation_left_is_no_obstacle(tmp_path: Path, left_over: str) -> None:
    (tmp_path / left_over).touch()
    store = StoreConnection.of(tmp_path / "s.duckdb")
    assert not store.exists()
    workers.create_tables(store.path)
    assert store.exists()
    store.close()
    assert duckdb.connect(str(store.path)).execute("SELECT count(*) FROM entry").fetchall() == [(0,)]
