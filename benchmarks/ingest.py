"""Speed of writing, and of reading bars that were written out of order."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.bars import SOURCE, SYMBOLS, Workplace, open_store
from benchmarks.measure import Row, Sample, against
from benchmarks.reads import range_samples, store_reader

if TYPE_CHECKING:
    import pandas as pd

_REPEATS = 3
_SYMBOLS = 10


def ingest(workplace: Workplace) -> list[Row]:
    """Speed of writing 10 symbols with two years of minutes from pandas frames, all input checks included."""
    frames = list(workplace.frames(_SYMBOLS))
    writers = {"ours": _to_store, "ArcticDB on LMDB": _to_arctic, "Parquet files": _to_parquet}
    repeats: dict[str, list[float]] = {name: [] for name in writers}
    for _ in range(_REPEATS):
        for name, write in writers.items():
            repeats[name].append(_rate(write, frames, workplace.folder))
    rates = {name: Sample.of(values) for name, values in repeats.items()}
    ours = rates.pop("ours")
    what, unit = "write from pandas frames", "million rows/s"
    rows = [Row(what, unit, "", ours, higher_is_better=True, budget="2 M rows/s", met=ours.median >= 2.0)]
    rows += [against(what, unit, name, ours, theirs, higher_is_better=True) for name, theirs in rates.items()]
    return rows


def _rate(
    write: Callable[[list[tuple[str, pd.DataFrame]], Path], None], frames: list[tuple[str, pd.DataFrame]], folder: Path
) -> float:
    target = Path(mkdtemp(dir=folder))
    try:
        started = perf_counter()
        write(frames, target)
        return sum(len(frame) for _, frame in frames) / (perf_counter() - started) / 1e6
    finally:
        shutil.rmtree(target)


def _to_store(frames: list[tuple[str, pd.DataFrame]], folder: Path) -> None:
    storage = open_store(folder / "bars.duckdb")
    added = sum(storage.store_ohlcv_data(symbol, frame, SOURCE, "minute").added for symbol, frame in frames)
    storage.close()
    if added != sum(len(frame) for _, frame in frames):
        raise AssertionError(f"only {added} rows were added")


def _to_arctic(frames: list[tuple[str, pd.DataFrame]], folder: Path) -> None:
    import arcticdb

    library = arcticdb.Arctic(f"lmdb://{folder}?map_size=8GB").create_library("bars")
    for symbol, frame in frames:
        library.write(symbol, frame)


def _to_parquet(frames: list[tuple[str, pd.DataFrame]], folder: Path) -> None:
    for symbol, frame in frames:
        frame.to_parquet(folder / f"{symbol}.parquet")


def scattered(workplace: Workplace) -> list[Row]:
    """Speed of reading 8.5 million bars that were written as 480 shuffled pieces, a month of a symbol each."""
    folder = Path(mkdtemp(dir=workplace.folder))
    try:
        storage = open_store(folder / "bars.duckdb")
        pieces = [piece for symbol, frame in workplace.frames() for piece in _months(symbol, frame)]
        random.Random(11).shuffle(pieces)
        started = perf_counter()
        for symbol, frame in pieces:
            storage.store_ohlcv_data(symbol, frame, SOURCE, "minute")
        written = perf_counter() - started
        rows = sum(len(frame) for _, frame in pieces)
        del pieces
        before = range_samples({"scattered": store_reader(folder / "bars.duckdb")})["scattered"]
        started = perf_counter()
        storage.compact()
        compacted = perf_counter() - started
        storage.close()
        both = {"after": store_reader(folder / "bars.duckdb"), "in order": store_reader(workplace.store_path())}
        samples = range_samples(both)
        after, in_order = samples["after"], samples["in order"]
    finally:
        shutil.rmtree(folder)
    opponent = "the same rows written in order"
    note = (
        f"The {SYMBOLS * 24} writes stored {rows / written / 1e6:.2f} million rows a second. "
        f"`compact` took {compacted:.1f} s."
    )
    return [
        against(
            "20-day read, written in random order, after `compact`",
            "ms",
            opponent,
            after,
            in_order,
            at_least=1 / 1.2,
            budget="within 1.2 x",
            note=note,
        ),
        against("20-day read, written in random order, before `compact`", "ms", opponent, before, in_order),
    ]


def _months(symbol: str, frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(symbol, month) for _, month in frame.groupby([frame.index.year, frame.index.month])]
