"""Several processes on one store all make progress, and none reads or writes anything wrong."""

from __future__ import annotations

import itertools
import os
import statistics
from pathlib import Path
from typing import Any

import pytest

from faults import workers
from lumibot_duckdb.storage.connection.store_connection import StoreConnection

# The promise: no call waits longer, with four processes reading and two writing.
LONGEST_WAIT = 30.0


Seconds = list[float]


def run_together(path: Path, seconds: float, readers: int, writers: int) -> dict[str, list[Seconds]]:
    """Run the processes; return for each of a kind the seconds that its calls took."""
    idle, idle_pipe = workers.start(workers.read_once_and_idle, path, seconds)
    assert idle_pipe.recv() == "idle"
    crew: dict[str, list[tuple[Any, Any]]] = {
        "read": [workers.start(workers.keep_reading, path, seconds) for _ in range(readers)],
        "write": [workers.start(workers.keep_writing, path, number, seconds) for number in range(writers)],
        "idle": [(idle, idle_pipe)],
    }
    reports = {kind: [pipe.recv() for _, pipe in members] for kind, members in crew.items()}
    for members in crew.values():
        for process, _ in members:
            process.join()
    failures = [report for kind in reports.values() for report in kind if isinstance(report, str)]
    assert not failures
    return reports


def check_soak(path: Path, seconds: float) -> None:
    workers.create_tables(path)
    reports = run_together(path, seconds, readers=4, writers=2)
    with StoreConnection.of(path).read() as cursor:
        stored = workers.read_batches_of_any_size(cursor)
    assert stored == {number: len(calls) for number, calls in enumerate(reports["write"])}
    for kind in ("read", "write"):
        calls = sorted(itertools.chain(*reports[kind]))
        print(
            f"\n{kind}s: {len(calls) / seconds:.0f} a second; a call takes {statistics.median(calls) * 1000:.0f} ms, "
            f"99 % up to {calls[len(calls) * 99 // 100] * 1000:.0f} ms, the longest {calls[-1] * 1000:.0f} ms",
            end="",
        )
        assert calls[-1] < LONGEST_WAIT
        # No process is starved: each has completed a fair number of operations.
        numbers = [len(calls) for calls in reports[kind]]
        assert min(numbers) > 0.1 * max(numbers)


def test_readers_writers_and_an_idle_process_share_a_store(tmp_path: Path) -> None:
    check_soak(tmp_path / "s.duckdb", 4.0)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_they_share_it_for_a_while(tmp_path: Path) -> None:
    seconds = float(os.environ.get("LUMIBOT_DUCKDB_SOAK_SECONDS", "10"))
    check_soak(tmp_path / "s.duckdb", min(seconds, 600.0))  # test_upkeep_soak.py takes the full time


# Ten thousand are `make soak`, here and on the whole storage.
ROUNDS = int(os.environ.get("LUMIBOT_DUCKDB_ALTERNATIONS", "800"))


@pytest.mark.parametrize("rounds", [100, pytest.param(ROUNDS, marks=pytest.mark.long)])
def test_alternations_of_two_processes_give_no_stale_read(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "s.duckdb"
    with StoreConnection.of(path).write() as cursor:
        cursor.execute("CREATE TABLE {db}.main.number AS SELECT 0 AS n")
    StoreConnection.of(path).close()
    end_a, end_b = workers.SPAWN.Pipe()
    _, pipe_a = workers.start(workers.alternate, path, 0, rounds, end_a)
    _, pipe_b = workers.start(workers.alternate, path, 1, rounds, end_b)
    for pipe in (pipe_a, pipe_b):
        stale, hits = pipe.recv()
        assert stale == 0
        assert hits >= rounds  # so it was the cache that answered, most of the time
