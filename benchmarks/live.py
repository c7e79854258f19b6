"""What recording costs a live strategy: the time of its iterations, also while the store cannot be written.

The bars are generated, and the broker answers at once, so an iteration takes milliseconds. Each brings a new minute,
ten times a second: 600 times as many bars as 20 symbols have.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date, timedelta
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.bars import SYMBOLS, Workplace, open_store
from benchmarks.measure import Row, Sample, against
from benchmarks.process import run_apart

if TYPE_CHECKING:
    import pandas as pd

    from lumibot_duckdb.live.live_bars import LiveBars

_SECONDS, _LOCKED_SECONDS = 12.0, 60.0
_PAUSE, _BARS = 0.1, 100
_HOLD = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.readline()"


def iterations(workplace: Workplace) -> list[Row]:
    """Time of an iteration that reads 100 bars of 20 symbols, with and without recording them."""
    runs = {kind: _run(workplace, kind) for kind in _STATES}
    rows = [
        against(
            f"{name} of an iteration, {what}",
            "ms",
            "the same without recording",
            Sample.of([runs[kind][name]], 1e3),
            Sample.of([runs["none"][name]], 1e3),
            note=_fate(what, runs[kind]["counts"]),
        )
        for kind, what in (
            ("recording", "recording"),
            ("locked", "recording while another program holds the store for a minute"),
            ("full", "recording while the disk is full"),
        )
        for name in ("p50", "p99")
    ]
    calls = runs["recording"]["calls"]
    return rows + [Row(f"{name} of a call of `record`", "us", "", Sample.of([calls[name]], 1e6)) for name in calls]


def _run(workplace: Workplace, kind: str) -> dict[str, Any]:
    seconds = _LOCKED_SECONDS if kind == "locked" else _SECONDS
    with TemporaryDirectory(dir=workplace.folder) as folder:
        found: dict[str, Any] = run_apart("live.trade", folder=folder, kind=kind, seconds=seconds)
    return found


def _fate(what: str, counts: dict[str, int]) -> str:
    """Return what became of the bars, in a sentence."""
    fates = ", ".join(f"{bars:,} {name}" for name, bars in counts.items() if bars and name != "recorded")
    return f"{what.capitalize()}: of {counts['recorded']:,} bars, {fates}."


def trade(folder: str, kind: str, seconds: float) -> dict[str, Any]:
    """Run iterations for some seconds; return the quantiles of their times in seconds, and what became of the bars."""
    from dataclasses import asdict

    from lumibot_duckdb.live.recording.recorder import Recorder
    from lumibot_duckdb.storage.api import AssetKey, SeriesKey

    path = Path(folder) / "bars.duckdb"
    storage = open_store(path)
    market = _Market()
    keys = {symbol: SeriesKey(AssetKey(symbol), "my_feed", "minute") for symbol in market.frames}
    recorder = Recorder(lambda: storage)
    for symbol, key in keys.items():  # so that every series is there
        recorder.record(market.live_bars(key, market.read(symbol)))
    recorder.flush()
    times, calls, rising = list[float](), list[float](), dict[str, bool]()
    with _STATES[kind](path):
        end = perf_counter() + seconds
        while perf_counter() < end:
            market.pass_minute()
            started = perf_counter()
            for symbol, key in keys.items():
                bars = market.read(symbol)
                rising[symbol] = bars["close"].iloc[-20:].mean() > bars["close"].mean()
                if kind != "none":
                    live_bars = market.live_bars(key, bars)
                    called = perf_counter()
                    recorder.record(live_bars)
                    calls.append(perf_counter() - called)
            times.append(perf_counter() - started)
            time.sleep(_PAUSE)
        recorder.flush()
        counts = recorder.counts
    recorder.close()
    return {**_quantiles(times), "calls": _quantiles(calls) if calls else {}, "counts": asdict(counts)}


def _quantiles(times: list[float]) -> dict[str, float]:
    cuts = quantiles(times, n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


class _Market:
    """Bars of some symbols, and a minute of them that is the present."""

    def __init__(self) -> None:
        from lumibot_duckdb.demo.market import symbol_names, us_stock_bars

        first = date(2023, 12, 1)
        self.frames = {symbol: us_stock_bars(symbol, first, date(2024, 1, 1)) for symbol in symbol_names(SYMBOLS)}
        self._minute = _BARS

    def pass_minute(self) -> None:
        self._minute += 1

    def read(self, symbol: str) -> pd.DataFrame:
        """Return the last bars, as a broker does."""
        frame = self.frames[symbol]
        end = _BARS + self._minute % (len(frame) - _BARS)
        bars: pd.DataFrame = frame.iloc[end - _BARS : end].copy()
        return bars

    @staticmethod
    def live_bars(key: Any, bars: pd.DataFrame) -> LiveBars:
        """Return bars for the recorder, which keeps their frame."""
        from lumibot_duckdb.live.live_bars import LiveBars
        from lumibot_duckdb.storage.api import TimeRange

        first, last = bars.index[0].timestamp(), bars.index[-1].timestamp()
        covered = TimeRange(int(first), int(last) + 60)
        return LiveBars(key, bars.copy(), (covered,), bars.index[-1].to_pydatetime() + timedelta(minutes=1))


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Let another program have the file open, as a DuckDB shell does."""
    open_store(path).close()
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield
        finally:
            holder.stdin.close()


@contextmanager
def _without_room(path: Path) -> Iterator[None]:
    """Let every file that grows fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _usual(path: Path) -> AbstractContextManager[None]:
    return nullcontext()


_STATES: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
    "none": _usual,
    "recording": _usual,
    "locked": _held,
    "full": _without_room,
}
