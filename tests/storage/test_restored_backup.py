"""A backup that is restored while a process has the store open: that process notices, and loses nothing it stores."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.errors import SeriesNotFoundError, VersionGoneError
from processes import FORKED
from storage.frames import assert_same, minute_bars

FRAME = minute_bars()
LATER = minute_bars("2024-01-03 09:30", rows=40, seed=1)
OTHER = minute_bars("2024-01-04 09:30", rows=50, seed=2)


def store(storage: DuckDBDataStorage, symbol: str, frame: object = FRAME) -> None:
    storage.store_ohlcv_data(symbol, frame, "test", "minute")  # type: ignore[arg-type]


def backed_up(storage: DuckDBDataStorage, folder: Path) -> Path:
    """Close a store and copy its file; return the copy."""
    storage.close()
    backup = folder / "backup"
    shutil.copyfile(storage.path, backup)
    return backup


def copied_over(backup: Path, path: Path) -> None:
    shutil.copyfile(backup, path)


def moved_into_place(backup: Path, path: Path) -> None:
    new = path.with_name("new")
    shutil.copyfile(backup, new)
    new.replace(path)


def closed(storage: DuckDBDataStorage) -> None:
    storage.close()


def open_for_reading(storage: DuckDBDataStorage) -> None:
    storage.close()
    storage.get_historical_prices("LOST")


def open_for_writing(storage: DuckDBDataStorage) -> None:
    store(storage, "LOST", LATER)  # which is in the log only


@pytest.fixture(params=[closed, open_for_reading, open_for_writing])
def state(request: pytest.FixtureRequest) -> Callable[[DuckDBDataStorage], None]:
    chosen: Callable[[DuckDBDataStorage], None] = request.param
    return chosen


@pytest.fixture(params=[copied_over, moved_into_place])
def restored(
    request: pytest.FixtureRequest,
    storage: DuckDBDataStorage,
    state: Callable[[DuckDBDataStorage], None],
    tmp_path: Path,
) -> Iterator[DuckDBDataStorage]:
    """A storage that has stored A and LOST; the store at its path is a backup with A only."""
    store(storage, "A")
    backup = backed_up(storage, tmp_path)
    store(storage, "LOST")
    storage.close()  # so that the log of later writes does not fit the backup
    storage.pin("A")
    state(storage)
    request.param(backup, storage.path)
    yield storage
    storage.close()


def labels(storage: DuckDBDataStorage) -> list[str]:
    return [info.key.asset.symbol for info in storage.list_series()]


def test_what_is_stored_afterwards_is_there_and_sound(restored: DuckDBDataStorage) -> None:
    store(restored, "B", LATER)
    store(restored, "A", LATER)
    assert labels(restored) == ["A", "B"]
    restored.close()
    anew = DuckDBDataStorage(restored.path)
    assert anew.verify().findings == []
    assert_same(anew.get_historical_prices("B"), LATER)
    assert len(anew.get_historical_prices("A")) == len(FRAME) + len(LATER)


def test_what_the_backup_lacks_is_gone(restored: DuckDBDataStorage) -> None:
    assert labels(restored) == ["A"]
    with pytest.raises(SeriesNotFoundError):
        restored.get_historical_prices("LOST")
    store(restored, "LOST", OTHER)
    assert_same(restored.get_historical_prices("LOST"), OTHER)


def write_elsewhere(path: Path, symbols: list[str], pipe: Connection) -> None:
    """In another process: store series under the ids that the lost writes had."""
    storage = DuckDBDataStorage(path)
    for symbol in symbols:
        store(storage, symbol, OTHER)
    storage.close()
    pipe.send("done")


def elsewhere(storage: DuckDBDataStorage, *symbols: str) -> None:
    ours, theirs = FORKED.Pipe()
    process = FORKED.Process(target=write_elsewhere, args=(storage.path, list(symbols), theirs), daemon=True)
    process.start()
    assert ours.recv() == "done"
    process.join()


def test_writes_of_another_process_with_the_same_ids_are_not_mistaken_for_the_lost_ones(
    restored: DuckDBDataStorage,
) -> None:
    elsewhere(restored, "X", "Y", "Z")
    assert labels(restored) == ["A", "X", "Y", "Z"]
    store(restored, "X", LATER)
    assert len(restored.get_historical_prices("X")) == len(OTHER) + len(LATER)
    assert restored.verify().findings == []


def test_a_pin_never_returns_other_bars(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    backup = backed_up(storage, tmp_path)
    old = storage.pin("A")
    store(storage, "A", LATER)
    pin, again = storage.pin("A"), storage.pin("A")
    assert storage.facts(pin).rows == len(FRAME) + len(LATER)
    storage.close()
    copied_over(backup, storage.path)
    elsewhere(storage, "A")  # extends the same version, under the same ids
    for _ in range(2):
        with pytest.raises(VersionGoneError, match="is not in the backup that was restored in the meantime"):
            storage.read_pandas(pin)
        with pytest.raises(VersionGoneError):
            storage.ingests(again)
    assert_same(storage.read_pandas(old), FRAME)
    assert len(storage.get_historical_prices("A")) == len(FRAME) + len(OTHER)


@pytest.mark.parametrize("restore", [copied_over, moved_into_place])
@pytest.mark.parametrize("rows", [60, 150_000])
def test_a_backup_of_the_same_state_loses_nothing(
    storage: DuckDBDataStorage, tmp_path: Path, restore: Callable[[Path, Path], None], rows: int
) -> None:
    """The log of later writes fits it, except if those have put rows into the file that is replaced."""
    store(storage, "A")
    pin = storage.pin("A")
    backup = backed_up(storage, tmp_path)
    store(storage, "B", minute_bars(rows=rows))
    restore(backup, storage.path)
    assert_same(storage.read_pandas(pin), FRAME)
    store(storage, "C")
    assert labels(storage) == (["A", "B", "C"] if rows == 60 else ["A", "C"])
    assert storage.verify().sound


@pytest.mark.parametrize("restore", [copied_over, moved_into_place])
def test_a_lease_that_ends_after_the_restoration_leaves_nothing_to_rely_on(
    storage: DuckDBDataStorage, tmp_path: Path, restore: Callable[[Path, Path], None]
) -> None:
    store(storage, "A")
    backup = backed_up(storage, tmp_path)
    store(storage, "LOST")
    storage.close()
    store(storage, "LOST TOO")
    assert labels(storage) == ["A", "LOST", "LOST TOO"]
    assert len(storage.get_historical_prices("LOST")) == len(FRAME)
    restore(backup, storage.path)
    storage.close()
    with pytest.raises(SeriesNotFoundError):
        storage.get_historical_prices("LOST")
    assert labels(storage) == ["A"]


def write_and_die(path: Path) -> None:
    """In another process: store a series, and get killed before the log is folded into the file."""
    store(DuckDBDataStorage(path), "LOST", LATER)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("reads_first", [True, False])
def test_the_log_of_a_killed_writer_is_not_applied_to_a_backup(
    storage: DuckDBDataStorage, tmp_path: Path, reads_first: bool
) -> None:
    store(storage, "A")
    backup = backed_up(storage, tmp_path)
    store(storage, "LATER")
    storage.close()
    process = FORKED.Process(target=write_and_die, args=(storage.path,))
    process.start()
    process.join()
    log = storage.path.with_name(f"{storage.path.name}.wal")
    content = log.read_bytes()
    copied_over(backup, storage.path)
    if reads_first:
        assert labels(storage) == ["A"]
    store(storage, "B", LATER)
    assert labels(storage) == ["A", "B"]
    assert storage.verify().sound
    (aside,) = log.parent.glob(f"{log.name}.unmatched-*")
    assert aside.read_bytes() == content
