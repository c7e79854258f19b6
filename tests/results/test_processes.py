"""Several processes write by turns, other programs read in between, and a kill leaves whole trials."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import duckdb
import pytest

from lumibot_duckdb.results import ResultsDatabase
from lumibot_duckdb.storage.errors import StoreBusyError
from processes import FORKED
from results.samples import results_at, sweep, trial

ROWS = 2_000


def write_trials(folder: Path, name: str, first: int, count: int) -> None:
    results = results_at(folder)
    if not results.has_sweep(name):
        results.begin_sweep(sweep(name))
    for number in range(first, first + count):
        results.add_trials(name, [(number, trial(float(number), ROWS))])
        with (folder / f"{name}.txt").open("a") as file:
            file.write(f"{number}\n")


def incomplete(client: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    """Return the trials that do not have all of their rows, and rows of no trial."""
    counts = " FULL JOIN ".join(
        f"(SELECT sweep, number, count(*) AS {table} FROM {table} GROUP BY ALL) USING (sweep, number)"
        for table in ("equity", "trades", "daily_returns")
    )
    query = f"SELECT * FROM trials FULL JOIN {counts}"
    wrong = f"equity IS DISTINCT FROM {ROWS} OR trades IS DISTINCT FROM {ROWS} OR daily_returns IS DISTINCT FROM {ROWS}"
    return client.sql(f"FROM ({query}) WHERE status IS NULL OR {wrong}").fetchall()


def test_two_sweeps_write_while_any_client_reads(tmp_path: Path) -> None:
    write_trials(tmp_path, "first", 1, 1)
    writers = [FORKED.Process(target=write_trials, args=(tmp_path, name, 1, 4)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):
        with suppress(duckdb.IOException):  # a writer is at work, which takes milliseconds
            client = duckdb.connect(str(tmp_path / "my-results.duckdb"), read_only=True)
            with client:
                assert incomplete(client) == []
            seen += 1
        time.sleep(0.01)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert seen
    sweeps = results_at(tmp_path).sweeps("arrow").to_pylist()
    assert {row["sweep"]: row["trials"] for row in sweeps} == {"first": 1, "a": 4, "b": 4}


@pytest.mark.parametrize("kills", [4, pytest.param(60, marks=pytest.mark.long)])
def test_a_kill_leaves_whole_trials_and_all_that_were_stored(tmp_path: Path, kills: int) -> None:
    random = Random(kills)
    first = 1
    for _ in range(kills):
        writer = FORKED.Process(target=write_trials, args=(tmp_path, "a", first, 1_000))
        writer.start()
        _wait_for_next(tmp_path)
        seconds = _wait_for_next(tmp_path)  # which a trial takes on this machine, now
        time.sleep(random.uniform(0, 2 * seconds))
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        results = results_at(tmp_path)
        stored = set(results.records("a"))
        assert _acknowledged(tmp_path) <= stored
        with duckdb.connect(str(results.path), read_only=True) as client:
            assert incomplete(client) == []
        first = max(stored) + 1


def _wait_for_next(folder: Path) -> float:
    """Wait until one more trial is stored; return how long that took."""
    started, known = time.monotonic(), len(_acknowledged(folder))
    while len(_acknowledged(folder)) == known:
        time.sleep(0.002)
    return time.monotonic() - started


def _acknowledged(folder: Path) -> set[int]:
    file = folder / "a.txt"
    return {int(line) for line in file.read_text().split()} if file.exists() else set()


def test_threads_of_one_process_write_and_read(tmp_path: Path) -> None:
    results = results_at(tmp_path)
    results.begin_sweep(sweep("a"))
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            results.add_trials("a", [(number, trial(float(number), 10))])
            assert results.trial("a", number).statistics["sharpe"] == number
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert list(results.records("a")) == list(range(1, 9))


def test_a_file_that_is_open_elsewhere_is_waited_for_and_named(tmp_path: Path) -> None:
    write_trials(tmp_path, "a", 1, 1)
    results = ResultsDatabase(tmp_path / "my-results.duckdb", wait_seconds=0.2)
    opened, close = FORKED.Event(), FORKED.Event()
    reader = FORKED.Process(target=hold_open, args=(results.path, opened, close))
    reader.start()
    opened.wait(30)
    assert len(results.trials("a")) == 1  # both only read
    with pytest.raises(StoreBusyError, match=rf"my-results\.duckdb is open in process {reader.pid} .*Close it there"):
        results.add_trials("a", [(2, trial())])
    waiting = threading.Thread(target=lambda: results_at(tmp_path).add_trials("a", [(2, trial(2.0, ROWS))]))
    waiting.start()
    time.sleep(0.1)
    close.set()
    waiting.join()
    reader.join()
    assert list(results.records("a")) == [1, 2]


def hold_open(path: Path, opened: object, close: object) -> None:
    with duckdb.connect(str(path), read_only=True) as client:
        client.sql("SELECT count(*) FROM trials").fetchall()
        opened.set()  # type: ignore[attr-defined]
        close.wait(30)  # type: ignore[attr-defined]
