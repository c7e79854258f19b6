"""The counts of a storage, and those that others add to them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import StorageUse

INDEX = pd.date_range("2024-01-02 09:30", periods=100, freq="min", tz="America/New_York")
BARS = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0), index=INDEX)


@dataclass
class Rounds:
    done: int = 0
    failed: int = 0


def test_reads_and_writes_are_counted_and_timed(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path)
    assert storage.counters.usage() == StorageUse()
    storage.store_ohlcv_data("AAPL", BARS, "own", "minute")
    written = storage.counters.usage()
    assert written.seconds > 0
    assert (written.reads, written.downloads) == (0, 0)
    storage.read_bars(storage.pin("AAPL"), remember=False)
    read = storage.counters.usage().since(written)
    assert (read.reads, read.rows_read) == (1, len(BARS))
    assert read.bytes_read >= len(BARS) * 6 * 8
    assert 0 < read.seconds < storage.counters.usage().seconds
    told = storage.statistics()
    assert (told.reads, told.rows_read, told.bytes_read) == (1, len(BARS), read.bytes_read)
    assert told.seconds_in_storage == storage.counters.usage().seconds


def test_look_ups_are_timed_unless_they_are_answered_from_memory(tmp_path: Path) -> None:
    DuckDBDataStorage(tmp_path).store_ohlcv_data("AAPL", BARS, "own", "minute")
    storage = DuckDBDataStorage(tmp_path)
    pin = storage.pin("AAPL")
    known = storage.counters.usage()
    assert known.seconds > 0
    storage.pin("AAPL")
    storage.statistics()
    assert storage.counters.usage() == known
    storage.facts(pin)
    storage.coverage("AAPL")
    assert storage.counters.usage().seconds > known.seconds
    assert storage.counters.usage().reads == 0


def test_a_write_that_reads_too_is_timed_once(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path)
    storage.store_ohlcv_data("AAPL", BARS, "own", "minute")
    before, began = storage.counters.usage(), time.perf_counter()
    storage.restate_series("AAPL", "own", "minute")
    storage.store_ohlcv_data("AAPL", BARS + 1, "own", "minute")
    storage.delete_series("AAPL")
    assert 0 < storage.counters.usage().since(before).seconds <= time.perf_counter() - began


def test_downloads_are_counted_by_who_makes_them(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path)
    threads = [threading.Thread(target=storage.counters.count_download, args=(10, 0.5)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.counters.usage() == StorageUse(downloads=20, bars_downloaded=200, seconds_downloading=10.0)
    told = storage.statistics()
    assert (told.downloads, told.bars_downloaded, told.seconds_downloading) == (20, 200, 10.0)


def test_numbers_of_others_are_added_up_by_name_as_they_are_now(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path)
    first, second, third = Rounds(1), Rounds(2, 1), Rounds(5)
    storage.counters.include("rounds", first)
    storage.counters.include("rounds", second)
    storage.counters.include("games", third)
    first.done += 10
    assert storage.statistics().details == {"rounds": {"done": 13, "failed": 1}, "games": {"done": 5, "failed": 0}}
