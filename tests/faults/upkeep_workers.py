"""The processes of the upkeep soak: each repeats its work on the shared store, and checks all that it reads.

The bars of a batch all have the number of the batch as their price, and how many bars it has as their volume. A batch
is written, replaced, pruned and deleted as a whole. So whatever a process reads, it can check without knowing what the
others have done: each batch is there with all its bars, or not at all. The writers know more; see `_Model`.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.errors import SeriesNotFoundError, SnapshotError, VersionGoneError
from storage.frames import index_of

SOURCE = "test"
SYMBOLS = 4  # of each writer
MOST_BATCHES = 12  # then the series is deleted
CACHE_BYTES = 8 * 2**20  # is full within minutes, so that what grows afterwards is not the cache of results
OLD_AGE = dt.timedelta(days=3650)
_OLD = 1_262_611_800  # a minute in 2010: pruned
_RECENT = 1_704_205_800  # a minute in 2024: kept

Batches = dict[int, range]
"""The times of the bars (epoch seconds) of each batch, by its number."""


@dataclass
class Report:
    """What a process did.

    Attributes:
        rounds: how often it did its work.
        memory: its resident memory in bytes after each round.
        sizes: the size of the store in bytes after each compaction.
        models: what a writer knows of its symbols.
    """

    rounds: int = 0
    memory: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    models: dict[str, tuple[Batches, Batches]] = field(default_factory=dict)


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])


def frame_of(number: int, times: range) -> pd.DataFrame:
    """Return the bars of a batch."""
    columns = dict.fromkeys(("open", "high", "low", "close"), float(number))
    return pd.DataFrame({**columns, "volume": len(times)}, index=index_of(times))


def batches_in(prices: pd.Series[float], volumes: pd.Series[int], what: str) -> dict[int, int]:
    """Return how many bars each batch has; fail unless all batches are complete."""
    counts = pd.DataFrame({"price": prices.to_numpy(), "volume": volumes.to_numpy()}).value_counts()
    found = {int(price): int(bars) for (price, _), bars in counts.items()}
    assert all(bars == int(volume) for (_, volume), bars in counts.items()), f"{what}: {counts}"
    assert len(found) == len(counts), f"{what}: {counts}"
    return found


def check_series(storage: DuckDBDataStorage, symbol: str) -> dict[int, list[int]]:
    """Return the times of each batch of a symbol. Fail unless they are complete. Nothing is an empty series."""
    frame = None
    while frame is None:
        try:
            frame = storage.read_pandas(storage.pin(symbol, source=SOURCE))
        except SeriesNotFoundError:
            return {}
        except VersionGoneError:
            pass  # deleted or pruned between the pin and the read
    if frame.empty:
        return {}
    batches_in(frame["close"], frame["volume"], symbol)
    times = frame.index.asi8 // 10**9
    prices = frame["close"].to_numpy()
    return {int(number): times[prices == number].tolist() for number in np.unique(prices)}


class _Model:
    """What a writer has written to a symbol, and the store must have.

    Batches of recent bars are all there. Those of old bars may have been pruned at any moment, with all that were
    there then: the latest ones of them are there.
    """

    def __init__(self) -> None:
        self.old: Batches = {}
        self.recent: Batches = {}

    def check(self, symbol: str, stored: dict[int, list[int]]) -> None:
        check_model(symbol, self.old, self.recent, stored)
        self.old = {number: times for number, times in self.old.items() if number in stored}


def check_model(symbol: str, old: Batches, recent: Batches, stored: dict[int, list[int]]) -> None:
    """Fail unless the stored batches are those of the model."""
    left = [number for number in old if number in stored]
    assert left == sorted(old)[len(old) - len(left) :], f"{symbol}: {sorted(old)} but {left}"
    expected = {**{number: old[number] for number in left}, **recent}
    assert {number: list(times) for number, times in expected.items()} == stored, symbol


def keep_writing(storage: DuckDBDataStorage, number: int, report: Report) -> Callable[[random.Random], None]:
    """Add batches, replace some by others, and delete series."""
    models = {f"W{number}-{n}": _Model() for n in range(SYMBOLS)}
    report.models = {}
    last = 0

    def write(symbol: str, times: range) -> int:
        nonlocal last
        last += 1
        storage.store_ohlcv_data(symbol, frame_of(last, times), SOURCE, "minute")
        return last

    def work(rng: random.Random) -> None:
        symbol, model = rng.choice(list(models.items()))
        if len(model.recent) + len(model.old) >= MOST_BATCHES:
            try:
                storage.delete_series(symbol, SOURCE)
            except SnapshotError:
                return  # a snapshot needs it, for a moment
            models[symbol] = model = _Model()
        elif model.recent and rng.random() < 0.3:
            replaced = rng.choice(list(model.recent))
            times = model.recent.pop(replaced)
            model.recent[write(symbol, times)] = times
        else:
            is_old = rng.random() < 0.4
            begin = (_OLD if is_old else _RECENT) + 60 * 1_000 * (last + 1)
            times = range(begin, begin + 60 * rng.choice([1, 40, 900]), 60)
            (model.old if is_old else model.recent)[write(symbol, times)] = times
        model.check(symbol, check_series(storage, symbol))
        report.models = {symbol: (model.old, model.recent) for symbol, model in models.items()}

    return work


def keep_reading(storage: DuckDBDataStorage, number: int, report: Report) -> Callable[[random.Random], None]:
    """Read series, some of them twice with one pin."""

    def work(rng: random.Random) -> None:
        for info in storage.list_series():
            try:
                check_series(storage, info.key.asset.symbol)
                if rng.random() < 0.3:
                    pin = storage.pin(info.key)
                    first = storage.read_arrow(pin)
                    time.sleep(rng.uniform(0, 0.1))
                    assert storage.read_arrow(pin).equals(first)
            except (SeriesNotFoundError, VersionGoneError):
                pass  # deleted or pruned since the pin
        if rng.random() < 0.2:
            storage.close()

    return work


def keep_compacting(storage: DuckDBDataStorage, number: int, report: Report) -> Callable[[random.Random], None]:
    """Compact the store, with and without superseded versions, and verify it."""

    def work(rng: random.Random) -> None:
        compacted = storage.compact(rng.choice([dt.timedelta(0), dt.timedelta(seconds=2)]))
        report.sizes.append(compacted.bytes_after)
        findings = storage.verify().findings
        assert findings == [], findings
        time.sleep(rng.uniform(0, 1))

    return work


def keep_pruning(storage: DuckDBDataStorage, number: int, report: Report) -> Callable[[random.Random], None]:
    """Prune old bars, and name and unname snapshots."""

    def work(rng: random.Random) -> None:
        storage.prune(OLD_AGE, ["W*"])
        if rng.random() < 0.3:
            storage.snapshot("soak")
            time.sleep(rng.uniform(0, 0.2))
            storage.delete_snapshot("soak")
        time.sleep(rng.uniform(0, 1))

    return work


def keep_exporting(storage: DuckDBDataStorage, number: int, report: Report) -> Callable[[random.Random], None]:
    """Export the store, read the files, and restore them into another store."""
    folder = storage.path.parent / "exported"

    def work(rng: random.Random) -> None:
        exported = storage.export(folder, replace=True)
        for file in exported.files:
            table = pq.read_table(folder / file.path, partitioning=None).to_pandas()
            batches_in(table["close"], table["volume"], file.path)
        other = storage.path.parent / f"restored-{report.rounds % 2}.duckdb"
        other.unlink(missing_ok=True)
        with DuckDBDataStorage(other) as restored:
            restored.import_exported(folder)
            check_copy(restored)
        time.sleep(rng.uniform(0, 1))

    return work


def keep_backing_up(storage: DuckDBDataStorage, number: int, report: Report) -> Callable[[random.Random], None]:
    """Back the store up, copy it to a replica, and check both."""
    backup, replica = storage.path.parent / "backup.duckdb", storage.path.parent / "replica.duckdb"

    def work(rng: random.Random) -> None:
        storage.backup(backup, replace=True)
        storage.replica(replica)
        for path in (backup, replica):
            with DuckDBDataStorage(path) as copy:
                check_copy(copy)
        time.sleep(rng.uniform(0, 1))

    return work


def check_copy(storage: DuckDBDataStorage) -> None:
    """Fail unless a copy of the store is sound, with complete batches."""
    findings = storage.verify().findings
    assert findings == [], findings
    for info in storage.list_series():
        check_series(storage, info.key.asset.symbol)


def run(path: Path, kind: str, number: int, seconds: float, pipe: Connection) -> None:
    """Work for some seconds, and send a `Report`, or what went wrong."""
    report = Report()
    rng = random.Random(f"{kind} {number}")
    end = time.monotonic() + seconds
    try:
        storage = DuckDBDataStorage(path, cache_bytes=CACHE_BYTES)
        work = WORK[kind](storage, number, report)
        while time.monotonic() < end:
            work(rng)
            report.rounds += 1
            report.memory.append(resident())
        storage.close()
        pipe.send(report)
    except BaseException as error:
        import traceback

        pipe.send(f"{kind}: {error!r}\n{traceback.format_exc()}")
        raise


WORK: dict[str, Callable[[DuckDBDataStorage, int, Report], Callable[[random.Random], None]]] = {
    "write": keep_writing,
    "read": keep_reading,
    "compact": keep_compacting,
    "prune": keep_pruning,
    "export": keep_exporting,
    "back up": keep_backing_up,
}
