"""A compaction killed at any moment leaves the store whole: as it was, or compacted."""

from __future__ import annotations

import os
import random
import signal
import time
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.upkeep import store_copy
from processes import FORKED
from storage.frames import assert_same, minute_bars

KILLS = 4
ROWS = 3000


def compact_for_ever(path: Path, pipe: Connection) -> None:
    """In another process: compact repeatedly, in small pieces, and report each time."""
    store_copy._ROWS_AT_A_TIME = ROWS
    storage = DuckDBDataStorage(path)
    pipe.send("ready")
    while True:
        storage.compact(timedelta(0))


def test_a_killed_compaction_loses_nothing(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path)
    frames = {f"S{i}": minute_bars(rows=ROWS, seed=i) for i in range(6)}
    for symbol, frame in frames.items():
        storage.store_ohlcv_data(symbol, frame, "test", "minute")
    rng = random.Random(5)
    left_behind = 0
    for attempt in range(KILLS):
        symbol = f"S{attempt % len(frames)}"
        frames[symbol]["volume"] += 1
        storage.store_ohlcv_data(symbol, frames[symbol], "test", "minute")
        ours, theirs = FORKED.Pipe()
        process = FORKED.Process(target=compact_for_ever, args=(storage.path, theirs), daemon=True)
        process.start()
        assert ours.recv() == "ready"
        time.sleep(rng.uniform(0.0, 0.6))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        left_behind += len(list(tmp_path.glob("*compacting*")))
        anew = DuckDBDataStorage(storage.path)
        for name, frame in frames.items():
            assert_same(anew.get_historical_prices(name), frame)
        assert anew.verify().findings == []
    assert left_behind > 0  # some kills were in the middle
    storage.compact(timedelta(0))
    assert list(tmp_path.glob("*compacting*")) == []
    assert storage.statistics().rows == ROWS * len(frames)
