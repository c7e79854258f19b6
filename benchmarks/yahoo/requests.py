"""What a request to the Yahoo sources costs in mid-backtest, and the first one of a symbol with twenty years stored."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean
from time import perf_counter

from benchmarks.bars import Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.process import run_apart
from benchmarks.requests import describe_calls
from benchmarks.sides import set_clock
from benchmarks.yahoo.bars import warm_sides
from benchmarks.yahoo.sides import OPPONENT, make_source, mornings, nothing_asked, source_class
from lumibot_duckdb.demo.market import symbol_names

_HISTORY, _PRICE = "get_historical_prices(60 x day)", "get_last_price()"
_BEGINNINGS = ("2022-01-10", "2022-06-01", "2022-08-01")
_DAYS, _WARM_UP = 100, 10
_SYMBOLS, _TOUCHED, _PROCESSES = 4, 30, 3


def steady(workplace: Workplace) -> list[Row]:
    """Sixty days, and the last price, as a daily strategy asks for them."""
    sides = warm_sides(workplace)
    calls: dict[str, list[dict[str, list[float]]]] = {side: [] for side in sides}
    for day in _BEGINNINGS:  # side by side, so that what else the machine does falls on both
        for side, walks in calls.items():
            walks.append(run_apart("yahoo.requests.walk", settings=sides[side], side=side, day=day))
    rows = []
    for name in (_HISTORY, _PRICE):
        ours, theirs = ([walk[name] for walk in calls[side]] for side in ("duckdb", "lumibot"))
        rows.append(
            against(
                f"{name}, Yahoo, steady",
                "µs",
                OPPONENT,
                Sample.of(map(fmean, ours), 1e6),
                Sample.of(map(fmean, theirs), 1e6),
                note=f"ours: {describe_calls(ours)}; theirs: {describe_calls(theirs)}",
            )
        )
    return rows


def walk(side: str, day: str) -> dict[str, list[float]]:
    """Walk from morning to morning, and return the seconds of every call."""
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
                    raise AssertionError(f"not 60 days and a price of {asset} at {moment}")
    return {name: times[_WARM_UP * len(assets) :] for name, times in seconds.items()}


def first_touch(workplace: Workplace) -> list[Row]:
    """From a symbol that a one-year backtest never asked for to its first sixty days; twenty years are stored."""
    sides = warm_sides(workplace)
    touched: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(_PROCESSES):
        for side, seconds in touched.items():
            seconds += run_apart("yahoo.requests.touch", settings=sides[side], side=side)
    return [
        against(
            "first touch of a symbol with twenty years of days stored, Yahoo",
            "ms",
            OPPONENT,
            Sample.of(touched["duckdb"], 1e3),
            Sample.of(touched["lumibot"], 1e3),
            note="the first one of a process is not counted, on both sides; ours asks the store half a dozen things, a "
            "millisecond each, theirs unpickles one file",
            why_short="Lumibot reads one pickle of 0.4 MB; here the store is asked for the version, what it covers, "
            "where it is traded, the starts of its bars and a window of them",
        )
    ]


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
