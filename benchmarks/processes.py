"""Several processes on one store: the cost of opening the file, and their throughput."""

from __future__ import annotations

import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic, perf_counter
from typing import Any

from benchmarks.bars import FIRST_DAY, SOURCE, SYMBOLS, Workplace, open_store
from benchmarks.measure import Row, Sample, against
from benchmarks.process import run_apart
from lumibot_duckdb.demo.market import symbol_names, us_stock_bars

_READERS, _WRITERS, _SECONDS = 4, 2, 30
_MOST_YEARS = 8  # more days than a fast machine writes in that time


def lease(workplace: Workplace) -> list[Row]:
    """Time of a one-day read when the process has to open the store first, and when it is open."""
    storage = open_store(workplace.store_path())
    days = [FIRST_DAY + timedelta(days=day) for day in random.Random(5).sample(range(700), 200)]

    def read(number: int) -> float:
        symbol, day = symbol_names(SYMBOLS)[number % SYMBOLS], days[number]
        started = perf_counter()
        storage.get_historical_prices(symbol, day, day + timedelta(days=1), "minute", SOURCE)
        return perf_counter() - started

    read(0)
    attached = [read(number) for number in range(1, 100)]
    attaching = []
    for number in range(100, 200):
        storage.close()
        attaching.append(read(number))
    storage.close()
    ours, theirs = Sample.of(attaching, 1e3), Sample.of(attached, 1e3)
    return [against("one-day read, the process opens the store first", "ms", "the store is open", ours, theirs)]


def soak(workplace: Workplace) -> list[Row]:
    """Throughput of four reading and two writing processes on one store for 30 seconds."""
    folder = Path(mkdtemp(dir=workplace.folder))
    path = folder / "bars.duckdb"
    try:
        storage = open_store(path)
        for symbol, frame in workplace.frames(_READERS):
            storage.store_ohlcv_data(symbol, frame, SOURCE, "minute")
        storage.close()
        with ThreadPoolExecutor(_READERS + _WRITERS) as pool:
            readers = [pool.submit(_apart, "read_on", path, symbol) for symbol in symbol_names(_READERS)]
            writers = [pool.submit(_apart, "write_on", path, f"NEW{number}") for number in range(_WRITERS)]
            reads, writes = [job.result() for job in readers], [job.result() for job in writers]
        stored = sum(series.rows for series in storage.list_series() if series.key.asset.symbol.startswith("NEW"))
        storage.close()
    finally:
        shutil.rmtree(folder)
    written = sum(result["rows"] for result in writes)
    if stored != written:
        raise AssertionError(f"{written} rows were written and {stored} are stored")
    slowest = max(result["slowest"] for result in reads + writes)
    what = f"{_READERS} reading and {_WRITERS} writing processes, {_SECONDS} s"
    return [
        _together(f"{what}: 20-day reads", "per second", [result["calls"] / _SECONDS for result in reads]),
        _together(f"{what}: one-day writes", "per second", [result["calls"] / _SECONDS for result in writes]),
        Row(
            f"{what}: slowest call",
            "s",
            "",
            Sample.of([slowest]),
            budget="below 30",
            met=slowest < 30,
            note=f"No call failed. All {written:,} rows that were written are in the store.",
        ),
    ]


def _together(what: str, unit: str, rates: list[float]) -> Row:
    return Row(what, unit, "", Sample.of([sum(rates)]), higher_is_better=True)


def _apart(function: str, path: Path, symbol: str) -> Any:
    return run_apart(f"processes.{function}", store=str(path), symbol=symbol)


def read_on(store: str, symbol: str) -> dict[str, float]:
    """Read random ranges."""
    storage = open_store(Path(store))
    chance = random.Random(symbol)

    def read() -> int:
        first = FIRST_DAY + timedelta(days=chance.randrange(690), minutes=chance.randrange(1440))
        return len(storage.get_historical_prices(symbol, first, first + timedelta(days=20), "minute", SOURCE))

    return _repeat(read)


def write_on(store: str, symbol: str) -> dict[str, float]:
    """Write one day after another."""
    storage = open_store(Path(store))
    bars = us_stock_bars(symbol, FIRST_DAY, FIRST_DAY.replace(year=FIRST_DAY.year + _MOST_YEARS))
    days = iter([day for _, day in bars.groupby(bars.index.date)])

    def write() -> int:
        day = next(days)
        storage.store_ohlcv_data(symbol, day, SOURCE, "minute")
        return len(day)

    return _repeat(write)


def _repeat(action: Any) -> dict[str, float]:
    calls, rows, slowest = 0, 0, 0.0
    until = monotonic() + _SECONDS
    while monotonic() < until:
        started = perf_counter()
        rows += action()
        slowest = max(slowest, perf_counter() - started)
        calls += 1
    return {"calls": calls, "rows": rows, "slowest": slowest}
