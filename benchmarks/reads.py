"""Reading a range or a whole series into a pandas frame, against ArcticDB on LMDB and Parquet files.

No range is read twice, so a result cache cannot answer. All files are in the operating system's page cache. Before
the timing starts, the readers are checked to return the same rows.
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
from benchmarks.process import run_apart
from lumibot_duckdb.demo.market import symbol_names
from lumibot_duckdb.storage.connection.engine import Engine

if TYPE_CHECKING:
    import pandas as pd

Range = tuple["pd.Timestamp", "pd.Timestamp"]
Reader = Callable[[str, "Range | None"], Any]
REPEATS = 5
_READS_A_REPEAT = 40
_ALONE = "DuckDB alone, the same query to an Arrow table"

_NOTE_ON_RANGES = (
    "A quarter of our time loads blocks into DuckDB's memory. A second read of the same blocks skips that."
)
_NOTE_ON_SERIES = (
    "A third of our time loads blocks into DuckDB's memory, a third is the query, and a third is the copy into a frame "
    "that the caller may modify. Reading a series again takes about as long as with ArcticDB."
)


def range_read(workplace: Workplace) -> list[Row]:
    """Time to read 20 days of one symbol (13 or 14 sessions, about 11,000 bars with extended hours)."""
    readers = _readers(workplace)
    _check(readers, _ranges(1)[0])
    times = range_samples(readers)
    seconds = run_apart("reads.ranges_with_duckdb_alone", store=str(workplace.store_path()))
    times[_ALONE] = Sample.of(seconds, 1e3)
    what, budgets = "20-day read, to a pandas frame", {"ArcticDB on LMDB": (1.0, "faster")}
    budgets["Parquet file, read whole and sliced"] = (10.0, "10 x faster")
    return _rows(what, times, budgets, _NOTE_ON_RANGES)


def full_read(workplace: Workplace) -> list[Row]:
    """Time to read a whole two-year series. Every symbol is read once, so nothing is cached."""
    readers = _readers(workplace)
    times = _full_samples({name: read for name, read in readers.items() if "row groups" not in name})
    seconds = run_apart("reads.series_with_duckdb_alone", store=str(workplace.store_path()))
    times[_ALONE] = Sample.of(seconds, 1e3)
    budgets = {"ArcticDB on LMDB": (1.0, "as fast or faster")}
    return _rows("two-year read, to a pandas frame", times, budgets, _NOTE_ON_SERIES)


def _rows(what: str, times: dict[str, Sample], budgets: dict[str, tuple[float, str]], note: str) -> list[Row]:
    arrays = times.pop("ours, as arrays")
    ours = times.pop("ours")
    rows = []
    for opponent, theirs in times.items():
        at_least, budget = budgets.get(opponent, (None, ""))
        rows.append(against(what, "ms", opponent, ours, theirs, at_least=at_least, budget=budget, note=note))
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
    readers["Parquet file, read whole and sliced"] = _parquet_reader(workplace.parquet_folder())
    readers["Parquet file, with filters on row groups"] = _filtering_parquet_reader(workplace.parquet_folder())
    return readers


def store_reader(store: Path) -> Reader:
    storage = open_store(store)

    def read(symbol: str, within: Range | None) -> Any:
        start, end = within or (None, None)
        return storage.get_historical_prices(symbol, start, end, "minute", SOURCE)

    return read


def _array_reader(store: Path) -> Reader:
    """Read NumPy arrays instead of a frame, as windows do."""
    from lumibot_duckdb.storage.api import TimeRange

    storage = open_store(store)
    pins = {symbol: storage.pin(symbol, "minute", SOURCE) for symbol in symbol_names(SYMBOLS)}

    def read(symbol: str, within: Range | None) -> Any:
        seconds = None if within is None else TimeRange(int(within[0].timestamp()), int(within[1].timestamp()))
        return storage.read_bars(pins[symbol], seconds).times

    return read


def arctic_reader(workplace: Workplace) -> Reader | None:
    """Return a reader for ArcticDB with default settings and one write per symbol; None if it is not installed."""
    try:
        import arcticdb
    except ImportError:
        return None
    import pandas as pd

    def library_in(folder: Path) -> Any:
        database = arcticdb.Arctic(f"lmdb://{folder}?map_size=8GB")
        return database.get_library("bars", create_if_missing=True)

    def fill(folder: Path) -> None:
        library = library_in(folder)
        for symbol, frame in workplace.frames():
            library.write(symbol, frame)

    library = library_in(workplace.made_once("arctic", fill))

    def read(symbol: str, within: Range | None) -> Any:
        # ArcticDB's ranges include both ends.
        span = None if within is None else (within[0], within[1] - pd.Timedelta(seconds=1))
        return library.read(symbol, date_range=span).data

    return read


def _parquet_reader(folder: Path) -> Reader:
    """Read the whole file and slice it, as Lumibot does."""
    import pandas as pd

    def read(symbol: str, within: Range | None) -> Any:
        frame = pd.read_parquet(folder / f"{symbol}.parquet")
        return frame if within is None else frame[(frame.index >= within[0]) & (frame.index < within[1])]

    return read


def _filtering_parquet_reader(folder: Path) -> Reader:
    """Let the file's statistics skip row groups, which is the fastest way to read a range from Parquet."""
    import pandas as pd

    def read(symbol: str, within: Range | None) -> Any:
        filters = within and [("datetime", ">=", within[0]), ("datetime", "<", within[1])]
        return pd.read_parquet(folder / f"{symbol}.parquet", filters=filters)

    return read


