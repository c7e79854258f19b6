"""Recorders of tests, which store at once what the real one would store a few seconds later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pandas as pd

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.activation import record_reads
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.reads.adjusted_recorder import AdjustedRecorder
from lumibot_duckdb.live.recorded import RECORDED_LIVE
from lumibot_duckdb.storage.api import SeriesKey, TimeRange


class KeptBars:
    """A recorder that keeps what it gets, and stores it if it has a storage."""

    def __init__(self, storage: DuckDBDataStorage | None = None) -> None:
        self.kept: list[LiveBars] = []
        self._storage = storage

    @property
    def counts(self) -> Any:
        return SimpleNamespace(
            written=sum(len(each.bars) for each in self.kept), waiting=0, spooled=0, dropped=0, failed=0
        )

    def record(self, live_bars: LiveBars) -> None:
        self.kept.append(live_bars)
        if self._storage is not None:
            key, (first, *others) = live_bars.key, live_bars.covered
            self._storage.store_ohlcv_data(
                key.asset,
                live_bars.bars,
                key.source,
                key.timeframe,
                adjustment=key.adjustment,
                covered=first,
                also_covered=others,
                metadata={**live_bars.metadata, RECORDED_LIVE: True},  # as the recorder does
                asked_at=live_bars.asked_at,
                replace=live_bars.replace,
            )

    def flush(self, timeout: float | None = None) -> bool:
        return True

    def close(self, timeout: float | None = None) -> bool:
        return True

    def start_over(self) -> None:
        self.kept.clear()


@contextmanager
def recorded(storage: DuckDBDataStorage, read_filter: Any = None) -> Iterator[tuple[KeptBars, Callable[[], None]]]:
    """Record live reads in a store; yield what is recorded, and what ends it early."""
    kept = KeptBars(storage)
    recorder = AdjustedRecorder(kept, lambda: storage)
    end = record_reads(recorder, read_filter)
    try:
        yield kept, end
        recorder.flush(30)
    finally:
        end()
        recorder.close(30)


def stored(storage: DuckDBDataStorage, key: SeriesKey, within: TimeRange | None = None) -> pd.DataFrame:
    """Return the stored bars of a series."""
    frame: pd.DataFrame = storage.read_pandas(storage.pin(key), within)
    return frame
