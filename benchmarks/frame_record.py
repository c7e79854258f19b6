"""Lumibot's record of the frames that a strategy received, which `run` writes after a backtest: Lumibot's and ours."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

from benchmarks.bars import Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.process import run_apart
from lumibot_duckdb.comparison.memory import resident_bytes

if TYPE_CHECKING:
    import pandas as pd

_OPPONENT = "Lumibot's MarketInputEvidence"
_SYMBOL = "SIM001"
_SHAPES = {
    "60 bars, the last of them new": (60, 1),
    "14 bars, the last of them new": (14, 1),
    "one new bar": (1, 1),
    "60 bars that the record has, at another time": (60, 0),
    "60 bars, all of them new": (60, 60),
    "390 bars, all of them new": (390, 390),
}
"""Length of the frames, and how many bars later each of them begins."""
_MOST_CALLS = 600
_ROWS = 50_000
"""The limit of Lumibot's record."""
_REPEATS = 5


def frame_record(workplace: Workplace) -> list[Row]:
    """CPU time of recording a frame, and the memory that 50,000 recorded rows take."""
    bars = str(workplace.parquet_folder() / f"{_SYMBOL}.parquet")
    seconds = run_apart("frame_record.seconds", bars=bars)
    rows = [
        against(f"recording {name}", "µs", _OPPONENT, *(Sample.of(seconds[side][name], 1e6) for side in _SIDES))
        for name in _SHAPES
    ]
    held = [Sample.of([run_apart("frame_record.held", side=side, bars=bars)], 1e-6) for side in _SIDES]
    return [*rows, against(f"memory of {_ROWS:,} recorded rows", "MB", _OPPONENT, *held)]


def seconds(bars: str) -> dict[str, dict[str, list[float]]]:
    """Return the CPU seconds of a call on each side, by shape of the frames."""
    found: dict[str, dict[str, list[float]]] = {side: {} for side in _SIDES}
    for name, (length, step) in _SHAPES.items():
        frames = _frames(bars, length, step, min(_MOST_CALLS, _ROWS // max(step, 1)))
        for _ in range(_REPEATS):
            for side in _SIDES:
                started = process_time()
                _record(side, frames)
                found[side].setdefault(name, []).append((process_time() - started) / len(frames))
    return found


def held(side: str, bars: str) -> int:
    """Return the bytes by which a process grows as it records as many rows as are kept."""
    frames = _frames(bars, 60, 60, _ROWS // 60)
    _record(side, frames[:1])
    before = resident_bytes()
    record = _record(side, frames)
    grown = resident_bytes() - before
    assert len(record.rows) == 60 * len(frames)
    return grown


def _frames(bars: str, length: int, step: int, count: int) -> list[pd.DataFrame]:
    import pandas as pd

    whole = pd.read_parquet(Path(bars))
    return [whole.iloc[number * step : number * step + length] for number in range(count)]


def _record(side: str, frames: list[pd.DataFrame]) -> Any:
    """Record frames, each a minute later than the one before; return the record."""
    from lumibot.entities import Asset

    record = _SIDES[side]()
    asset, time = Asset(_SYMBOL), datetime.fromisoformat("2023-03-01T10:00:00-05:00")
    for number, frame in enumerate(frames):
        when = time + timedelta(minutes=number)
        record.record(asset=asset, timestep="minute", when=when, frame=frame, purpose="strategy_history")
    return record


def _lumibots() -> Any:
    from lumibot.backtesting.market_input_evidence import MarketInputEvidence

    return MarketInputEvidence()


def _ours() -> Any:
    from lumibot_duckdb.sources.shared.frame_record import FrameRecord

    return FrameRecord.take_over(_lumibots())


_SIDES = {"duckdb": _ours, "lumibot": _lumibots}
