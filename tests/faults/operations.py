"""Every operation that writes to a store, for the tests that make it fail, and what a store contains."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import AssetKey, BatchWrite, CorporateAction, SeriesInfo, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars import batches
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StoreBusyError, StoreDamagedError
from storage.damage import blocks_by_table, corrupt
from storage.frames import minute_bars

FRAME = minute_bars(rows=400)
LATER = minute_bars("2024-01-03 09:30", rows=300, seed=1)
LARGE = minute_bars("2023-01-03 09:30", rows=150_000, seed=2)  # DuckDB writes rows into the file before the commit
LONG = minute_bars("2023-03-01 09:30", rows=10_100, seed=3)  # has an outline
COPY = "copy.duckdb"
FUTURE = minute_bars("2200-01-03 09:30", rows=300, seed=4)
DAY = dt.date(2024, 1, 2)
LISTED = dt.datetime(2024, 1, 3, tzinfo=dt.timezone.utc)
CHAIN = {"Multiplier": 100, "Exchange": "NYSE", "Chains": {"CALL": {"2024-01-19": [465.0, 470.0]}, "PUT": {}}}
OTHER = "other"
SPLIT = CorporateAction(dt.date(2024, 1, 2), 1, 2)


def covering(frame: pd.DataFrame) -> TimeRange:
    return TimeRange(int(frame.index[0].timestamp()), int(frame.index[-1].timestamp()) + 60)


def store(storage: DuckDBDataStorage, symbol: str, frame: pd.DataFrame, **arguments: Any) -> None:
    storage.store_ohlcv_data(symbol, frame, "test", "minute", **arguments)


def spool(storage: DuckDBDataStorage, symbol: str, frame: pd.DataFrame, **arguments: Any) -> None:
    """Download, or write with other arguments, while another process holds the store."""
    storage.close()
    connection = StoreConnection.of(storage.path)
    lock, patience = StoreLock(connection.path), connection.wait_seconds
    connection.wait_seconds = 0.0
    lock.acquire(True, time.monotonic() + 10)
    try:
        store(storage, symbol, frame, **(arguments or {"covered": covering(frame)}))
    except StoreBusyError as error:
        if "is kept in" not in str(error):
            raise
    finally:
        lock.close()
        connection.wait_seconds = patience


def store_other_chain(storage: DuckDBDataStorage) -> None:
    """Store another chain of the same day, as always listed at the same time, so that runs can be compared."""
    storage.store_option_chain("A", {**CHAIN, "Exchange": "X"}, "test", DAY, listed_at=LISTED)


def store_many(storage: DuckDBDataStorage) -> None:
    """Store further bars of a series and three new ones, one of them with a new column."""
    keys = [SeriesKey(AssetKey(symbol), "test", "minute", "") for symbol in ("A", "D", "E", "F")]
    storage.store_many(dict(zip(keys, (LATER, FRAME, FRAME.assign(bid=1.25), LATER), strict=True)))


def store_batch(storage: DuckDBDataStorage) -> None:
    """Store further bars of a series, a correction of another and a new one; raise why a part is lost, if one is."""
    frames = {"A": LATER, "B": FRAME.iloc[::2], "D": FRAME}
    now = dt.datetime.now(dt.timezone.utc)
    outcomes = storage.store_batch(
        [
            BatchWrite(SeriesKey(AssetKey(symbol), "test", "minute"), frame, (covering(frame),), now, replace=True)
            for symbol, frame in frames.items()
        ]
    )
    for outcome in outcomes:
        if outcome.result is None and outcome.error is not None:
            raise outcome.error


def fill(storage: DuckDBDataStorage) -> None:
    """Make the store that most operations begin with: three series, a split and an option chain."""
    for symbol in ("A", "B"):
        store(storage, symbol, FRAME, covered=covering(FRAME), metadata={"request": symbol})
    store(storage, "C", FRAME.assign(vwap=1.5), adjustment="split")
    storage.record_corporate_actions("C", [], "test", restates=["split"])
    storage.store_option_chain("A", CHAIN, "test", DAY, listed_at=LISTED)
    storage.label(["A", "B"], "sector", ["x", "y"])


def nothing(storage: DuckDBDataStorage) -> None:
    """Begin without a store."""


def fill_old(storage: DuckDBDataStorage) -> None:
    """Make a store of an older schema."""
    with StoreConnection.of(storage.path).write() as cursor:
        for _, script in migrations.scripts()[:3]:
            cursor.execute(script)
        cursor.execute("INSERT INTO {db}.store_meta VALUES ('schema_version', '3'), ('store_id', 'old')")


def fill_long(storage: DuckDBDataStorage) -> None:
    """Make a store with a series that has an outline."""
    store(storage, "A", LONG)


def fill_without_outlines(storage: DuckDBDataStorage) -> None:
    """Make a store as the release before outlines left it."""
    fill_long(storage)
    with StoreConnection.of(storage.path).write() as cursor:
        for table in ("outline", "repeated_bar", "snapshot", "setting", "bar_checksum"):
            cursor.execute(f"DROP TABLE {{db}}.{table}")
        cursor.execute("UPDATE {db}.store_meta SET value = '4' WHERE key = 'schema_version'")


def fill_and_supersede(storage: DuckDBDataStorage) -> None:
    fill(storage)
    store(storage, "A", FRAME.assign(volume=7))
    storage.delete_series("B")


def copy_of(storage: DuckDBDataStorage) -> Path:
    """Return the path of the backup or the replica."""
    return storage.path.with_name(COPY)


def fill_and_back_up(storage: DuckDBDataStorage) -> None:
    fill_and_supersede(storage)
    storage.backup(copy_of(storage))
    store(storage, "A", LATER)
    store(storage, "D", FRAME)


def fill_and_copy(storage: DuckDBDataStorage) -> None:
    fill(storage)
    storage.replica(copy_of(storage))
    store(storage, "A", LATER)


def fill_and_spool(storage: DuckDBDataStorage) -> None:
    fill(storage)
    spool(storage, "A", LATER)
    spool(storage, "D", FRAME)


def exported_to(storage: DuckDBDataStorage) -> Path:
    return storage.path.parent / "exports" / "export"


def present_export(storage: DuckDBDataStorage) -> Path:
    """Return the folder of the export: while one replaces another, the earlier one, which the next export puts back."""
    folder = exported_to(storage)
    return folder if folder.exists() else next(folder.parent.glob(f".{folder.name}.replaced-*"), folder)


def fill_and_export(storage: DuckDBDataStorage) -> None:
    """Make a store that lacks a series, which was exported beside it."""
    fill(storage)
    storage.export(exported_to(storage), ["A"])
    storage.delete_series("A")


def fill_and_leave_log(storage: DuckDBDataStorage) -> None:
    """Leave a store as a killed writer does: with DuckDB's log beside it."""
    fill(storage)
    storage.close()
    store(storage, "A", LATER)
    folder = storage.path.parent
    copies = {file: folder / f"{file.name}.copy" for file in folder.glob(f"{storage.path.name}*")}
    assert any(file.name.endswith(".wal") for file in copies)
    for file, copy in copies.items():
        shutil.copy2(file, copy)
    storage.close()
    for file, copy in copies.items():
        copy.replace(file)


