"""A recorder without a thread: it writes when it is flushed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.storage.api import SeriesKey
from lumibot_duckdb.storage.times import bar_starts


@dataclass
class Counts:
    recorded: int = 0
    written: int = 0
    waiting: int = 0
    spooled: int = 0
    dropped: int = 0
    failed: int = 0


class PlainRecorder:
    def __init__(self, storage: DuckDBDataStorage) -> None:
        self.counts = Counts()
        self.taken: list[LiveBars] = []
        self._storage = storage
        self._waiting: list[LiveBars] = []
        self._lock = threading.Lock()

    def record(self, live_bars: LiveBars) -> None:
        with self._lock:
            self.taken.append(live_bars)
            self._waiting.append(live_bars)
            self.counts.recorded += len(live_bars.bars)

    def flush(self, timeout: float) -> bool:
        with self._lock:
            waiting, self._waiting = self._waiting, []
            for bars in _joined(waiting):
                self._write(bars)
        return True

    def close(self, timeout: float) -> bool:
        return self.flush(timeout)

    def _write(self, live: LiveBars) -> None:
        settings: Mapping[str, Any] = {"adjustment": live.key.adjustment, "asked_at": live.asked_at}
        starts = bar_starts(live.bars)
        for piece in live.covered:
            inside = live.bars[(starts >= piece.start) & (starts < piece.end)]
            self._storage.store_ohlcv_data(
                *(live.key.asset, inside, live.key.source, live.key.timeframe),
                **{**settings, "covered": piece, "replace": live.replace, "provisional": ()},
            )
            self.counts.written += len(inside)


def _joined(waiting: list[LiveBars]) -> list[LiveBars]:
    """Join additions to the same series that follow each other, which is much faster."""
    result: list[LiveBars] = []
    open_groups: dict[SeriesKey, list[LiveBars]] = {}

    def close(key: SeriesKey) -> None:
        group = open_groups.pop(key, [])
        if group:
            bars = pd.concat([each.bars for each in group])
            bars = bars[~bars.index.duplicated(keep="last")].sort_index()
            starts = [piece for each in group for piece in each.covered]
            result.append(LiveBars(key, bars, tuple(_merged(starts)), max(each.asked_at for each in group)))

    for each in waiting:
        if each.replace:
            close(each.key)
            result.append(each)
        else:
            open_groups.setdefault(each.key, []).append(each)
    for key in list(open_groups):
        close(key)
    return result


def _merged(ranges: Any) -> Any:
    from lumibot_duckdb.storage.bars.coverage import merged

    return merged(ranges)
