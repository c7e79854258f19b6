"""A kill at any moment loses what was recorded in the last moments, and nothing else: not a half, and nothing twice."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import nullcontext
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from live.recording.live_items import closes, covered, live, locked, stored
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.recording.recorder import Recorder
from lumibot_duckdb.storage.bars.spool import Spool
from processes import FORKED, last_message

SYMBOLS = ("A", "B", "C")


def keep_recording(path: Path, first: int, pipe: Connection) -> None:
    """In another process: record minute after minute, and report how many minutes of all symbols are safe by now."""
    storage = DuckDBDataStorage(path)
    recorder = Recorder(lambda: storage, pause_seconds=0.005)
    for minute in range(first, 1_000_000):
        for symbol in SYMBOLS:
            recorder.record(live(minute, minute + 1, symbol))
        counts = recorder.counts
        pipe.send(first + (counts.written + counts.spooled) // len(SYMBOLS))
        time.sleep(0.001)


@pytest.mark.parametrize("kills", [2, pytest.param(60, marks=pytest.mark.long)])
def test_a_kill_loses_the_last_moments_only(tmp_path: Path, kills: int) -> None:
    """In every other life of the process, another one holds the store for a while, so bars are spooled."""
    path = tmp_path / "s.duckdb"
    storage = DuckDBDataStorage(path)
    storage.store_ohlcv_data("OTHER", live(0, 1).bars, "test", "minute")
    chance = random.Random(11)
    safe = first = 0
    ends: dict[str, int] = {}
    for number in range(kills):
        storage.close()
        ours, theirs = FORKED.Pipe()
        process = FORKED.Process(target=keep_recording, args=(path, first, theirs), daemon=True)
        process.start()
        theirs.close()
        while last_message(ours, first) == first and process.is_alive():  # until something is safe
            time.sleep(0.002)
        with locked(path) if number % 2 else nullcontext():
            while number % 2 and not Spool(path).contents().writes:
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.1))
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
        assert process.exitcode == -signal.SIGKILL
        safe = last_message(ours, first)
        ours.close()
        assert bool(Spool(path).contents().writes) == bool(number % 2)
        storage.merge_spooled()
        before, ends = ends, {}
        for symbol in SYMBOLS:
            there = stored(storage, symbol)
            ((begin, end),) = covered(storage, symbol)
            assert begin == 0
            assert there == closes(range(end))
            ends[symbol] = end
        assert min(ends.values()) >= safe
        # A transaction is complete, and may end between two symbols. In the spool each symbol is a file.
        moved = [end for symbol, end in ends.items() if end > before.get(symbol, 0)]
        assert number % 2 or max(moved) - min(moved) <= 1
        assert storage.verify().findings == []
        assert storage.statistics().versions == len(SYMBOLS) + 1
        first = min(ends.values())
    assert safe > kills
    storage.close()
