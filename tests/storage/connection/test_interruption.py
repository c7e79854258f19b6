"""Ctrl-C stops a long query at once, and the store can be used afterwards."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Iterator

import pytest

from lumibot_duckdb import DuckDBDataStorage
from storage.frames import minute_bars

# Work for one thread: whether it is DuckDB's or the caller's is chance, so each is stopped several times.
ENDLESS = [
    "SELECT max(total) FROM (SELECT sum(range) AS total FROM range(1_000_000_000_000) GROUP BY range % 5)",
    "SELECT count(*) FROM range(1_000_000) a, range(1_000_000) b WHERE (a.range * b.range) % 7 = 3",
]


@pytest.fixture
def heeded() -> Iterator[None]:
    """Restore the usual handler: the tests may have been started with the signal ignored, like background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("query", ENDLESS)
def test_a_query_stops_at_ctrl_c(storage: DuckDBDataStorage, query: str) -> None:
    storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    for attempt in range(8):
        threading.Timer(0.2 + attempt / 50, _thread.interrupt_main).start()
        with pytest.raises(KeyboardInterrupt):
            storage.sql(query)
    assert storage.sql("SELECT count(*) AS bars FROM ohlcv_data").to_pylist() == [{"bars": 60}]


def test_what_a_query_raises_comes_through(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    with pytest.raises(Exception, match="Could not convert"):
        storage.sql("SELECT CAST(asset_symbol AS INTEGER) FROM ohlcv_data")
