"""One storage, many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from storage.frames import assert_same, minute_bars

pytestmark = pytest.mark.older_duckdb

FRAMES = {f"S{i}": minute_bars(rows=200, seed=i) for i in range(4)}


def test_threads_that_read_write_and_list_share_a_storage(storage: DuckDBDataStorage) -> None:
    for symbol, frame in FRAMES.items():
        storage.store_ohlcv_data(symbol, frame.iloc[:100], "test", "minute")
    pins = {symbol: storage.pin(symbol) for symbol in FRAMES}

    def extend(symbol: str) -> None:
        for start in range(100, 200, 10):
            storage.store_ohlcv_data(symbol, FRAMES[symbol].iloc[start : start + 10], "test", "minute")

    def read(symbol: str) -> None:
        seen = 0
        for _ in range(30):
            got = storage.get_historical_prices(symbol)
            assert len(got) >= seen  # nothing that was seen disappears
            seen = len(got)
            assert_same(got, FRAMES[symbol].iloc[:seen])
            assert_same(storage.read_pandas(pins[symbol]), FRAMES[symbol].iloc[:100])

    def look(_: str) -> None:
        for _ in range(15):
            assert [info.key.asset.symbol for info in storage.list_series()][:4] == list(FRAMES)
            assert storage.sql("SELECT count(DISTINCT asset_symbol) AS n FROM ohlcv_data")["n"].to_pylist()[0] >= 4

    def add(symbol: str) -> None:
        for i in range(5):
            storage.store_ohlcv_data(f"Z{symbol}{i}", FRAMES[symbol].iloc[:5], "test", "minute")

    with ThreadPoolExecutor(12) as pool:
        work = [pool.submit(job, symbol) for symbol in FRAMES for job in (extend, read, look, add)]
        work.append(pool.submit(lambda: storage.compact()))
        for one in work:
            one.result()
    for symbol, frame in FRAMES.items():
        assert_same(storage.get_historical_prices(symbol), frame)
    assert len(storage.list_series()) == 4 + 20
    assert storage.verify().findings == []


def test_cached_answers_are_shared_by_threads(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", FRAMES["S0"], "test", "minute")
    pin = storage.pin("X")
    storage.read_pandas(pin)
    reads = storage.statistics().reads
    with ThreadPoolExecutor(8) as pool:
        frames: list[pd.DataFrame] = list(pool.map(lambda _: storage.read_pandas(pin), range(50)))
    for frame in frames:
        assert_same(frame, FRAMES["S0"])
    assert storage.statistics().reads == reads
