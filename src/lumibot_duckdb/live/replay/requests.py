"""Did the backtest see the bars and prices that the live strategy saw?"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lumibot_duckdb.live.replay.recorded_bars import StoredTimes
from lumibot_duckdb.live.session.events import PRICES, SeenFrame
from lumibot_duckdb.live.session.observer import LAST_PRICE
from lumibot_duckdb.live.session.session_rows import rebuilt_frames
from lumibot_duckdb.storage.timeframes import bar_seconds, canonical_timeframe

EQUAL = "equal"
UNFINISHED = "unfinished bar"
LATE = "late in live trading"
EXTRA = "more bars in the backtest"
MISSING = "bars missing"
DIFFERENT = "bars differ"
PRICE = "price differs"
UNMATCHED = "not requested in the backtest"
ONLY_BACKTEST = "only requested in the backtest"
INCOMPLETE = "not recorded completely"

EXPLANATIONS: Mapping[str, str] = {
    EQUAL: "the backtest saw the same closed bars",
    UNFINISHED: "the live strategy also saw a bar that had not closed; a backtest never does",
    PRICE: "the last price of a backtest is that of a bar, not of a trade or a quote",
    LATE: "the live source had not delivered the newest closed bars yet; the backtest had them",
    EXTRA: "the backtest had bars between those that the live strategy saw, such as filled gaps",
    MISSING: "bars that the live strategy saw are not in the store: they were not recorded",
    DIFFERENT: "closed bars have other values: the source corrected or adjusted them later, or it is another source",
    UNMATCHED: "the backtest took another path, or had no iteration at that time",
    ONLY_BACKTEST: "the live strategy took another path, or had no iteration at that time",
    INCOMPLETE: "some rows of the session were lost",
}
"""All outcomes with what they mean, the best first."""
_OUTCOMES = {"different": DIFFERENT, "missing": MISSING, "extra": EXTRA, "late": LATE, "unfinished": UNFINISHED}
"""The outcome of a request for each count that is not zero, the first one that counts first."""
EXPECTED = (EQUAL, UNFINISHED, PRICE)
"""Outcomes that any live session has."""
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_KEY = ("method", "asset", "timestep", "length", "arguments")


@dataclass(frozen=True)
class FirstDifference:
    """The first bar of a request that differs: its start, the column, and both values."""

    bar: datetime
    column: str
    live: float
    backtest: float


@dataclass(frozen=True)
class RequestComparison:
    """A request of the live strategy beside that of the backtest.

    Attributes:
        outcome: One of `EXPLANATIONS`.
        live_time: When the live strategy made it; None if it did not.
        backtest_time: When the backtest made it; None if it did not.
        bars: How many bars the live strategy got; None for a price.
        different: How many closed bars differ.
        missing: How many bars that the live strategy saw the backtest did not have.
        extra: How many bars in between only the backtest had.
        late: How many newer closed bars only the backtest had.
        unfinished: How many bars had not closed when the live strategy saw them.
        first_missing: The start of the first bar that is missing.
        prices: The live price and the backtest's.
    """

    outcome: str
    method: str
    asset: str
    timestep: str
    length: int | None
    live_time: datetime | None
    backtest_time: datetime | None
    bars: int | None = None
    different: int = 0
    missing: int = 0
    extra: int = 0
    late: int = 0
    unfinished: int = 0
    first_difference: FirstDifference | None = None
    first_missing: datetime | None = None
    prices: tuple[float | None, float | None] | None = None


_Made = tuple[dict[str, Any], "SeenFrame | None"]


def compare_requests(
    live: Mapping[str, pa.Table], backtest: Mapping[str, pa.Table], stored: StoredTimes | None = None
) -> list[RequestComparison]:
    """Return the requests of a session beside those of its backtest, in the order of the session.

    A request belongs to the iteration of the backtest that began last before it. Within an iteration, equal requests
    are paired in their order. Requests that only the backtest made come last.

    With the times of `stored` bars, a bar that Lumibot made up in the backtest to fill a gap counts as missing.
    """
    iterations = Iterations.of(backtest)
    theirs = list(rebuilt_frames(live["live_requests"], live["live_bars"]))
    ours: dict[tuple[Any, ...], _Made] = {}
    counts: Counter[tuple[Any, ...]] = Counter()
    for row, frame in rebuilt_frames(backtest["live_requests"], backtest["live_bars"]):
        ours[_place(row, row["time"], counts)] = (row, frame)
    counts = Counter()
    found = []
    for row, frame in theirs:
        other = ours.pop(_place(row, iterations.before(row["time"]), counts), None)
        found.append(_unmatched(row, UNMATCHED) if other is None else _compared(row, frame, *other, stored))
    return found + [_unmatched(row, ONLY_BACKTEST) for row, _ in ours.values()]


def outcomes(comparisons: Sequence[RequestComparison]) -> dict[str, int]:
    """Return how many requests have each outcome, in the order of `EXPLANATIONS`."""
    counted = Counter(each.outcome for each in comparisons)
    return {name: counted[name] for name in EXPLANATIONS if counted[name]}


@dataclass(frozen=True)
class Iterations:
    """The times of the iterations of a backtest in microseconds, and how long one lasts."""

    times: tuple[int, ...]
    step: int

    @classmethod
    def of(cls, backtest: Mapping[str, pa.Table]) -> Iterations:
        """Return the iterations that made a request or a value."""
        columns = [backtest[table]["time"].cast(pa.int64()).to_pylist() for table in ("live_requests", "equity")]
        times = sorted({time for column in columns for time in column})
        steps = [after - before for before, after in pairwise(times)]
        return cls(tuple(times), int(median(steps)) if steps else 60_000_000)

    def before(self, time: int) -> int | None:
        """Return the iteration that began last before a time; None if it had ended by then."""
        place = bisect_right(self.times, time) - 1
        if place < 0 or (place == len(self.times) - 1 and time >= self.times[place] + self.step):
            return None
        return self.times[place]


def _place(row: Mapping[str, Any], iteration: int | None, counts: Counter[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return what a request has in common with its counterpart: iteration, what is requested, and how many before."""
    key = (iteration, *(row[name] for name in _KEY))
    counts[key] += 1
    return (*key, counts[key])


