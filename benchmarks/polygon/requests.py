"""The cost of a request to the Polygon sources during a backtest, and of the first request for a symbol."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean
from time import perf_counter

from benchmarks.bars import SYMBOLS, Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.polygon.bars import END, START, warm_sides
from benchmarks.polygon.sides import OPPONENT, make_source, only_this_machine, source_class
from benchmarks.process import run_apart
from benchmarks.requests import WALKS, WARM_UP, call_text, calls_note, time_calls, time_prices
from benchmarks.sides import regular_minutes, set_clock
from lumibot_duckdb.demo.market import symbol_names

_REQUESTS = {call_text(*request): request for request in ((60, "minute"), (60, "5min"), (14, "day"))}
_LAST_PRICE = "`get_last_price()`"
_BUDGETS = {
    call_text(60, "minute"): (3.0, "3 x faster (25 µs)"),
    call_text(60, "5min"): (100.0, "100 x faster"),
    call_text(14, "day"): (100.0, "100 x faster"),
}
_SYMBOLS = 2
_PROCESSES = 3


def steady(workplace: Workplace) -> list[Row]:
    """Time of one request in the middle of a backtest on Polygon's minute bars."""
    calls: dict[str, list[dict[str, list[float]]]] = {"lumibot": [], "duckdb": []}
    sides = warm_sides(workplace)
    for day in WALKS:  # in turn, so that other load on the machine affects both sides
        for side, walks in calls.items():
            walks.append(run_apart("polygon.requests.walk", settings=sides[side], side=side, day=day))
    rows = []
    for name in (*_REQUESTS, _LAST_PRICE):
        ours, theirs = ([walk[name] for walk in calls[side]] for side in ("duckdb", "lumibot"))
        at_least, budget = _BUDGETS.get(name, (None, ""))
        rows.append(
            against(
                name,
                "µs",
                OPPONENT,
                Sample.of(map(fmean, ours), 1e6),
                Sample.of(map(fmean, theirs), 1e6),
                at_least=at_least,
                budget=budget,
                note=calls_note(name, ours, theirs),
            )
        )
    return rows


def walk(side: str, day: str) -> dict[str, list[float]]:
    """Begin a two-year backtest, move the clock minute by minute from a day on; return the seconds of every call."""
    source_class(side)
    from lumibot.entities import Asset

    with only_this_machine():
        source = make_source(side, START, END)
        assets = [Asset(symbol) for symbol in symbol_names(_SYMBOLS)]
        begin = list(regular_minutes(START, 1))[:1]
        seconds = {}
        for length, timestep in _REQUESTS.values():
            time_calls(source, assets, length, timestep, begin)
        for name, (length, timestep) in _REQUESTS.items():
            clock = regular_minutes(day, 2 if timestep == "minute" else 1)
            seconds[name] = time_calls(source, assets, length, timestep, clock)[WARM_UP * len(assets) :]
        prices = time_prices(source, assets, regular_minutes(day, 2))
        seconds[_LAST_PRICE] = prices[WARM_UP * len(assets) :]
    return seconds


def first_touch(workplace: Workplace) -> list[Row]:
    """Time of the first request for a symbol with two years of minutes stored, 60 minutes long."""
    touched: dict[str, dict[str, list[float]]] = {"lumibot": {}, "duckdb": {}}
    sides = warm_sides(workplace)
    for _ in range(_PROCESSES):
        for side, times in touched.items():
            for when, seconds in run_apart("polygon.requests.touch", settings=sides[side], side=side).items():
                times[when] = [*times.get(when, []), *seconds]
    notes = {
        "later in a process": "Creating the source is not included.",
        "first in a process": "On both sides, the first request in a process also makes two years of the NYSE "
        "calendar.",
    }
    return [
        against(
            f"first request for a symbol with two years stored, {when}",
            "ms",
            OPPONENT,
            Sample.of(touched["duckdb"][when], 1e3),
            Sample.of(touched["lumibot"][when], 1e3),
            at_least=150.0,
            budget="150 x faster (10 ms)",
            note=note,
        )
        for when, note in notes.items()
    ]


def touch(side: str, start: str = START, symbols: int = SYMBOLS) -> dict[str, list[float]]:
    """Time the first request for one symbol after another. The first one of the process is reported separately."""
    source_class(side)
    from lumibot.entities import Asset

    with only_this_machine():
        source = make_source(side, start, END)
        set_clock(source, next(iter(regular_minutes(start, 1))))
        moments = [perf_counter()]
        for symbol in symbol_names(symbols):
            answer = source.get_historical_prices(Asset(symbol), 60, "minute")
            moments.append(perf_counter())
            if len(answer.df) != 60:
                raise AssertionError(f"{len(answer.df)} bars instead of 60")
    seconds = [after - before for before, after in pairwise(moments)]
    return {"first in a process": seconds[:1], "later in a process": seconds[1:]}
