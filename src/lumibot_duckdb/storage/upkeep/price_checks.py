"""Checks of the prices and volumes of a series: impossible bars, jumps as of splits, bad ticks, stale prices.

Each check first looks at all bars at once with a coarse rule, and then at the few candidates with their surroundings.
The thresholds are chosen so that years of real bars give few findings; each is explained where it is defined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from math import log
from typing import Any, TypeAlias

import numpy as np

from lumibot_duckdb.storage.bars.outline import Days
from lumibot_duckdb.storage.times import NEW_YORK, SECONDS_PER_DAY, UTC, EpochSeconds, Int64Array, midnight

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"

ROUNDING = 1e-9
"""Adjusted prices are products: a high may be this much (relative) below the close without being wrong."""

SPLIT_FACTORS = (1.5, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 80, 100)
SPLIT_TOLERANCE, SMALL_SPLIT_TOLERANCE = 0.06, 0.03
"""How far (in logarithms) the jump over a night may be from a split factor: the price also moves by a few percent. A
fall by a third happens, so 3 for 2 has to fit better."""

SETTLED = 0.15
"""How far the usual price of the bars after a jump may be from the factor. A crash that recovers is no split."""

SPLIT_SIGMAS = 8.0
"""A jump as of a split exceeds the usual move over a night by so much; biotechnology doubles now and then."""

AROUND = 50
"""How many bars before and after a bar tell what is usual there."""

TICK_MOVE, TICK_SIGMAS, TICK_LEFT = 0.03, 20.0, 0.25
"""A bad tick moves the close by 3 % and 20 usual moves, and at most a quarter of that is left one or two bars later."""

WICK_MOVE, WICK_RANGES = 0.05, 15.0
"""A bad high or low is 5 % and 15 usual bar ranges away from open and close; news moves are about 5 ranges."""

STALE_MOVING, STALE_FLAT, STALE_UNTRADED = 5, 30, 390
"""So many equal bars in a row are stale: bars with a range (which never repeat by chance), bars of one price and with
volume (illiquid ones do, at odd hours), and bars of one price without volume (as sources fill in gaps: a session)."""

STALE_DAYS = 5
"""So many equal bars of a day or longer are stale in any case."""

JOINT_MOVE, JOINT_SIGMAS, JOINT_DAYS = 0.18, 20.0, 5
"""Two writes differ by a factor if the price moves by a sixth and 20 usual moves in between, within 5 days."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Bars of a series as arrays. Columns that the series lacks are None; missing values are NaN."""

    times: Int64Array
    ingests: Int64Array
    open: Floats | None
    high: Floats | None
    low: Floats | None
    close: Floats | None
    volume: Floats | None

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class Split:
    """A recorded split: on that day, prices were multiplied by `factor`. `here`: the series' own source recorded it."""

    ex_date: date
    factor: float
    here: bool = True


@dataclass(frozen=True, slots=True)
class Suspect:
    """A bar that a check finds, by its place, or the first of several up to before `stop`."""

    at: int
    kind: str
    note: str = ""
    stop: int | None = None


def impossible_bars(bars: Prices, *, may_be_negative: bool) -> Iterator[Suspect]:
    """Yield bars whose numbers cannot be: high below low or close, prices of zero, negative volume, missing prices."""
    prices = [column for column in (bars.open, bars.high, bars.low, bars.close) if column is not None]
    if not prices:
        return
    with np.errstate(invalid="ignore", over="ignore"):
        total = sum(prices[1:], prices[0])
        odd = ~np.isfinite(total)
        if not may_be_negative:
            odd |= np.minimum.reduce(prices) <= 0
        for column in (bars.open, bars.close, bars.low):
            if bars.high is not None and column is not None:
                odd |= bars.high < column
        for column in (bars.open, bars.close):
            if bars.low is not None and column is not None:
                odd |= bars.low > column
        if bars.volume is not None:
            odd |= bars.volume < 0
    for at in np.flatnonzero(odd).tolist():
        kind = _impossible(bars, at, may_be_negative=may_be_negative)
        if kind:
            yield Suspect(at, kind)


