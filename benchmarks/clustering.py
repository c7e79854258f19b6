"""Range reads from a store that was written in random order, before and after a compaction."""

from __future__ import annotations

import random
import shutil
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.bars import SOURCE, Workplace, open_store
from benchmarks.measure import Row, Sample, against, timed
from benchmarks.reads import store_reader
from lumibot_duckdb.demo.market import symbol_names

if TYPE_CHECKING:
    from benchmarks.reads import Range, Reader

_SYMBOLS = 100
_FIRST = date(2023, 10, 1)
_STARTS = 72
"""So many days from the first one on begin a range of 20 days that ends within the bars."""
_REPEATS = 10
_READS_A_REPEAT = 40


def random_order(workplace: Workplace) -> list[Row]:
    """Time of a 20-day read: 100 symbols with three months of minutes, each day of each symbol written on its own.

    The days are written in random order. The store that was written in order has whole series, one after the other.
    """
    in_order = workplace.store_path(_SYMBOLS, _FIRST)
    folder = Path(mkdtemp(dir=workplace.folder))
    try:
        scattered, compacted = folder / "scattered.duckdb", folder / "compacted.duckdb"
        _write_in_random_order(workplace, scattered)
        shutil.copy(scattered, compacted)
        storage = open_store(compacted)
        started = perf_counter()
        report = storage.compact()
        seconds = perf_counter() - started
        storage.close()
        samples = _samples({"before": scattered, "after": compacted, "in order": in_order})
    finally:
        shutil.rmtree(folder)
    before, after = report.before.row_groups_per_read, report.after.row_groups_per_read
    growth = samples["before"].median / samples["after"].median - 1
    note = (
        f"A read goes through {before:.1f} row groups before and {after:.1f} after `compact`, which took "
        f"{seconds:.1f} s and made {report.bytes_before / 1e6:.1f} MB {report.bytes_after / 1e6:.1f} MB. "
        f"So {(before - after) / growth:.0f} more row groups double the time of a read."
    )
    opponent = "the same rows written in order"
    what = "20-day read, days written in random order"
    ordered = samples["in order"]
    return [
        against(
            *(f"{what}, after `compact`", "ms", opponent, samples["after"], ordered),
            at_least=1 / 1.2,
            budget="within 1.2 x",
            note=note,
        ),
        against(f"{what}, before `compact`", "ms", opponent, samples["before"], ordered),
    ]


def _write_in_random_order(workplace: Workplace, path: Path) -> None:
    frames = workplace.frames(_SYMBOLS, _FIRST)
    days = [(symbol, day) for symbol, frame in frames for _, day in frame.groupby(frame.index.date)]
    random.Random(3).shuffle(days)
    storage = open_store(path)
    for symbol, day in days:
        storage.store_ohlcv_data(symbol, day, SOURCE, "minute")
    storage.close()


def _samples(stores: dict[str, Path]) -> dict[str, Sample]:
    """Return the median milliseconds of a read for each repeat. No range is read twice.

    The stores take turns at every read, so that other load on the machine affects all of them.
    """
    readers: dict[str, Reader] = {name: store_reader(path) for name, path in stores.items()}
    ranges = _ranges(1 + _REPEATS * _READS_A_REPEAT)
    for read in readers.values():
        read(*ranges[0])
    times: dict[str, list[float]] = {name: [] for name in readers}
    for repeat in range(_REPEATS):
        each: dict[str, list[float]] = {name: [] for name in readers}
        for wanted in ranges[1 + repeat :: _REPEATS]:
            for name, read in readers.items():
                each[name].append(timed(partial(read, *wanted)))
        for name, seconds in each.items():
            times[name].append(median(seconds))
    return {name: Sample.of(seconds, 1e3) for name, seconds in times.items()}


def _ranges(count: int) -> list[tuple[str, Range]]:
    """Return `count` different pairs of a symbol and a range of 20 days."""
    import pandas as pd

    names, first = symbol_names(_SYMBOLS), pd.Timestamp(_FIRST, tz="America/New_York")
    chosen = (divmod(cell, _STARTS) for cell in random.Random(5).sample(range(_SYMBOLS * _STARTS), count))
    return [
        (names[symbol], (first + pd.Timedelta(days=day), first + pd.Timedelta(days=day + 20))) for symbol, day in chosen
    ]
