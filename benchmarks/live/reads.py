"""How much longer a read of live bars takes when it is observed, apart from everything else that a read does."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.bars import open_store
from benchmarks.live.broker import DAY, FIRST_DAY

_READS, _BARS = 2_000, 1_000
_FETCHED = 20
_SETTLED = timedelta(minutes=16)


def observed_reads(folder: str) -> dict[str, list[float]]:
    """Return the seconds by which reads take longer when they are observed: with a new bar, and without one.

    Each returns the last thousand bars, as Lumibot's cache does for a request for the last hundred.
    """
    from lumibot_duckdb.demo.market import us_stock_bars
    from lumibot_duckdb.live.reads.adjusted_recorder import AdjustedRecorder
    from lumibot_duckdb.live.reads.read_recording import ReadRecording
    from lumibot_duckdb.live.recording.recorder import Recorder
    from lumibot_duckdb.lumibot_contract.live_reads_hooks import wrap_shared_reads

    path = Path(folder) / "bars.duckdb"
    recorder = AdjustedRecorder(Recorder(lambda: open_store(path)), lambda: open_store(path))
    cache = ModuleType("cache")
    cache.read_bars_many = plain = _read_bars_many  # type: ignore[attr-defined]
    wrap_shared_reads(cache, ReadRecording(recorder).observe)
    bars = us_stock_bars("AAA", FIRST_DAY, DAY).tz_convert("UTC")
    series = _series()
    costs: dict[str, list[float]] = {"new": [], "known": []}
    for end in range(_BARS, _BARS + _READS):
        frame = bars.iloc[end - _BARS : end].copy()
        frame.attrs["historyCache"] = {f"figure {number}": float(number) for number in range(11)}
        for times in costs.values():  # the second one reads the same bars again
            without = _timed(plain, series, frame)
            times.append(_timed(cache.read_bars_many, series, frame) - without)
    recorder.close()
    return costs


def _read_bars_many(series_list: Any, start: Any, end: Any, fetch: Any, *, frame: Any, now: Any) -> Any:
    """Do what Lumibot's cache does that has most of a range: request the last bars, and return all of them."""
    fetch(series_list, frame.index[-_FETCHED], end)
    return dict.fromkeys(series_list, frame)


def _timed(read: Callable[..., Any], series: Any, frame: Any) -> float:
    tail = frame.iloc[-_FETCHED:]
    start, end = frame.index[0], frame.index[-1] + timedelta(minutes=1)
    started = time.perf_counter()
    read([series], start, end, lambda members, *_: dict.fromkeys(members, tail), frame=frame, now=end + _SETTLED)
    return time.perf_counter() - started


def _series() -> Any:
    """Return the series of a stock as Lumibot's source for Alpaca names it."""
    from lumibot.tools import shared_bar_cache

    return shared_bar_cache.BarSeries.make(
        "alpaca",
        "AAA",
        "1minute",
        scope="an account",
        adjusted=True,
        requestType="StockBarsRequest",
        timeframe="1Min",
        feed=None,
        adjustment="all",
        asof=None,
        currency=None,
    )