def _impossible(bars: Prices, at: int, *, may_be_negative: bool) -> str:
    columns = {"open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close}
    prices = {name: float(column[at]) for name, column in columns.items() if column is not None}
    if not np.isfinite(list(prices.values())).all():
        return "a price is missing or infinite"
    if not may_be_negative and min(prices.values()) <= 0:
        return "a price is zero or negative"
    slack = ROUNDING * max(map(abs, prices.values()))
    inner = [price for name, price in prices.items() if name in ("open", "close")]
    if "high" in prices and max([*inner, prices.get("low", prices["high"])]) > prices["high"] + slack:
        return "the high is below another price"
    if "low" in prices and min(inner, default=prices["low"]) < prices["low"] - slack:
        return "the low is above another price"
    return "the volume is negative" if bars.volume is not None and bars.volume[at] < 0 else ""


def stale_bars(bars: Prices, bar_length: int) -> Iterator[Suspect]:
    """Yield runs of equal bars."""
    prices = [column for column in (bars.open, bars.high, bars.low, bars.close) if column is not None]
    if not prices or len(bars) < 2:
        return
    same = prices[0][1:] == prices[0][:-1]
    for column in prices[1:]:
        same &= column[1:] == column[:-1]
    if bars.volume is not None:
        same &= (bars.volume[1:] == bars.volume[:-1]) | np.isnan(bars.volume[1:])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).view(np.int8)))
    for start, stop in zip(edges[::2].tolist(), (edges[1::2] + 1).tolist(), strict=True):
        if stop - start < STALE_MOVING:
            continue
        kind, least = _staleness(bars, start, bar_length)
        if stop - start >= least:
            yield Suspect(start, kind, f"{stop - start} equal bars", stop)


def _staleness(bars: Prices, at: int, bar_length: int) -> tuple[str, int]:
    traded = bars.volume is not None and bars.volume[at] > 0
    moving = bars.high is not None and bars.low is not None and bars.high[at] > bars.low[at]
    if moving and (traded or bars.volume is None):
        return "equal bars that moved", STALE_MOVING
    if bar_length >= SECONDS_PER_DAY:
        return "equal bars", STALE_DAYS
    return ("equal bars of one price", STALE_FLAT) if traded else ("equal bars without volume", STALE_UNTRADED)


def bad_ticks(bars: Prices) -> Iterator[Suspect]:
    """Yield bars whose close jumps away and back, or whose high or low is far from everything around it."""
    if bars.close is None or len(bars) < 10:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = bars.close[1:] / bars.close[:-1] - 1
        jumps = np.flatnonzero(np.abs(moves) > TICK_MOVE) + 1
        for at in jumps.tolist():
            if _jumps_back(bars.close, at):
                around = f"{bars.close[at - 1]:g} before and {bars.close[min(at + 1, len(bars) - 1)]:g} after"
                yield Suspect(at, "the close jumps away and back", f"close {bars.close[at]:g}, {around}")
        yield from _far_wicks(bars)


def _jumps_back(close: Floats, at: int) -> bool:
    move = close[at] / close[at - 1] - 1
    returns = [close[later] / close[at - 1] - 1 for later in (at + 1, at + 2) if later < len(close)]
    if not any(abs(left) < TICK_LEFT * abs(move) for left in returns):
        return False
    return bool(abs(move) > TICK_SIGMAS * _usual_move(close, at))


def _usual_move(close: Floats, at: int) -> float:
    """Return the standard deviation of the moves around a bar, from their median, which outliers do not change."""
    near = close[max(0, at - AROUND) : at + AROUND]
    moves = np.abs(near[1:] / near[:-1] - 1)
    moves = moves[np.isfinite(moves)]
    return float(1.4826 * np.median(moves)) if len(moves) >= 8 else np.inf


def _far_wicks(bars: Prices) -> Iterator[Suspect]:
    if bars.open is None or bars.close is None or bars.high is None or bars.low is None:
        return
    above = bars.high / np.maximum(bars.open, bars.close) - 1
    below = np.minimum(bars.open, bars.close) / bars.low - 1
    for at in np.flatnonzero((above > WICK_MOVE) | (below > WICK_MOVE)).tolist():
        near = slice(max(0, at - AROUND), at + AROUND)
        ranges = (bars.high[near] - bars.low[near]) / bars.close[near]
        usual = float(np.nanmedian(ranges))
        name, wick = ("high", above[at]) if above[at] >= below[at] or not np.isfinite(below[at]) else ("low", below[at])
        if usual > 0 and len(ranges) >= 8 and np.isfinite(wick) and wick > WICK_RANGES * usual:
            price = bars.high[at] if name == "high" else bars.low[at]
            note = f"{name} {price:g}, open {bars.open[at]:g}, close {bars.close[at]:g}"
            yield Suspect(at, f"the {name} is far from everything around it", note)


