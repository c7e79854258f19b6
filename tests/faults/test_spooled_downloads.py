"""Spooled downloads are neither lost, duplicated nor torn, whichever process is killed or merges them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars import spool
from lumibot_duckdb.storage.bars.spool import Spool, SpoolContents
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StoreBusyError
from processes import FORKED
from storage.frames import assert_same, minute_bars
from storage.held_store import locked

START = 1_704_205_800  # 2024-01-02 09:30 in New York
ROWS = 50
PROCESSES = 4
KILLS = 6


def piece(number: int) -> tuple[pd.DataFrame, TimeRange]:
    """Return the bars and the range of one of many downloads."""
    begin = START + 60 * ROWS * number
    start = pd.Timestamp(begin, unit="s", tz="America/New_York").tz_localize(None)
    return minute_bars(str(start), ROWS, seed=number), TimeRange(begin, begin + 60 * ROWS)


def download(storage: DuckDBDataStorage, symbol: str, number: int) -> None:
    bars, covered = piece(number)
    storage.store_ohlcv_data(symbol, bars, "test", "minute", covered=covered, metadata={"n": number})


@contextmanager
def impatient(path: Path) -> Iterator[DuckDBDataStorage]:
    """A storage that does not wait for others."""
    connection = StoreConnection.of(path)
    patience, connection.wait_seconds = connection.wait_seconds, 0
    yield DuckDBDataStorage(path)
    connection.wait_seconds = patience


def keep(path: Path, symbol: str, numbers: range) -> None:
    """Spool downloads."""
    StoreConnection.of(path).close()
    with locked(path), impatient(path) as storage:
        for number in numbers:
            with pytest.raises(StoreBusyError, match="merges it"):
                download(storage, symbol, number)


def assert_all_there(storage: DuckDBDataStorage, symbol: str, count: int) -> None:
    """Fail unless the store has each of these downloads once, and the spool is empty."""
    pin = storage.pin(symbol)
    assert_same(storage.read_pandas(pin), pd.concat([piece(number)[0] for number in range(count)]))
    assert storage.coverage(symbol) == [TimeRange(START, START + 60 * ROWS * count)]
    writes = sorted(dict(ingest.metadata)["n"] for ingest in storage.ingests(pin))
    assert writes == list(range(count))
    assert storage.statistics().versions == len(storage.list_series())
    assert storage.verify().findings == []


def die_when_called(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def keep_and_die(path: Path, when: str) -> None:
    """In another process: get killed while a download is spooled: half written, or before it is renamed."""
    if when == "half written":
        spool.os.fsync = lambda descriptor: (os.ftruncate(descriptor, 1000), die_when_called())  # type: ignore
    else:
        Path.replace = die_when_called  # type: ignore
    with locked(path), impatient(path) as storage:
        download(storage, "X", 0)


def merge_and_die(path: Path) -> None:
    """In another process: get killed when a download is merged but its file not removed yet."""
    unlink = Path.unlink

    def die_or_unlink(file: Path, missing_ok: bool = False) -> None:
        if file.suffix == ".arrow":
            die_when_called()
        unlink(file, missing_ok)

    Path.unlink = die_or_unlink  # type: ignore
    DuckDBDataStorage(path).merge_spooled()


def killed(target: Callable[..., None], *arguments: Any) -> None:
    process = FORKED.Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("when", ["half written", "not named yet"])
def test_a_download_that_was_half_kept_is_none(tmp_path: Path, when: str) -> None:
    path = tmp_path / "s.duckdb"
    killed(keep_and_die, path, when)
    (left,) = Spool(path).folder.iterdir()
    assert (left.stat().st_size == 1000) == (when == "half written")
    storage = DuckDBDataStorage(path)
    assert storage.statistics().details == {}
    download(storage, "X", 0)
    assert not Spool(path).folder.exists()
    assert_all_there(storage, "X", 1)
    storage.close()


def test_a_process_killed_between_commit_and_removal_has_changed_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    keep(path, "X", range(2))
    killed(merge_and_die, path)
    storage = DuckDBDataStorage(path)
    assert Spool(path).contents() == SpoolContents(2, 2 * ROWS, 0)
    before = storage.pin("X")
    assert storage.facts(before).rows == ROWS  # the first was committed
    killed(merge_and_die, path)
    assert storage.pin("X") == before
    assert storage.merge_spooled() == 2
    assert_all_there(storage, "X", 2)
    storage.close()


def merge_for_ever(path: Path, pipe: Connection) -> None:
    """In another process: merge spooled downloads repeatedly."""
    storage = DuckDBDataStorage(path)
    pipe.send("ready")
    while True:
        storage.merge_spooled()


def test_processes_killed_while_they_merge_lose_and_double_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    rng = random.Random(3)
    interrupted = 0
    for attempt in range(KILLS):
        keep(path, "X", range(20 * attempt, 20 * (attempt + 1)))
        ours, theirs = FORKED.Pipe()
        process = FORKED.Process(target=merge_for_ever, args=(path, theirs), daemon=True)
        process.start()
        assert ours.recv() == "ready"
        merged = rng.randrange(20)  # not after some time, since that depends on the machine
        while Spool(path).contents().writes > 20 - merged and process.is_alive():
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.02))
        process.kill()
        process.join()
        interrupted += 0 < Spool(path).contents().writes < 20
        storage = DuckDBDataStorage(path)
        storage.merge_spooled()
        assert_all_there(storage, "X", 20 * (attempt + 1))
        storage.close()
    assert interrupted > 0


def merge_and_download(path: Path, mine: int, barrier: Barrier, pipe: Connection) -> None:
    """In another process: download other bars at the same time as the others, which merges the spool."""
    storage = DuckDBDataStorage(path)
    barrier.wait()
    try:
        for number in range(10):
            download(storage, f"OWN{mine}", number)
        storage.close()
        pipe.send("")
    except BaseException as error:
        pipe.send(repr(error))


@pytest.mark.long
def test_processes_that_merge_at_once_merge_everything_once(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    keep(path, "X", range(40))
    keep(path, "Y", range(5))
    assert run_together(merge_and_download, path) == [""] * PROCESSES
    storage = DuckDBDataStorage(path)
    assert not Spool(path).folder.exists()
    assert_all_there(storage, "X", 40)
    assert_all_there(storage, "Y", 5)
    for number in range(PROCESSES):
        assert_all_there(storage, f"OWN{number}", 10)
    storage.close()


def download_impatiently(path: Path, mine: int, barrier: Barrier, pipe: Connection) -> None:
    """In another process: download while others do, without waiting for them; report how often bars were spooled."""
    barrier.wait()
    kept = 0
    try:
        with impatient(path) as storage:
            for number in range(30):
                try:
                    download(storage, f"OWN{mine}", number)
                except StoreBusyError:
                    kept += 1
        storage.close()
        pipe.send(kept)
    except BaseException as error:
        pipe.send(repr(error))


@pytest.mark.long
def test_downloads_are_kept_while_others_merge_and_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    kept = run_together(download_impatiently, path)
    assert all(isinstance(count, int) for count in kept), kept
    assert sum(kept) > 0
    storage = DuckDBDataStorage(path)
    storage.merge_spooled()
    for number in range(PROCESSES):
        assert_all_there(storage, f"OWN{number}", 30)
    storage.close()


def run_together(target: Callable[..., None], path: Path) -> list[Any]:
    """Run processes at once; return what each of them reported at its end."""
    barrier = FORKED.Barrier(PROCESSES)
    pipes = []
    for number in range(PROCESSES):
        ours, theirs = FORKED.Pipe()
        FORKED.Process(target=target, args=(path, number, barrier, theirs), daemon=True).start()
        theirs.close()
        pipes.append(ours)
    return [pipe.recv() for pipe in pipes]
