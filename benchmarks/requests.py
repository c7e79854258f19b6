"""The cost of a request while a backtest moves forward minute by minute, and of the first request for a symbol.

Each side runs in a separate process, with the same clock and assets. The results are means, because a median would
hide the time to load windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from statistics import fmean, median
from time import perf_counter
from typing import Any

from benchmarks.bars import SYMBOLS, Workplace
from benchmarks.measure import Row, Sample, against, number
from benchmarks.process import run_apart
from benchmarks.sides import import_side, make_source, regular_minutes, set_clock
from lumibot_duckdb.demo.market import symbol_names

_REQUESTS = {"60 x minute": (60, "minute"), "60 x 5min": (60, "5min"), "14 x day": (14, "day")}
WALKS = ("2022-06-01", "2022-11-01", "2023-03-01", "2023-08-01", "2023-11-01")
_SYMBOLS = 2
_PROCESSES = 3
WARM_UP = 60  # minutes at the start of a walk that do not count, on both sides


def steady(workplace: Workplace) -> list[Row]:
    """Time of one request in the middle of a backtest on your own minute bars."""
    bars = {"lumibot": str(workplace.parquet_folder()), "duckdb": str(workplace.store_path())}
    calls: dict[str, list[dict[str, list[float]]]] = {side: [] for side in bars}
    for day in WALKS:  # in turn, so that other load on the machine affects both sides
        for side, walks in calls.items():
            walks.append(run_apart("requests.walk", side=side, bars=bars[side], day=day))
    rows = []
    for name, (length, timestep) in _REQUESTS.items():
        ours, theirs = ([walk[name] for walk in calls[side]] for side in ("duckdb", "lumibot"))
        target = None if timestep == "minute" else 100.0
        rows.append(
            against(
                call_text(length, timestep),
                "µs",
                "Lumibot's PandasDataBacktesting",
                Sample.of(map(fmean, ours), 1e6),
                Sample.of(map(fmean, theirs), 1e6),
                at_least=target,
                budget="" if target is None else "100 x faster",
                note=calls_note(call_text(length, timestep), ours, theirs),
            )
        )
    return rows


def call_text(length: int, timestep: str) -> str:
    """Return a request as Python code."""
    return f'`get_historical_prices({length}, "{timestep}")`'


def calls_note(call: str, ours: list[list[float]], theirs: list[list[float]]) -> str:
    """Return the median and the slowest call of both sides, which the mean does not show."""
    texts = []
    for name, walks in (("Lumibot", theirs), ("lumibot-duckdb", ours)):
        seconds = sorted(second for walk in walks for second in walk)
        texts.append(f"{name} {number(1e6 * median(seconds))} µs and {number(1e3 * seconds[-1])} ms")
    return f"{call}, median and slowest call: {', '.join(texts)}."


def touch_row(what: str, opponent: str, processes: int, touch: Callable[[str], list[float]], note: str) -> Row:
    """Return the row of a first request.

    `touch` returns the seconds of such requests on a side, and is called for both sides in turn, `processes` times.
    """
    touched: dict[str, list[float]] = {"lumibot": [], "duckdb": []}
    for _ in range(processes):
        for side, seconds in touched.items():
            seconds += touch(side)
    ours, theirs = (Sample.of(touched[side], 1e3) for side in ("duckdb", "lumibot"))
    return against(f"first request for a {what}", "ms", opponent, ours, theirs, note=note)


def walk(side: str, bars: str, day: str) -> dict[str, list[float]]:
    """Move the clock minute by minute from a day on; return the seconds of every call, by request."""
    import_side(side)
    from lumibot.entities import Asset

    source = make_source(side, bars, symbol_names(_SYMBOLS), "2022-05-01", "2024-01-01")
    assets = [Asset(symbol) for symbol in symbol_names(_SYMBOLS)]
    seconds = {}
    for name, (length, timestep) in _REQUESTS.items():
        clock = regular_minutes(day, 2 if timestep == "minute" else 1)
        seconds[name] = time_calls(source, assets, length, timestep, clock)[WARM_UP * len(assets) :]
    return seconds


def time_calls(source: Any, assets: list[Any], length: int, timestep: str, clock: Iterable[datetime]) -> list[float]:
    """Request bars of every asset at every moment of the clock; return the seconds of each call."""
    seconds = []
    for moment in clock:
        set_clock(source, moment)
        for asset in assets:
            started = perf_counter()
            bars = source.get_historical_prices(asset, length, timestep)
            seconds.append(perf_counter() - started)
            if len(bars.df) != length:
                raise AssertionError(f"{len(bars.df)} bars at {moment} instead of {length}")
    return seconds


def time_prices(source: Any, assets: list[Any], clock: Iterable[datetime]) -> list[float]:
    """Request the last price of every asset at every moment of the clock; return the seconds of each call."""
    seconds = []
    for moment in clock:
        set_clock(source, moment)
        for asset in assets:
            started = perf_counter()
            price = source.get_last_price(asset)
            seconds.append(perf_counter() - started)
            if price is None:
                raise AssertionError(f"no price of {asset} at {moment}")
    return seconds


def first_touch(workplace: Workplace) -> list[Row]:
    """Time until the first 60 minutes of a symbol with two years stored, from creating the source on."""
    bars = {"lumibot": str(workplace.parquet_folder()), "duckdb": str(workplace.store_path())}
    touched: dict[str, dict[str, list[float]]] = {side: {} for side in bars}
    for _ in range(_PROCESSES):
        for side, times in touched.items():
            for when, seconds in run_apart("requests.touch", side=side, bars=bars[side]).items():
                times[when] = [*times.get(when, []), *seconds]
    note = "This includes creating the source and the merged time index. Lumibot's side reads a Parquet file."
    return [
        against(
            f"first request for a symbol with two years stored, {when}",
            "ms",
            "Lumibot's PandasDataBacktesting",
            Sample.of(touched["duckdb"][when], 1e3),
            Sample.of(touched["lumibot"][when], 1e3),
            at_least=150.0,
            budget="150 x faster",
            note=note,
        )
        for when in ("later in a process", "first in a process")
    ]


def touch(side: str, bars: str, symbols: int = SYMBOLS) -> dict[str, list[float]]:
    """Time a new source for one symbol after another. The first one of the process is reported separately."""
    import_side(side)
    from lumibot.entities import Asset

    seconds = []
    moment = next(iter(regular_minutes("2023-03-01", 1))).replace(hour=12)
    for symbol in symbol_names(symbols):
        started = perf_counter()
        source = make_source(side, bars, [symbol], "2023-03-01", "2023-06-01")
        set_clock(source, moment)
        answer = source.get_historical_prices(Asset(symbol), 60, "minute")
        seconds.append(perf_counter() - started)
        if len(answer.df) != 60:
            raise AssertionError(f"{len(answer.df)} bars instead of 60")
    return {"first in a process": seconds[:1], "later in a process": seconds[1:]}