def jumps(bars: Prices, bar_length: int, splits: Sequence[Split], adjustment: str) -> Iterator[Suspect]:
    """Yield jumps of a split that is not recorded, or recorded and not applied, and those between writes.

    Prices without an adjustment have to jump at a recorded split.
    """
    if bars.close is None or len(bars) < 4:
        return
    opens = bars.close if bars.open is None else bars.open
    firsts = _first_of_days(bars.times, bar_length)
    if not len(firsts):
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        nights = np.log(opens[firsts] / bars.close[firsts - 1])
    joints = np.flatnonzero(bars.ingests[1:] != bars.ingests[:-1]) + 1
    known = {at: _recorded(bars.times[at], bars.times[at - 1], splits) for at in _places(bars, splits)}
    between = set()
    for at in joints.tolist():
        factor = _factor_between_writes(bars, opens, at)
        if factor and not (not adjustment and known.get(at)):
            between.add(at)
            note = f"from {bars.close[at - 1]:g} to {opens[at]:g}, a factor of {factor:.3g}"
            yield Suspect(at, "the bars of two writes differ by a factor", note)
    for place in np.flatnonzero(np.abs(nights) > log(SPLIT_FACTORS[0]) - SPLIT_TOLERANCE).tolist():
        at = int(firsts[place])
        named = _split_of(bars, nights, place, at)
        if at in between or not named:
            continue
        note = f"from {bars.close[at - 1]:g} to {opens[at]:g}, {named}"
        if not known.get(at):
            yield Suspect(at, "a jump as of a split that is not recorded", note)
        elif adjustment:
            yield Suspect(at, "a recorded split that is not applied", note)
    if not adjustment:
        yield from _unseen_splits(bars, opens, splits, UTC if bar_length >= SECONDS_PER_DAY else NEW_YORK)


def _first_of_days(times: Int64Array, bar_length: int) -> Int64Array:
    """Return the places of the first bar of each day but the first, where the day before is near."""
    if bar_length >= SECONDS_PER_DAY:
        return np.arange(1, len(times))
    firsts = np.searchsorted(times, Days.of(times).first[1:])
    return firsts[times[firsts] - times[firsts - 1] < JOINT_DAYS * SECONDS_PER_DAY]


def _split_of(bars: Prices, nights: Floats, place: int, at: int) -> str:
    """Return the split that a jump looks like: "2 for 1"; "" if it looks like none."""
    assert bars.close is not None
    jump = float(nights[place])
    factor = min(SPLIT_FACTORS, key=lambda each: abs(abs(jump) - log(each)))
    tolerance = SPLIT_TOLERANCE if factor >= 2 else SMALL_SPLIT_TOLERANCE
    if not np.isfinite(jump) or abs(abs(jump) - log(factor)) > tolerance:
        return ""
    near = nights[max(0, place - AROUND) : place + AROUND]
    usual = 1.4826 * float(np.nanmedian(np.abs(near)))
    settled = _settled(bars.close, at)
    if abs(jump) < SPLIT_SIGMAS * usual or abs(settled - jump) > SETTLED:
        return ""
    text = {1.5: ("3", "2")}.get(factor, (f"{factor:g}", "1"))
    return " for ".join(text if jump < 0 else text[::-1])


def _settled(close: Floats, at: int) -> float:
    """Return the logarithm of how the usual price changes at a bar."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.log(np.nanmedian(close[at : at + 10]) / np.nanmedian(close[max(0, at - 10) : at])))


def _factor_between_writes(bars: Prices, opens: Floats, at: int) -> float:
    assert bars.close is not None
    if bars.times[at] - bars.times[at - 1] > JOINT_DAYS * SECONDS_PER_DAY or bars.close[at - 1] <= 0 or opens[at] <= 0:
        return 0.0
    move = log(opens[at] / bars.close[at - 1])
    if abs(move) < JOINT_MOVE or abs(_settled(bars.close, at) - move) > SETTLED:
        return 0.0
    return float(np.exp(abs(move))) if abs(move) > JOINT_SIGMAS * _usual_move(bars.close, at) else 0.0


def _places(bars: Prices, splits: Sequence[Split]) -> set[int]:
    """Return the places of the bars that are the first since a split, or near it."""
    found: set[int] = set()
    for split in splits:
        at = int(np.searchsorted(bars.times, midnight(split.ex_date)))
        near = np.flatnonzero(np.abs(bars.times - midnight(split.ex_date)) < 4 * SECONDS_PER_DAY)
        found |= {at, *near.tolist()}
    return {at for at in found if 0 < at < len(bars)}


def _recorded(time: EpochSeconds, before: EpochSeconds, splits: Sequence[Split]) -> bool:
    days = 4 * SECONDS_PER_DAY
    return any(before - days < midnight(split.ex_date) < time + days for split in splits)


def _unseen_splits(bars: Prices, opens: Floats, splits: Sequence[Split], zone: tzinfo) -> Iterator[Suspect]:
    """Yield the first bar after each split of the own source at which prices do not jump. Days begin in a time zone."""
    assert bars.close is not None
    for split in splits:
        at = int(np.searchsorted(bars.times, midnight(split.ex_date, zone)))
        if not split.here or not 5 <= at < len(bars) - 5 or abs(log(split.factor)) < log(SPLIT_FACTORS[0]) - 0.01:
            continue
        if bars.times[at] - bars.times[at - 1] > JOINT_DAYS * SECONDS_PER_DAY:
            continue
        if abs(_settled(bars.close, at)) < 0.4 * abs(log(split.factor)):
            note = f"close {bars.close[at - 1]:g} before, open {opens[at]:g}"
            yield Suspect(at, "a recorded split at which unadjusted prices do not change", note)
