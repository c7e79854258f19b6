"""Reading a range and a whole series into a pandas frame, against ArcticDB on LMDB and Parquet files.

No range is read twice, so no answer comes out of a cache of results; the files are warm in the system's page cache on
every side. Before anything is timed the answers are checked to hold the same rows.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.bars import SOURCE, SYMBOLS, Workplace, open_store
from benchmarks.measure import Row, Sample, against, timed
from lumibot_duckdb.demo.market import symbol_names

if TYPE_CHECKING:
    import pandas as pd

Range = tuple["pd.Timestamp", "pd.Timestamp"]
Reader = Callable[[str, "Range | None"], Any]
REPEATS = 5
_READS_A_REPEAT = 40

_WHY_A_RANGE = (
    "of a 20-day read whose blocks are in memory, six parts in seven are DuckDB's own query, more than half of which "
    "is over before it reads a row; the first read of a block also loads it: about a quarter of these times"
)
_WHY_A_SERIES = (
    "about a third of a first read is loading its 55 blocks into DuckDB's memory, a third is the query itself "
    "(decompressing six columns and making Arrow of them, on two threads), a third what comes after (one copy into a "
    "frame that the caller may write into). A series that is read again takes about as long as ArcticDB's"
)


def range_read(workplace: Workplace) -> list[Row]:
    """Twenty days (13 or 14 sessions, some 11,000 rows with extended hours) of one symbol."""
    readers = _readers(workplace)
    _check(readers, _ranges(1)[0])
    times = range_samples(readers)
    what, budgets = "20-day range read, to a pandas frame", {"ArcticDB on LMDB": (1.0, "faster")}
    budgets["the Parquet file, read and cut"] = (10.0, "10 x faster")
    return _rows(what, times, budgets, _WHY_A_RANGE)


def full_read(workplace: Workplace) -> list[Row]:
    """A whole two-year series: every symbol once, so that nothing is cached."""
    readers = _readers(workplace)
    times = _full_samples({name: read for name, read in readers.items() if "row groups" not in name})
    budgets = {"ArcticDB on LMDB": (1.0, "as fast or faster")}
    return _rows("two-year full-series read, to a pandas frame", times, budgets, _WHY_A_SERIES)


def _rows(what: str, times: dict[str, Sample], budgets: dict[str, tuple[float, str]], why_short: str) -> list[Row]:
    arrays = times.pop("ours, as arrays")
    ours = times.pop("ours")
    rows = []
    for opponent, theirs in times.items():
        at_least, budget = budgets.get(opponent, (None, ""))
        rows.append(against(what, "ms", opponent, ours, theirs, at_least=at_least, budget=budget, why_short=why_short))
    arctic = times.get("ArcticDB on LMDB")
    if arctic is not None:
        short = what.partition(",")[0]
        rows.append(against(f"{short}, to NumPy arrays", "ms", "ArcticDB on LMDB (its pandas frame)", arrays, arctic))
    return rows


def _readers(workplace: Workplace) -> dict[str, Reader]:
    readers = {"ours": store_reader(workplace.store_path()), "ours, as arrays": _array_reader(workplace.store_path())}
    arctic = arctic_reader(workplace)
    if arctic is not None:
        readers["ArcticDB on LMDB"] = arctic
    readers["the Parquet file, read and cut"] = _parquet_reader(workplace.parquet_folder())
    readers["the Parquet file, its row groups filtered"] = _filtering_parquet_reader(workplace.parquet_folder())
    return readers


def store_reader(store: Path) -> Reader:
    storage = open_store(store)

    def read(symbol: str, within: Range | None) -> Any:
        start, end = within or (None, None)
        return storage.get_historical_prices(symbol, start, end, "minute", SOURCE)

    return read


def _array_reader(store: Path) -> Reader:
    """The read that windows are filled with: NumPy arrays, no frame."""
    from lumibot_duckdb.storage.api import TimeRange

    storage = open_store(store)
    pins = {symbol: storage.pin(symbol, "minute", SOURCE) for symbol in symbol_names(SYMBOLS)}

    def read(symbol: str, within: Range | None) -> Any:
        seconds = None if within is None else TimeRange(int(within[0].timestamp()), int(within[1].timestamp()))
        return storage.read_bars(pins[symbol], seconds).times

    return read


def arctic_reader(workplace: Workplace) -> Reader | None:
    """ArcticDB with its default settings, every symbol written in one piece. None where it is not installed."""
    try:
        import arcticdb
    except ImportError:
        return None
    import pandas as pd

    folder = workplace.folder / "arctic"
    new = not folder.exists()
    database = arcticdb.Arctic(f"lmdb://{folder}?map_size=8GB")
    library = database.get_library("bars", create_if_missing=True)
    if new:
        for symbol, frame in workplace.frames():
            library.write(symbol, frame)

    def read(symbol: str, within: Range | None) -> Any:
        # Its ranges include both ends.
        span = None if within is None else (within[0], within[1] - pd.Timedelta(seconds=1))
        return library.read(symbol, date_range=span).data

    return read


def _parquet_reader(folder: Path) -> Reader:
    """As Lumibot reads its caches: the whole file, then the rows that are wanted."""
    import pandas as pd

    def read(symbol: str, within: Range | None) -> Any:
        frame = pd.read_parquet(folder / f"{symbol}.parquet")
        return frame if within is None else frame[(frame.index >= within[0]) & (frame.index < within[1])]

    return read


def _filtering_parquet_reader(folder: Path) -> Reader:
    """The best that Parquet can do: statistics skip row groups before they are decoded."""
    import pandas as pd

    def read(symbol: str, within: Range | None) -> Any:
        filters = within and [("datetime", ">=", within[0]), ("datetime", "<", within[1])]
        return pd.read_parquet(folder / f"{symbol}.parquet", filters=filters)

    return read


def range_samples(readers: dict[str, Reader]) -> dict[str, Sample]:
    """Return the mean milliseconds of a 20-day read in each repeat, over ranges that the reader has not seen.

    The readers take turns, so that what else the machine does falls on all of them.
    """
    ranges = _ranges(1 + REPEATS * _READS_A_REPEAT)
    for read in readers.values():
        read(*ranges[0])
    times: dict[str, list[float]] = {name: [] for name in readers}
    for repeat in range(REPEATS):
        wanted = ranges[1 + repeat :: REPEATS]
        for name, read in readers.items():
            started = perf_counter()
            for symbol, within in wanted:
                read(symbol, within)
            times[name].append((perf_counter() - started) / len(wanted))
    return {name: Sample.of(seconds, 1e3) for name, seconds in times.items()}


def _full_samples(readers: dict[str, Reader]) -> dict[str, Sample]:
    """Return the milliseconds of reading each symbol but the first, which is read to be warm."""
    first, *symbols = symbol_names(SYMBOLS)
    for read in readers.values():
        read(first, None)
    times: dict[str, list[float]] = {name: [] for name in readers}
    for symbol in symbols:
        for name, read in readers.items():
            times[name].append(timed(partial(read, symbol, None)))
    return {name: Sample.of(seconds, 1e3) for name, seconds in times.items()}


def _ranges(count: int) -> list[tuple[str, Range]]:
    """Return so many different (symbol, 20 days) out of two years."""
    import pandas as pd

    chance = random.Random(7)
    first = pd.Timestamp("2022-01-03", tz="America/New_York")
    days = chance.sample(range(SYMBOLS * 690), count)
    return [
        (
            symbol_names(SYMBOLS)[day // 690],
            (first + pd.Timedelta(days=day % 690), first + pd.Timedelta(days=day % 690 + 20)),
        )
        for day in days
    ]


def _check(readers: dict[str, Reader], wanted: tuple[str, Range]) -> None:
    lengths = {name: len(read(*wanted)) for name, read in readers.items()}
    if len(set(lengths.values())) != 1:
        raise AssertionError(f"the readers do not agree on the rows: {lengths}")