def fill_with_new_symbol(storage: DuckDBDataStorage) -> None:
    """Make a store in which A is renamed to B2 from the date of the later bars, of which both have some."""
    fill(storage)
    store(storage, "A", LATER)
    store(storage, "B2", LATER.assign(volume=9, bid=1.5))


def fill_beside_another(storage: DuckDBDataStorage) -> None:
    """Make a store and, in a folder beside it, another one with a new series, other values, a split and a chain."""
    fill(storage)
    folder = storage.path.parent / OTHER
    folder.mkdir()
    other = DuckDBDataStorage(folder / "made.duckdb")
    store(other, "A", FRAME.assign(volume=7, bid=2.5))
    store(other, "D", LATER, covered=covering(LATER))
    store(other, "E", LATER)
    other.record_corporate_actions("C", [SPLIT], "test")
    store_other_chain(other)
    other.store_option_chain("A", {**CHAIN, "Exchange": "X"}, "test", DAY, listed_at=LISTED + dt.timedelta(days=1))
    other.close()
    other.path.replace(folder / "other.duckdb")  # without the files of its lock
    for file in folder.glob("made*"):
        file.unlink()


def fill_for_pruning(storage: DuckDBDataStorage) -> None:
    """Make a store with old and future bars, of which a snapshot needs some."""
    fill(storage)
    storage.snapshot("kept")
    store(storage, "D", pd.concat([FRAME, FUTURE]), covered=covering(FRAME))
    store(storage, "E", FRAME)
    store(storage, "E", FRAME.assign(volume=7))
    store(storage, "F", FRAME)


def fill_and_damage(storage: DuckDBDataStorage) -> None:
    """Leave a store with a bar that is there twice, one that was changed, and an outline that is wrong."""
    fill(storage)
    store(storage, "L", LONG)
    with StoreConnection.of(storage.path).write() as cursor:
        cursor.execute("INSERT INTO {db}.bar SELECT * FROM {db}.bar WHERE version_id = 1 LIMIT 1")
        cursor.execute(
            "UPDATE {db}.bar SET close = close + 1 WHERE version_id = 2 AND ts = (SELECT max(ts) FROM {db}.bar)"
        )
        cursor.execute("UPDATE {db}.outline SET days = 1")


