"""After a commit by any process, no later read returns older bars; what is cached is bounded and right."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.result_cache import ResultCache
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from processes import FORKED
from storage.frames import assert_same, index_of, minute_bars


def bar_of(step: int) -> pd.DataFrame:
    """Return the bar of a minute, or the same bar restated: two steps for each minute."""
    return pd.DataFrame({"close": [float(step)]}, index=index_of([60 * (step // 2)]))


def write_when_told(path: Path, pipe: Connection) -> None:
    """In another process: write the step that comes through the pipe, and say when it is committed."""
    storage = DuckDBDataStorage(path)
    while (step := pipe.recv()) is not None:
        storage.store_ohlcv_data("X" if step < 1000 else f"X{step // 1000}", bar_of(step), "test", "minute")
        pipe.send(step)
    storage.close()


@pytest.mark.older_duckdb
@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_read_sees_what_another_process_has_committed(storage: DuckDBDataStorage) -> None:
    # Ten thousand are `make soak`.
    alternations = int(os.environ.get("LUMIBOT_DUCKDB_ALTERNATIONS", "40"))
    ours, theirs = FORKED.Pipe()
    process = FORKED.Process(target=write_when_told, args=(storage.path, theirs), daemon=True)
    process.start()
    for step in range(alternations):
        ours.send(step)
        assert ours.recv() == step
        symbol = "X" if step < 1000 else f"X{step // 1000}"
        for _ in range(2):  # the second comes from the cache
            assert storage.get_historical_prices(symbol)["close"].iloc[-1] == step
    ours.send(None)
    process.join(30)
    assert process.exitcode == 0


def test_a_repeated_read_comes_from_the_cache(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    pin = storage.pin("X")
    within = TimeRange(0, 2**40)
    first = storage.read_bars(pin, within)
    before = storage.statistics()
    assert storage.read_bars(pin, within) is first
    after = storage.statistics()
    assert (after.reads, after.rows_read) == (before.reads, before.rows_read)
    assert after.cache_hits == before.cache_hits + 1
    assert after.seconds_in_storage == before.seconds_in_storage


def test_a_write_by_another_storage_of_this_process_is_seen(storage: DuckDBDataStorage) -> None:
    frame = minute_bars()
    other = DuckDBDataStorage(storage.path)
    with pytest.raises(SeriesNotFoundError):
        storage.pin("X")
    other.store_ohlcv_data("X", frame, "test", "minute")
    assert_same(storage.get_historical_prices("X"), frame)
    other.delete_series("X")
    with pytest.raises(SeriesNotFoundError):
        storage.get_historical_prices("X")


def test_a_store_that_was_removed_and_created_again_shares_nothing_with_the_old(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    assert len(storage.get_historical_prices("X")) == 60
    storage.close()
    storage.path.unlink()
    assert storage.list_series() == []
    with pytest.raises(SeriesNotFoundError):
        storage.get_historical_prices("X")
    anew = minute_bars(rows=9, seed=4)
    storage.store_ohlcv_data("X", anew, "test", "minute")
    assert_same(storage.get_historical_prices("X"), anew)


def test_the_cache_holds_no_more_than_it_may(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path, cache_bytes=100_000)
    storage.store_ohlcv_data("X", minute_bars(rows=1000), "test", "minute")
    pin = storage.pin("X")
    start = storage.facts(pin).first
    assert start is not None
    for minutes in range(1, 1000, 7):
        storage.read_bars(pin, TimeRange(start, start + 60 * minutes))
        assert storage.statistics().cache_bytes <= 100_000
    assert storage.statistics().cache_bytes > 50_000
    storage.close()


def test_the_least_recently_used_answer_goes_first() -> None:
    cache = ResultCache(40)
    for key in "abcd":
        cache.put(key, key.upper(), 10)
    assert cache.get("a") == "A"
    cache.put("e", "E", 10)
    assert [cache.get(key) for key in "abcde"] == ["A", None, "C", "D", "E"]
    cache.put("a", "AA", 5)
    assert (cache.get("a"), cache.bytes) == ("AA", 35)
    cache.clear()
    assert (cache.get("a"), cache.bytes) == (None, 0)


def test_an_answer_that_would_push_out_most_others_is_not_held(storage: DuckDBDataStorage) -> None:
    cache = ResultCache(40)
    assert (cache.takes(10), cache.takes(11)) == (True, False)
    cache.put("a", "A", 11)
    assert cache.get("a") is None
    # Then a frame need not be a copy, and still is the caller's own.
    frame = minute_bars(rows=1000)
    storage.store_ohlcv_data("X", frame, "test", "minute")
    uncached = DuckDBDataStorage(storage.path, cache_bytes=1_000)
    for _ in range(2):
        read = uncached.get_historical_prices("X")
        assert_same(read, frame)
        read.iloc[:, :] = 0
        read["more"] = 1.0
    assert uncached.statistics().cache_bytes == 0
    assert_same(storage.get_historical_prices("X"), frame)


@pytest.mark.older_duckdb
def test_bounds_of_sessions_and_last_times(storage: DuckDBDataStorage) -> None:
    frame = minute_bars("2024-03-08 18:00", rows=4000)
    frame = frame[frame.index.dayofweek != 5]
    frame.loc[frame.index[50:80], "close"] = np.nan
    storage.store_ohlcv_data("X", frame, "test", "minute")
    pin = storage.pin("X")
    days = frame.groupby(frame.index.date).apply(lambda day: [int(t.timestamp()) for t in day.index[[0, -1]]])
    outlined = storage.outline(pin).days
    assert np.stack([outlined.first, outlined.last], axis=1).tolist() == days.tolist()
    at = [int(t.timestamp()) for t in frame.index]
    assert storage.last_time_at_or_before(pin, at[5]) == at[5]
    assert storage.last_time_at_or_before(pin, at[5] + 59) == at[5]
    assert storage.last_time_at_or_before(pin, at[0] - 1) is None
    assert storage.last_time_at_or_before(pin, at[-1] + 10**9) == at[-1]
    assert storage.last_time_at_or_before(pin, at[79], "close") == at[49]
    assert storage.last_time_at_or_before(pin, at[79], "open") == at[79]
    with pytest.raises(KeyError):
        storage.last_time_at_or_before(pin, at[79], "bid")
