"""The cost of a request to the CCXT sources during a backtest, and of the first request for a coin."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean
from time import perf_counter
from typing import Any

from benchmarks.bars import Workplace
from benchmarks.ccxt.bars import COINS, START, warm_sides
from benchmarks.ccxt.sides import OPPONENT, clock, make_source, pairs, source_class
from benchmarks.measure import Row, Sample, against
from benchmarks.polygon.sides import only_this_machine
from benchmarks.process import run_apart
from benchmarks.requests import call_text, calls_note, touch_row
from benchmarks.sides import set_clock

_BUDGET = call_text(60, "minute")
_REQUESTS = {
    _BUDGET: (60, "minute"),
    call_text(14, "day"): (14, "day"),
    "`get_last_price()`": (None, ""),
}
_WALKS = ("2022-02-01", "2022-06-01", "2022-11-01")
_MINUTES = {"lumibot": 300, "duckdb": 3_000}
"""The length of a walk. Lumibot's calls take milliseconds, and all of them about as long."""
_WARM_UP = 60
_PROCESSES = 2


def steady(workplace: Workplace) -> list[Row]:
    """Time of one request in the middle of a backtest on a year of candles."""
    calls: dict[str, list[dict[str, list[float]]]] = {"lumibot": [], "duckdb": []}
    sides = warm_sides(workplace)
    for day in _WALKS:  # in turn, so that other load on the machine affects both sides
        for side, walks in calls.items():
            walks.append(run_apart("ccxt.requests.walk", settings=sides[side], side=side, day=day))
    rows = []
    for name in _REQUESTS:
        ours, theirs = ([walk[name] for walk in calls[side]] for side in ("duckdb", "lumibot"))
        rows.append(
            against(
                name,
                "µs",
                OPPONENT,
                Sample.of(map(fmean, ours), 1e6),
                Sample.of(map(fmean, theirs), 1e6),
                at_least=200.0 if name == _BUDGET else None,
                budget="200 x faster" if name == _BUDGET else "",
                note=calls_note(name, ours, theirs),
            )
        )
    return rows


def walk(side: str, day: str) -> dict[str, list[float]]:
    """Begin a one-year backtest, move the clock minute by minute from a day on; return the seconds of every call."""
    source_class(side)
    with only_this_machine():
        source = make_source(side)
        (pair,) = pairs(1)
        seconds: dict[str, list[float]] = {}
        for name, (length, timestep) in _REQUESTS.items():
            times = []
            for moment in clock(day, _MINUTES[side]):
                set_clock(source, moment)
                started = perf_counter()
                answer = (
                    source.get_last_price(pair)
                    if length is None
                    else source.get_historical_prices(pair, length, timestep)
                )
                times.append(perf_counter() - started)
                _check(answer, length)
            seconds[name] = times[_WARM_UP:]
    return seconds


def _check(answer: Any, length: int | None) -> None:
    if answer is None or (length is not None and len(answer.df) != length):
        raise AssertionError(f"got {answer!r} instead of {length or 'a price'}")


def first_touch(workplace: Workplace) -> list[Row]:
    """Time of the first request for a coin with a year of minutes stored, 60 minutes long."""
    sides = warm_sides(workplace)

    def seconds(side: str) -> list[float]:
        return list(run_apart("ccxt.requests.touch", settings=sides[side], side=side))

    what = "coin with a year of minutes stored"
    return [touch_row(what, OPPONENT, _PROCESSES, seconds, "Creating the source is not included.")]


def touch(side: str, start: str = START, coins: int = COINS) -> list[float]:
    """Time the first request for one coin after another."""
    source_class(side)
    with only_this_machine():
        source = make_source(side, start)
        set_clock(source, clock("2022-06-01", 1)[0])
        moments = [perf_counter()]
        for pair in pairs(coins):
            _check(source.get_historical_prices(pair, 60, "minute"), 60)
            moments.append(perf_counter())
    return [after - before for before, after in pairwise(moments)][1:]
