"""What is recorded of random reads, compared with a plain model that looks at each bar and each moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lumibot.tools.shared_bar_cache import BarSeries

from hypothesis_settings import examples
from lumibot_duckdb.live.bar_starts import BarStarts
from lumibot_duckdb.live.closed import end_of_closed, settle_margin
from lumibot_duckdb.live.reads.read_bars import ReadBars, copied
from lumibot_duckdb.live.reads.read_recording import ReadRecording
from lumibot_duckdb.live.reads.series_keys import ALPACA_FLOATS, FLOATS, NotRecordedError, destination_of
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.times import NEW_YORK

SLOTS = 300


@dataclass(frozen=True)
class Grid:
    """Where bars of a timestep may start: the first slot, the seconds of each, and the slots of the shortest bar."""

    timestep: str
    first: pd.Timestamp
    seconds: int
    shortest: int

    def moment(self, slot: int) -> pd.Timestamp:
        there: pd.Timestamp = self.first + slot * pd.Timedelta(seconds=self.seconds)
        return there

    def slot(self, moment: float) -> int:
        slot, rest = divmod(moment - self.first.timestamp(), self.seconds)
        assert rest == 0
        return int(slot)


GRIDS = (
    Grid("1minute", pd.Timestamp("2024-03-08 03:20", tz="UTC"), 30, 2),  # New York's day begins at 5:00
    Grid("1day", pd.Timestamp("2024-03-07", tz="UTC"), 1_800, 46),  # its clocks change on the 10th
)


@dataclass(frozen=True)
class Fetch:
    """A range that is requested from the broker, and the slots of the bars that it returns, in its order."""

    start: int
    stop: int
    bars: list[int] | None


@dataclass(frozen=True)
class Read:
    """A read of slots `[start, stop)` in the slot `now`, the bars of its result, and what was fetched for it."""

    now: int
    start: int
    stop: int
    bars: list[int]
    fetches: list[Fetch]
    from_first_bar: bool


@st.composite
def some_reads(draw: st.DrawFn) -> list[Read]:
    """Return reads of a market with gaps. Most read the same ranges at other times, with a bar more or less."""
    stretches = draw(st.lists(st.tuples(st.integers(0, SLOTS - 1), st.integers(1, 60)), min_size=1, max_size=4))
    usual = {slot for first, length in stretches for slot in range(first + first % 2, min(first + length, SLOTS), 2)}
    between = draw(st.sets(st.integers(0, SLOTS // 14 - 1).map(lambda place: 14 * place + 1), max_size=4))
    market = usual | between | {SLOTS - 2}
    edges = sorted(draw(st.sets(st.integers(0, SLOTS), min_size=2, max_size=5)))
    return draw(st.lists(_a_read(market, edges), min_size=1, max_size=7))


@st.composite
def _a_read(draw: st.DrawFn, market: set[int], edges: list[int]) -> Read:
    start, stop = sorted(draw(st.lists(st.sampled_from(edges), min_size=2, max_size=2, unique=True)))
    missing = draw(st.sets(st.integers(start, stop - 1), max_size=2))
    bars = [slot for slot in sorted(market) if start <= slot < stop and slot not in missing]
    fetches = []
    for _ in range(draw(st.integers(0, 2))):
        first = draw(st.integers(start, stop - 1))
        last = draw(st.integers(first + 1, stop))
        inside = [slot for slot in bars if first <= slot < last]
        answers = [inside, inside[::-1], [*inside, *inside[:1]], inside[1:], [], None]
        fetches.append(Fetch(first, last, draw(st.sampled_from(answers))))
    now = draw(st.one_of(st.integers(0, SLOTS + 60), st.integers(SLOTS, SLOTS + 60)))
    return Read(now, start, stop, bars, fetches, draw(st.booleans()))


def runs(slots: Iterable[int]) -> list[tuple[int, int]]:
    """Return slots as half-open ranges."""
    found: list[tuple[int, int]] = []
    for slot in sorted(slots):
        if found and found[-1][1] == slot:
            found[-1] = found[-1][0], slot + 1
        else:
            found.append((slot, slot + 1))
    return found


@dataclass
class Model:
    """What should be recorded: the slots of bars with the ranges that they cover, and rechecks."""

    adjusted: bool
    grid: Grid
    passed: set[int] = field(default_factory=set)
    day: dt.date | None = None
    recorded: list[Any] = field(default_factory=list)

    def read(self, read: Read) -> None:
        asked_at = self.grid.moment(read.now).to_pydatetime()
        if self.adjusted and not any(each.bars for each in read.fetches):
            return
        ranges = sorted((each.start, each.stop) for each in read.fetches)
        if any(later[0] < earlier[1] for earlier, later in pairwise(ranges)):
            self.passed = set()
            self.recorded.append("recheck")
        day = asked_at.astimezone(NEW_YORK).date()
        if self.adjusted and day != self.day:
            self.passed, self.day = set(), day
        new = self._new(read, self._proven(read, asked_at))
        if new:
            self.recorded.append(([slot for slot in read.bars if slot in new], runs(new)))
            self.passed |= new

    def _proven(self, read: Read, asked_at: dt.datetime) -> set[int]:
        known = set(range(read.start, read.stop))
        for each in read.fetches:
            known -= set(range(each.start, each.stop))
        for each in read.fetches:
            if each.bars:
                known |= set(range(min(each.bars) if read.from_first_bar else each.start, each.stop))
        starts = np.array([self.grid.moment(slot).timestamp() for slot in read.bars], dtype=np.int64)
        settled = end_of_closed(starts, self.grid.timestep.removeprefix("1"), asked_at, settle_margin())
        closed = [slot for slot, start in zip(read.bars, starts, strict=True) if start < settled]
        proven: set[int] = set()
        for start, stop in runs(known):
            inside = [slot for slot in closed if start <= slot < stop]
            if inside:
                proven |= set(range(inside[0], inside[-1] + self.grid.shortest))
        return proven

    def _new(self, read: Read, proven: set[int]) -> set[int]:
        new: set[int] = set()
        for start, stop in runs(proven - self.passed):
            earlier = [slot for slot in read.bars if slot < start]
            has_bars = any(start <= slot < stop for slot in read.bars)
            new |= set(range(start if has_bars or not earlier else earlier[-1], stop))
        return new


SERIES: dict[str, tuple[dict[str, Any], str, bool, tuple[str, ...] | None]] = {
    "ccxt": ({"exchange": "binance", "sandbox": False}, "BTC/USDT", False, FLOATS),
    "schwab": ({"assetType": "stock", "extendedHours": True}, "SPY", True, None),
    "alpaca": (
        {"requestType": "StockBarsRequest", "adjustment": "all", "feed": None, "asof": None, "currency": None},
        "SPY",
        True,
        ALPACA_FLOATS,
    ),
}


def series_of(provider: str, timestep: str) -> Any:
    contract, symbol, adjusted, _ = SERIES[provider]
    return BarSeries.make(provider, symbol, timestep, scope="s", adjusted=adjusted, **contract)


def frame_of(slots: Sequence[int], grid: Grid, unit: str = "ns", seed: int = 0) -> pd.DataFrame:
    """Return bars whose values differ from one seed to the next."""
    moments = [grid.first.timestamp() + slot * grid.seconds for slot in slots]
    times: Any = pd.to_datetime(moments, unit="s", utc=True).rename("timestamp")
    prices = np.arange(len(slots)) + 1.0 + 1_000 * seed
    frame = pd.DataFrame(dict.fromkeys(("vwap", "open", "high", "low", "close"), prices), index=times.as_unit(unit))
    return frame.assign(volume=np.arange(len(slots)), note="no number", trade_count=2)


@dataclass
class Recorded:
    """Takes the place of the recorder."""

    items: list[Any] = field(default_factory=list)

    def record_read(self, read_bars: ReadBars) -> None:
        self.items.append(read_bars)

    def recheck(self, key: Any) -> None:
        self.items.append("recheck")


def whole(now: int, start: int, stop: int, *bars: int) -> Read:
    """Return a read that fetched everything."""
    return Read(now, start, stop, list(bars), [Fetch(start, stop, list(bars))], False)


MINUTES, DAYS = GRIDS


@examples(200)
@example([whole(now, 0, 9, 0, 2, 4) for now in (150, 160, 210)], "schwab", MINUTES, "ns")  # the last is of the next day
@example([whole(300, *read) for read in ((0, 9, 2, 4), (20, 29, 22), (0, 9, 2, 4))], "ccxt", MINUTES, "ns")
@example([whole(now, 0, 49, 10) for now in (59, 61)], "ccxt", DAYS, "ns")  # a day that may have 25 hours
@given(
    reads=some_reads(),
    provider=st.sampled_from(sorted(SERIES)),
    grid=st.sampled_from(GRIDS),
    unit=st.sampled_from(["s", "us", "ns"]),
)
def test_a_plain_model_records_the_same(reads: list[Read], provider: str, grid: Grid, unit: str) -> None:
    series = series_of(provider, grid.timestep)
    model, recorded = Model(series.adjusted, grid), Recorded()
    recording = ReadRecording(recorded)  # type: ignore[arg-type]
    for number, read in enumerate(reads):
        before = len(recorded.items)
        model.read(read)
        frame = frame_of(read.bars, grid, unit, number)
        _observe(recording, series, read, frame, lambda bars: frame_of(bars, grid, unit), grid)
        for item in recorded.items[before:]:
            if item != "recheck":
                assert item.asked_at == grid.moment(read.now)
                _check_values(item, frame, SERIES[provider][3])
    assert [item if item == "recheck" else _described(item, grid) for item in recorded.items] == model.recorded


def _observe(recording: ReadRecording, series: Any, read: Read, frame: pd.DataFrame, make: Any, grid: Grid) -> None:
    """Observe a read, whose caller changes the result afterwards."""
    answers = iter([None if each.bars is None else make(each.bars) for each in read.fetches])
    options = {"now": grid.moment(read.now), "coverage_from_rows": read.from_first_bar}
    end = grid.moment(read.stop) - pd.Timedelta("1s")  # which is included
    observed = recording.observe([series], grid.moment(read.start), end, lambda *_: {series: next(answers)}, options)
    assert observed is not None
    for each in read.fetches:
        observed.fetch([series], grid.moment(each.start), grid.moment(each.stop))
    result = frame.copy()
    observed.returned({series: result})
    result.loc[:, ["open", "high", "low", "close"]] = -1.0


def _described(item: ReadBars, grid: Grid) -> Any:
    bars = [grid.slot(time.timestamp()) for time in item.live_bars().bars.index]
    return bars, [(grid.slot(piece.start), grid.slot(piece.end)) for piece in item.covered]


def _check_values(item: ReadBars, frame: pd.DataFrame, columns: Sequence[str] | None) -> None:
    bars = item.live_bars().bars
    expected = frame.set_axis(pd.DatetimeIndex(frame.index).as_unit("ns").rename("datetime")).loc[bars.index]
    stored = expected.select_dtypes("number") if columns is None else expected[list(columns)].astype("float64")
    pd.testing.assert_frame_equal(bars, stored, check_exact=True)


@pytest.mark.parametrize("provider", ["alpaca", "ccxt"])
@pytest.mark.parametrize("change", [{"low": 99.0}, {"high": 1.0}, {"close": np.nan}, {"volume": -1.0}, {"open": 0.0}])
def test_implausible_bars_are_refused_where_lumibot_refuses_them(change: dict[str, float], provider: str) -> None:
    frame = frame_of([0, 2, 4], MINUTES).assign(**change)
    destination, moment = destination_of(series_of(provider, "1minute")), MINUTES.first
    item = copied(frame, BarStarts.of(frame.index), slice(0, 3), destination, (TimeRange(0, 1),), moment)
    if provider == "alpaca":
        with pytest.raises(NotRecordedError, match="not plausible"):
            item.live_bars()
    else:
        expected = frame[list(FLOATS)].astype(float)
        pd.testing.assert_frame_equal(item.live_bars().bars, expected, check_names=False)


def test_times_without_a_time_zone_are_refused() -> None:
    with pytest.raises(ValueError, match="tz-aware"):
        BarStarts.of(pd.DatetimeIndex(["2024-03-12 09:30"]))