def fill_and_lose_a_block(storage: DuckDBDataStorage) -> None:
    """Leave a store of which the disk has damaged a block: the last one of bars, with the end of the last series."""
    fill(storage)
    noise = np.random.default_rng(5).random((2, len(LONG)))  # takes several blocks, since it cannot be compressed
    store(storage, "L", LONG.assign(bid=noise[0], ask=noise[1]))
    storage.close()
    blocks = blocks_by_table(storage)
    of_bars = blocks.pop("bar") - set().union(*blocks.values())
    storage.close()
    corrupt(storage.path, max(of_bars))


def fill_and_repair(storage: DuckDBDataStorage) -> None:
    """Leave a store with a repair that dropped bars."""
    fill(storage)
    store(storage, "A", FRAME.iloc[:5].assign(volume=-1))
    storage.repair(storage.list_series("A"))


@contextmanager
def one_by_one() -> Iterator[None]:
    """Let each series be a batch of its own, so that faults come between batches of a few series."""
    most, batches.MOST_SERIES = batches.MOST_SERIES, 1
    try:
        yield
    finally:
        batches.MOST_SERIES = most


def merge_one_by_one(storage: DuckDBDataStorage) -> None:
    with one_by_one():
        storage.merge(other_store(storage))


def prune_one_by_one(storage: DuckDBDataStorage) -> None:
    with one_by_one():
        storage.prune(dt.timedelta(300))


def other_store(storage: DuckDBDataStorage) -> Path:
    return storage.path.parent / OTHER / "other.duckdb"


def fill_with_future_coverage(storage: DuckDBDataStorage) -> None:
    """Leave a store with coverage that reaches into the future, as with a wrong clock."""
    fill(storage)
    with StoreConnection.of(storage.path).write() as cursor:
        cursor.execute("UPDATE {db}.coverage SET range_end = TIMESTAMP_S '2200-01-01' WHERE series_id < 3")


@dataclass(frozen=True)
class Operation:
    """One kind of write: what it begins with, and what it does. A download is spooled if it fails.

    `leaves` are the beginnings of the names of files that it makes, or leaves behind if it is killed.
    `damaged` says that the store is damaged before.
    `continues` says that it completes, when it is run again, what an interrupted run has left.
    `in_parts` says that it is several transactions, so an interrupted run may leave some of its changes.
    """

    prepare: Callable[[DuckDBDataStorage], None]
    run: Callable[[DuckDBDataStorage], Any]
    is_download: bool = False
    leaves: tuple[str, ...] = ()
    damaged: bool = False
    continues: bool = False
    in_parts: bool = False


