"""The cache of results: bounded in bytes, and the least recently used result goes first."""

from __future__ import annotations

import numpy as np

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.bars.result_cache import ResultCache
from storage.frames import minute_bars


def test_the_least_recently_used_result_goes_first() -> None:
    cache = ResultCache(100)
    for name in "abcd":
        cache.put(name, name, 25)
    assert [cache.get(name) for name in "bcda"] == ["b", "c", "d", "a"]
    cache.put("e", "e", 25)
    assert [cache.get(name) for name in "abcde"] == ["a", None, "c", "d", "e"]
    assert (cache.bytes, cache.hits) == (100, 8)


def test_a_result_that_would_displace_most_others_is_not_held() -> None:
    cache = ResultCache(100)
    cache.put("large", "large", 26)
    assert cache.get("large") is None
    assert cache.bytes == 0


def test_results_hold_no_more_memory_than_is_counted(storage: DuckDBDataStorage) -> None:
    """What shares memory with DuckDB's result keeps all of its columns, in buffers that are larger than needed."""
    storage.store_ohlcv_data("A", minute_bars(rows=2_000), "test", "minute")
    storage.close()
    bars = storage.read_bars(storage.pin("A"))
    for array in (bars.times, *bars.columns.values()):
        base = array
        while base.base is not None:
            assert isinstance(base.base, np.ndarray), base.base
            base = base.base