def _unmatched(row: Mapping[str, Any], outcome: str) -> RequestComparison:
    time = _moment(row["time"])
    is_live = outcome == UNMATCHED
    about = {name: row[name] for name in ("method", "asset", "timestep", "length")}
    return RequestComparison(
        outcome, **about, live_time=time if is_live else None, backtest_time=None if is_live else time, bars=row["bars"]
    )


def _compared(
    live: Mapping[str, Any],
    seen: SeenFrame | None,
    backtest: Mapping[str, Any],
    known: SeenFrame | None,
    stored: StoredTimes | None,
) -> RequestComparison:
    about = {
        **{name: live[name] for name in ("method", "asset", "timestep", "length", "bars")},
        "live_time": _moment(live["time"]),
        "backtest_time": _moment(backtest["time"]),
    }
    if live["method"] == LAST_PRICE:
        prices = (live["price"], backtest["price"])
        outcome = EQUAL if prices[0] == prices[1] else MISSING if prices[1] is None else PRICE
        return RequestComparison(outcome, **about, prices=prices)
    if live["digest"] == backtest["digest"]:
        return RequestComparison(EQUAL, **about)
    if seen is None or known is None:
        if live["bars"] is not None and backtest["bars"] is None:
            first = None if live["first_bar"] is None else _moment(live["first_bar"])
            return RequestComparison(MISSING, **about, missing=live["bars"], first_missing=first)
        if live["bars"] is None:
            return RequestComparison(EXTRA, **about, extra=backtest["bars"])
        return RequestComparison(INCOMPLETE, **about)
    times = None if stored is None else stored.of(live["asset"], live["timestep"])
    return RequestComparison(**about, **_differences(seen, known, times, live["time"], live["timestep"]))


def _differences(
    seen: SeenFrame, known: SeenFrame, stored: NDArray[np.int64] | None, now: int, timestep: str
) -> dict[str, Any]:
    """Compare the bars that had closed at a time, from where both frames begin."""
    length = _microseconds(timestep, seen)
    closed = seen.times + length <= now
    unfinished = int((~closed).sum())
    live = SeenFrame(seen.times[closed], seen.values[closed])
    if not len(live.times) or not len(known.times):
        counts = {"missing": len(live.times), "late": len(known.times), "unfinished": unfinished}
        return {"outcome": _outcome(counts), **counts, "first_missing": _earliest(live.times)}
    begin, end = max(live.times[0], known.times[0]), live.times[-1]
    theirs, ours = live.times[live.times >= begin], known.times[known.times >= begin]
    both, at_live, at_known = np.intersect1d(live.times, known.times, return_indices=True)
    one, other = live.values[at_live], known.values[at_known]
    unequal = ~((one == other) | (np.isnan(one) & np.isnan(other)))
    is_filled = np.zeros(len(both), bool) if stored is None else ~np.isin(both, stored)
    filled = both[is_filled & unequal.any(axis=1)]
    unequal[is_filled] = False
    missing = np.union1d(np.setdiff1d(theirs, ours), filled)
    counts = {
        "different": int(unequal.any(axis=1).sum()),
        "missing": len(missing),
        "extra": len(np.setdiff1d(ours[ours <= end], theirs)),
        "late": int((ours > end).sum()),
        "unfinished": unfinished,
    }
    return {
        "outcome": _outcome(counts),
        **counts,
        "first_difference": _first(both, one, other, unequal),
        "first_missing": _earliest(missing),
    }


def _outcome(counts: Mapping[str, int]) -> str:
    return next((outcome for name, outcome in _OUTCOMES.items() if counts.get(name)), EQUAL)


def _earliest(times: NDArray[np.int64]) -> datetime | None:
    return _moment(int(times[0])) if len(times) else None


def _first(times: Any, one: Any, other: Any, unequal: Any) -> FirstDifference | None:
    if not unequal.any():
        return None
    row, column = np.argwhere(unequal)[0]
    return FirstDifference(_moment(int(times[row])), PRICES[column], float(one[row, column]), float(other[row, column]))


def _microseconds(timestep: str, frame: SeenFrame) -> int:
    """Return the length of a bar; of a timestep that the store does not know, the usual distance of bars."""
    try:
        return bar_seconds(canonical_timeframe(timestep or "minute")) * 1_000_000
    except ValueError:
        steps = np.diff(frame.times)
        return int(np.median(steps)) if len(steps) else 0


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