def ranges_with_duckdb_alone(store: str) -> list[float]:
    """Return the mean seconds of a 20-day read for each repeat, over the ranges of `range_samples`."""
    read = _alone_reader(store)
    ranges = _ranges(1 + REPEATS * _READS_A_REPEAT)
    read(*ranges[0])
    seconds = []
    for repeat in range(REPEATS):
        wanted = ranges[1 + repeat :: REPEATS]
        started = perf_counter()
        for symbol, within in wanted:
            read(symbol, within)
        seconds.append((perf_counter() - started) / len(wanted))
    return seconds


def series_with_duckdb_alone(store: str) -> list[float]:
    """Return the seconds to read each symbol except the first."""
    read = _alone_reader(store)
    first, *symbols = symbol_names(SYMBOLS)
    read(first, None)
    return [timed(partial(read, symbol, None)) for symbol in symbols]


def _alone_reader(store: str) -> Reader:
    """Read as our storage does, but into an Arrow table, without our storage: what DuckDB itself takes."""
    import duckdb

    connection = duckdb.connect(store, read_only=True, config=Engine.settings())
    connection.execute("SET TimeZone = 'UTC'")
    current = "SELECT symbol, current_version FROM series JOIN asset USING (asset_id)"
    versions = dict(connection.execute(current).fetchall())

    def read(symbol: str, within: Range | None) -> Any:
        query = f"SELECT ts, open, high, low, close, volume FROM bar WHERE version_id = {versions[symbol]}"
        if within is not None:
            query += f" AND ts >= '{within[0]:%Y-%m-%d %H:%M:%S%z}' AND ts < '{within[1]:%Y-%m-%d %H:%M:%S%z}'"
        return connection.sql(query).to_arrow_table()

    return read


def range_samples(readers: dict[str, Reader]) -> dict[str, Sample]:
    """Return the mean milliseconds of a 20-day read for each repeat, over ranges that no reader has read before.

    The readers take turns, so that other load on the machine affects all of them.
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
    """Return the milliseconds to read each symbol except the first, which warms up the readers."""
    first, *symbols = symbol_names(SYMBOLS)
    for read in readers.values():
        read(first, None)
    times: dict[str, list[float]] = {name: [] for name in readers}
    for symbol in symbols:
        for name, read in readers.items():
            times[name].append(timed(partial(read, symbol, None)))
    return {name: Sample.of(seconds, 1e3) for name, seconds in times.items()}


def _ranges(count: int) -> list[tuple[str, Range]]:
    """Return `count` different pairs of a symbol and a 20-day range within the two years."""
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
        raise AssertionError(f"the readers return different numbers of rows: {lengths}")
