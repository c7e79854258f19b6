"""The cost of a request to the Yahoo sources during a backtest, and of the first request for a symbol."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean
from time import perf_counter

from benchmarks.bars import Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.process import run_apart
from benchmarks.requests import call_text, calls_note, touch_row
from benchmarks.sides import set_clock
from benchmarks.yahoo.bars import warm_sides
from benchmarks.yahoo.sides import OPPONENT, make_source, mornings, nothing_asked, source_class
from lumibot_duckdb.demo.market import symbol_names

_HISTORY, _PRICE = call_text(60, "day"), "`get_last_price()`"
_BEGINNINGS = ("2022-01-10", "2022-06-01", "2022-08-01")
_DAYS, _WARM_UP = 100, 10
_SYMBOLS, _TOUCHED, _PROCESSES = 4, 30, 3


def steady(workplace: Workplace) -> list[Row]:
    """Time of one request in the middle of a daily Yahoo backtest."""
    sides = warm_sides(workplace)
    calls: dict[str, list[dict[str, list[float]]]] = {side: [] for side in sides}
    for day in _BEGINNINGS:  # in turn, so that other load on the machine affects both sides
        for side, walks in calls.items():
            walks.append(run_apart("yahoo.requests.walk", settings=sides[side], side=side, day=day))
    rows = []
    for name in (_HISTORY, _PRICE):
        ours, theirs = ([walk[name] for walk in calls[side]] for side in ("duckdb", "lumibot"))
        rows.append(
            against(
                name,
                "µs",
                OPPONENT,
                Sample.of(map(fmean, ours), 1e6),
                Sample.of(map(fmean, theirs), 1e6),
                note=calls_note(name, ours, theirs),
            )
        )
    return rows


def walk(side: str, day: str) -> dict[str, list[float]]:
    """Move the clock from morning to morning; return the seconds of every call."""
    source_class(side)
    from lumibot.entities import Asset

    assets = [Asset(symbol) for symbol in symbol_names(_SYMBOLS)]
    seconds: dict[str, list[float]] = {_HISTORY: [], _PRICE: []}
    with nothing_asked():
        source = make_source(side)
        for moment in mornings(day, _DAYS):
            set_clock(source, moment)
            for asset in assets:
                started = perf_counter()
                bars = source.get_historical_prices(asset, 60, "day")
                between = perf_counter()
                price = source.get_last_price(asset)
                ended = perf_counter()
                seconds[_HISTORY].append(between - started)
                seconds[_PRICE].append(ended - between)
                if len(bars.df) != 60 or price is None:
                    raise AssertionError(f"got other than 60 days and a price of {asset} at {moment}")
    return {name: times[_WARM_UP * len(assets) :] for name, times in seconds.items()}


def first_touch(workplace: Workplace) -> list[Row]:
    """Time of the first request for a symbol with twenty years of days stored, 60 days long."""
    sides = warm_sides(workplace)

    def seconds(side: str) -> list[float]:
        return list(run_apart("yahoo.requests.touch", settings=sides[side], side=side))

    note = (
        "The first request of a process does not count. Our side makes one query, and one more for each 32 symbols; "
        "Lumibot's side reads one pickle of 0.4 MB."
    )
    return [touch_row("symbol with twenty years of days stored", OPPONENT, _PROCESSES, seconds, note)]


def touch(side: str) -> list[float]:
    """Time the first request for one symbol after another."""
    source_class(side)
    from lumibot.entities import Asset

    with nothing_asked():
        source = make_source(side)
        set_clock(source, next(mornings("2022-06-01", 1)))
        moments = []
        for symbol in symbol_names(_TOUCHED):
            moments.append(perf_counter())
            answer = source.get_historical_prices(Asset(symbol), 60, "day")
            if len(answer.df) != 60:
                raise AssertionError(f"{len(answer.df)} bars instead of 60")
        moments.append(perf_counter())
    return [after - before for before, after in pairwise(moments)][1:]
