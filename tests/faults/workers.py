"""The workers of the tests: targets of spawned processes."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lumibot_duckdb.storage.connection.store_connection import StoreConnection

ROWS_PER_BATCH = 10
SPAWN = multiprocessing.get_context("spawn")


def start(target: Callable[..., None], *arguments: Any) -> tuple[Any, Connection]:
    """Start a process that gets the arguments and one end of a pipe; return it and the other end."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=target, args=(*arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def open_and_close_plainly(path: Path) -> None:
    """Read a byte of the file as any other program would. It drops the POSIX locks that this process has on it."""
    with path.open("rb") as file:
        file.read(1)


def create_tables(path: Path) -> None:
    with StoreConnection.of(path).write() as cursor:
        cursor.execute("CREATE TABLE {db}.main.entry (writer INTEGER, batch INTEGER, n INTEGER)")
        cursor.execute("CREATE TABLE {db}.main.tally (writer INTEGER, batches INTEGER)")


def write_batch(cursor: Any, writer: int, batch: int, rows: int = ROWS_PER_BATCH) -> None:
    """Add a batch to the one table, and count it in the other: true together or not at all."""
    # No parameters: for the first of them DuckDB 1.5 imports pandas, and these processes are to start fast.
    cursor.execute(f"INSERT INTO {{db}}.main.entry SELECT {writer}, {batch}, range FROM range({rows})")
    cursor.execute(f"DELETE FROM {{db}}.main.tally WHERE writer = {writer}")
    cursor.execute(f"INSERT INTO {{db}}.main.tally VALUES ({writer}, {batch})")


def read_batches(cursor: Any, rows: int = ROWS_PER_BATCH) -> dict[int, int]:
    """Return how many batches each writer has; fail on a batch that is there in part, twice or uncounted."""
    found = cursor.rows(
        "SELECT writer, max(batch), count(DISTINCT batch), count(*), sum(n) FROM {db}.main.entry GROUP BY writer"
    )
    tally = dict(cursor.rows("SELECT writer, batches FROM {db}.main.tally"))
    for writer, last, batches, entries, total in found:
        assert last == batches == tally[writer], f"writer {writer}: {last=} {batches=} {tally=}"
        assert entries == batches * rows, f"writer {writer}: {entries=} {batches=}"
        assert total == batches * sum(range(rows)), f"writer {writer}: {total=} {batches=}"
    assert set(tally) == {writer for writer, *_ in found}
    return tally


class _Stopwatch:
    """Times calls. `seconds` has one entry a call."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds.append(time.monotonic() - self._began)


def keep_reading(path: Path, seconds: float, pipe: Connection) -> None:
    """Read repeatedly, in two threads; report the duration of each call in seconds."""
    store = StoreConnection.of(path)
    watches = [_Stopwatch(), _Stopwatch()]
    failures: list[BaseException] = []

    def loop(watch: _Stopwatch, seed: int) -> None:
        rng = random.Random(seed)
        seen: dict[int, int] = {}
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                with watch, store.read() as cursor:
                    now = read_batches(cursor)
                assert all(now[writer] >= batches for writer, batches in seen.items()), f"{seen} then {now}"
                seen = now
                if rng.random() < 0.05:
                    open_and_close_plainly(path)
                if rng.random() < 0.02:
                    time.sleep(rng.uniform(0, 0.05))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=loop, args=(watch, os.getpid() + n)) for n, watch in enumerate(watches)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        pipe.send(repr(failures[0]))
        raise failures[0]
    pipe.send([seconds for watch in watches for seconds in watch.seconds])


def keep_writing(path: Path, writer: int, seconds: float, pipe: Connection) -> None:
    """Write repeatedly, sometimes in a burst; report the duration of each call in seconds."""
    store = StoreConnection.of(path)
    watch = _Stopwatch()
    rng = random.Random(writer)
    end = time.monotonic() + seconds
    batch = 0
    try:
        while time.monotonic() < end:
            in_burst = rng.random() < 0.2
            with store.burst() if in_burst else nullcontext():
                for _ in range(rng.randint(2, 20) if in_burst else 1):
                    with watch, store.write() as cursor:
                        batch += 1
                        write_batch(cursor, writer, batch)
            if rng.random() < 0.05:
                open_and_close_plainly(path)
            if rng.random() < 0.1:
                time.sleep(rng.uniform(0, 0.02))
        pipe.send(watch.seconds)
    except BaseException as error:
        pipe.send(repr(error))
        raise


def read_once_and_idle(path: Path, seconds: float, pipe: Connection) -> None:
    """Read once, then only open and close the store's file as any program might."""
    with StoreConnection.of(path, idle_seconds=3600).read() as cursor:
        read_batches(cursor)
    pipe.send("idle")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.3)
        open_and_close_plainly(path)
    pipe.send([])


def alternate(path: Path, mine: int, rounds: int, peer: Connection, pipe: Connection) -> None:
    """Take turns with the peer process: it writes and reports a number, which this process must read; then vice versa.

    Reads are cached under the generation that they were made at. Reports (stale reads, reads from the cache).
    """
    store = StoreConnection.of(path)
    cached: tuple[int, int] | None = None
    stale = hits = 0

    def read() -> int:
        nonlocal cached, hits
        if cached is not None and cached[0] == store.generation():
            hits += 1
            return cached[1]
        with store.read() as cursor:
            cached = (store.generation(), cursor.rows("SELECT n FROM {db}.main.number")[0][0])
        return cached[1]

    for number in range(1, rounds + 1):
        if number % 2 == mine:
            with store.write() as cursor:
                cursor.execute(f"UPDATE {{db}}.main.number SET n = {number}")
            peer.send(number)
        else:
            assert peer.recv() == number
        for _ in range(3):
            stale += read() < number  # the peer may be ahead already
        if number % 10:
            store.close()  # else the peer has to ask for the lease, which takes longer
    pipe.send((stale, hits))


def write_until_killed(path: Path, writer: int, seed: int, pipe: Connection) -> None:
    """Write small and large batches, with and without releasing the store in between; report the number of each."""
    store = StoreConnection.of(path)
    rng = random.Random(seed)
    with store.read() as cursor:
        batch = read_batches_of_any_size(cursor).get(writer, 0)
    pipe.send(batch)
    while True:
        batch += 1
        with store.write() as cursor:
            # From about 100,000 rows on, DuckDB writes rows into the file before the commit.
            write_batch(cursor, writer, batch, rows=rng.choices([1, 3_000, 150_000], weights=[6, 3, 1])[0])
        pipe.send(batch)
        if rng.random() < 0.5:
            store.close()  # folds the log into the file


def create_until_killed(path: Path, pipe: Connection) -> None:
    """Make a store with its tables."""
    pipe.send("ready")
    create_tables(path)
    pipe.send("made")


def read_batches_of_any_size(cursor: Any) -> dict[int, int]:
    """Return how many batches each writer has; fail on one that is there in part, twice or uncounted."""
    found = cursor.rows(
        "SELECT writer, max(batch), bool_and(rows = last + 1 AND rows = different), count(*) FROM ("
        "  SELECT writer, batch, count(*) AS rows, max(n) AS last, count(DISTINCT n) AS different"
        "  FROM {db}.main.entry GROUP BY writer, batch) GROUP BY writer"
    )
    assert all(whole for _, _, whole, _ in found)
    assert all(last == batches for _, last, _, batches in found)
    tally = dict(cursor.rows("SELECT writer, batches FROM {db}.main.tally"))
    assert tally == {writer: last for writer, last, _, _ in found}
    return tally