OPERATIONS: dict[str, Operation] = {
    "create": Operation(nothing, lambda s: store(s, "A", FRAME)),
    "append": Operation(fill, lambda s: store(s, "A", LATER)),
    "correct": Operation(fill, lambda s: store(s, "A", FRAME.assign(volume=7))),
    "replace": Operation(fill, lambda s: store(s, "A", FRAME.iloc[::2], covered=covering(FRAME), replace=True), True),
    "widen": Operation(fill, lambda s: store(s, "A", LATER.assign(bid=1.25, note="x"))),
    "large": Operation(fill, lambda s: store(s, "D", LARGE)),
    "download": Operation(fill, lambda s: store(s, "A", LATER, covered=covering(LATER)), True),
    "cover": Operation(fill, lambda s: s.record_coverage("A", covering(LATER), "test", "minute")),
    "restate": Operation(fill, lambda s: s.restate_series("A", "test", "minute")),
    "split": Operation(fill, lambda s: s.record_corporate_actions("C", [SPLIT], "test", restates=["split"])),
    "chain": Operation(fill, store_other_chain),
    "label": Operation(fill, lambda s: s.label({"A": {"sector": "z", "tag": ["u", "v"]}, "B": {"sector": "z"}})),
    "unlabel": Operation(fill, lambda s: s.unlabel(["A", "B"], "sector", "x")),
    "delete": Operation(fill, lambda s: s.delete_series("A")),
    "delete many": Operation(fill, lambda s: s.delete_many([info.key for info in s.list_series()])),
    "store many": Operation(fill, store_many),
    "store batch": Operation(fill, store_batch, in_parts=True),
    "forget many": Operation(fill, lambda s: s.forget_coverage([info.key for info in s.list_series()])),
    "remember": Operation(fill, lambda s: s.migrated_files.remember("file", "fingerprint", 3, [1])),
    "compact": Operation(fill_and_supersede, lambda s: s.compact(dt.timedelta(0)), leaves=("s.duckdb.compacting-",)),
    "backup": Operation(fill_and_supersede, lambda s: s.backup(copy_of(s), replace=True), leaves=(COPY,)),
    "backup again": Operation(fill_and_back_up, lambda s: s.backup(copy_of(s), replace=True), leaves=(COPY,)),
    "replica": Operation(fill_and_copy, lambda s: s.replica(copy_of(s)), leaves=(COPY,)),
    "restore": Operation(
        fill_and_back_up, lambda s: s.restore(copy_of(s)), leaves=(COPY, "s.duckdb.restoring-", "s.replaced-")
    ),
    "export": Operation(fill, lambda s: s.export(exported_to(s))),
    "export again": Operation(fill_and_export, lambda s: s.export(exported_to(s), replace=True)),
    "import": Operation(fill_and_export, lambda s: s.import_exported(exported_to(s)), continues=True),
    "repair": Operation(fill_and_damage, lambda s: s.repair(), damaged=True, in_parts=True, continues=True),
    "salvage": Operation(
        fill_and_lose_a_block,
        lambda s: s.repair(),
        leaves=("s.duckdb.salvaging-", "s.duckdb.damaged-"),
        damaged=True,
        continues=True,
    ),
    "repair coverage": Operation(fill_with_future_coverage, lambda s: s.repair(), damaged=True, continues=True),
    "undo": Operation(fill_and_repair, lambda s: s.undo_repair(last_repair(s))),
    "merge": Operation(fill_and_spool, lambda s: s.merge_spooled(), in_parts=True, continues=True),
    "spool": Operation(fill, lambda s: spool(s, "A", LATER)),
    "spool an import": Operation(fill, lambda s: spool(s, "A", LATER, spool=True)),
    "recover": Operation(fill_and_leave_log, lambda s: s.list_series()),
    "upgrade": Operation(fill_old, lambda s: s.list_series()),
    "rename": Operation(fill, lambda s: s.rename("A", "Z")),
    "rename part": Operation(fill_with_new_symbol, lambda s: s.rename("A", "B2", "2024-01-03")),
    "merge store": Operation(fill_beside_another, lambda s: s.merge(other_store(s)), in_parts=True, continues=True),
    "merge store one by one": Operation(fill_beside_another, merge_one_by_one, in_parts=True, continues=True),
    "snapshot": Operation(fill, lambda s: s.snapshot("made")),
    "unname": Operation(fill_for_pruning, lambda s: s.delete_snapshot("kept")),
    "configure": Operation(fill, lambda s: s.settings.set("prune.rules", "365d")),
    "prune": Operation(
        fill_for_pruning,
        lambda s: s.prune(dt.timedelta(300)),
        leaves=("s.duckdb.compacting-",),
        in_parts=True,
        continues=True,
    ),
    "prune one by one": Operation(
        fill_for_pruning, prune_one_by_one, leaves=("s.duckdb.compacting-",), in_parts=True, continues=True
    ),
    "extend": Operation(fill_long, lambda s: store(s, "A", LATER)),
    "build": Operation(fill_without_outlines, lambda s: s.list_series()),
}


def last_repair(storage: DuckDBDataStorage) -> int:
    """Return the id of the last repair."""
    with StoreConnection.of(storage.path).read() as cursor:
        return int(cursor.rows("SELECT max(ingest_id) FROM {db}.ingest WHERE kind = 'repair'")[0][0])


def contents(storage: DuckDBDataStorage) -> dict[str, str]:
    """Return everything in a store: a digest of each part."""
    found = {info.key.label(): _series_digest(storage, info) for info in storage.list_series()}
    known = storage.corporate_actions("C", "test")
    further = {
        "chain of A": storage.option_chain("A", "test", DAY, DAY),
        "splits of C": None if known is None else known.actions,
        **{f"snapshot {each.name}": each.last_ingest for each in storage.snapshots()},
        "labels": storage.labels().to_csv(),
        "settings": storage.settings.set_values() or None,
        "migrated file": storage.migrated_files.rows("file", "fingerprint"),
    }
    folder = present_export(storage)
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    exported = [(path.relative_to(folder), path.read_bytes()) for path in files]
    if exported:
        found["export"] = _digest(exported)
    return found | {name: _digest(value) for name, value in further.items() if value is not None}


def _series_digest(storage: DuckDBDataStorage, info: SeriesInfo) -> str:
    try:
        frame = storage.read_pandas(storage.pin(info.key))
    except StoreDamagedError:
        return "damaged"
    return _digest(frame.reset_index().to_json(), list(frame.dtypes), info.coverage)


def _digest(*values: Any) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:12]


def copy_store(source: Path, target: Path) -> Path:
    """Copy a folder with a store; return the path of the store."""
    shutil.copytree(source, target)
    return target / "s.duckdb"
