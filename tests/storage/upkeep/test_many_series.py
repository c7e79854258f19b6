"""Ten thousand short series: every operation works on them. `-s` shows how long each takes, and the memory."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.batches import MOST_SERIES
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.removal import prune_series
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import InvalidBarsError, SnapshotError
from storage.frames import assert_same
from storage.upkeep.many_series import BARS, FRAME, SYMBOL, call, make_many_series

COUNT = int(os.environ.get("LUMIBOT_DUCKDB_SERIES", "10000"))
FEW = MOST_SERIES + 10  # more than a batch


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "many.duckdb"
    make_many_series(path, COUNT)
    return path


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("few") / "few.duckdb"
    make_many_series(path, FEW)
    return path


def prune(storage: DuckDBDataStorage, original: Path) -> int:
    assert len(storage.prune(dt.timedelta(days=1)).pruned) > 0
    return 0


def delete(storage: DuckDBDataStorage, original: Path) -> int:
    assert storage.delete_series(SYMBOL) > 0
    return 0


def merge(storage: DuckDBDataStorage, original: Path) -> int:
    """Merge a store of which half is missing here, and of each other series a half of the bars."""
    keys = [info.key for info in storage.list_series()]
    count, half = len(keys), len(keys) // 2
    assert storage.delete_many(keys[:half]) == BARS * half
    remove_bars_before(storage, FRAME.index[BARS // 2])
    report = storage.merge(original)
    assert (report.series_added, report.series_changed, report.conflicts) == (half, count - half, 0)
    assert report.bars_added == BARS * half + BARS // 2 * (count - half)
    again = storage.merge(original)
    assert (again.series_added, again.series_changed, again.bars_added) == (0, 0, 0)
    return count


def remove_bars_before(storage: DuckDBDataStorage, time: pd.Timestamp) -> None:
    """Prune all series in the middle of their bars, which no rule in days can do."""
    store = OpenStore(storage.path, StoreConnection.of(storage.path), 0)
    with store.write() as cursor:
        found, now = store.removals(cursor, [info.key for info in storage.list_series()])
        gone = prune_series(cursor, dict.fromkeys(found, int(time.timestamp())), now, at_once=True)
    assert set(gone.values()) == {BARS // 2}


def forget(storage: DuckDBDataStorage, original: Path) -> int:
    keys = [info.key for info in storage.list_series()]
    first, middle = (int(FRAME.index[place].timestamp()) for place in (0, BARS // 2))
    storage.forget_coverage(keys, TimeRange(first + 60, middle))
    left = (TimeRange(first, first + 60), TimeRange(middle, first + BARS * 60))
    assert all(info.coverage == left for info in storage.list_series())
    storage.forget_coverage(iter(keys))
    assert not any(info.coverage for info in storage.list_series())
    return len(keys)


def export_and_import(storage: DuckDBDataStorage, original: Path) -> int:
    folder = storage.path.with_name("exported")
    count = len(storage.export(folder).files)
    with DuckDBDataStorage(storage.path.with_name("restored.duckdb")) as restored:
        assert len(restored.import_exported(folder)) == len(restored.list_series()) == count
    return count


def rename(storage: DuckDBDataStorage, original: Path) -> int:
    count = len(storage.rename(SYMBOL, "SPX").series)
    assert len(storage.rename("SPX", SYMBOL).series) == count
    return count


def copy(storage: DuckDBDataStorage, original: Path) -> int:
    count = storage.backup(storage.path.with_name("backup.duckdb")).series
    assert storage.replica(storage.path.with_name("replica.duckdb")).series == count
    assert storage.restore(original).series == count
    return count


def compact(storage: DuckDBDataStorage, original: Path) -> int:
    return storage.compact().rows // BARS


OPERATIONS = (prune, delete, merge, forget, export_and_import, rename, copy, compact)


def check(use: Callable[[DuckDBDataStorage, Path], int], original: Path, folder: Path) -> None:
    path = folder / "s.duckdb"
    shutil.copy(original, path)
    with DuckDBDataStorage(path) as storage:
        count = len(storage.list_series())
        began = time.monotonic()
        left = use(storage, original)
        print(f"\n{use.__name__} of {count:,} series: {time.monotonic() - began:.1f} s", end="")
        assert left in (0, count)
        assert len(storage.list_series()) == left
        if left:
            for number in (1, count // 2, count):
                assert_same(storage.get_historical_prices(call(number)), FRAME)
        assert storage.verify().findings == []


@pytest.mark.older_duckdb
@pytest.mark.parametrize("use", OPERATIONS[:5], ids=lambda use: use.__name__)
def test_several_batches(use: Callable[[DuckDBDataStorage, Path], int], few: Path, tmp_path: Path) -> None:
    check(use, few, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("use", OPERATIONS, ids=lambda use: use.__name__)
def test_ten_thousand_series(use: Callable[[DuckDBDataStorage, Path], int], many: Path, tmp_path: Path) -> None:
    check(use, many, tmp_path)


def test_a_snapshot_keeps_all_of_them(few: Path, tmp_path: Path) -> None:
    """Of the series to delete, only the last one is in a snapshot."""
    path = tmp_path / "s.duckdb"
    shutil.copy(few, path)
    with DuckDBDataStorage(path) as storage:
        keys = [info.key for info in storage.list_series()]
        storage.delete_many(keys[1:])
        storage.snapshot("first")
        storage.merge(few)
        assert storage.delete_many(keys[1:], dry_run=True) == BARS * (FEW - 1)
        for dry_run in (True, False):
            with pytest.raises(
                SnapshotError, match=f"{keys[0].label()} cannot be deleted, because the snapshot 'first'"
            ):
                storage.delete_many([*keys[1:], keys[0]], dry_run=dry_run)
        assert len(storage.list_series()) == FEW
        done: list[tuple[int, int]] = []
        assert storage.delete_many([*keys[1:], *keys[1:]], on_series=lambda *each: done.append(each)) == BARS * (
            FEW - 1
        )
        assert done == [(MOST_SERIES, FEW - 1), (FEW - 1, FEW - 1)]
        assert [info.key for info in storage.list_series()] == keys[:1]
        assert storage.delete_many(keys[1:]) == 0


def test_new_and_known_series_are_stored_together(tmp_path: Path) -> None:
    with DuckDBDataStorage(tmp_path / "s.duckdb") as storage:
        keys = [SeriesKey(call(number), "polygon", "minute", "") for number in range(1, 5)]
        storage.store_ohlcv_data(call(2), FRAME[:5], "polygon", "minute")
        frames = {keys[0]: FRAME, keys[1]: FRAME, keys[2]: FRAME[:0], keys[3]: FRAME[["close"]]}
        results = storage.store_many(frames, metadata={"file": "all.csv"})
        assert [(each.key, each.added, each.unchanged) for each in results] == [
            (keys[0], BARS, 0),
            (keys[1], BARS - 5, 5),
            (keys[2], 0, 0),
            (keys[3], BARS, 0),
        ]
        for result in results:
            if result.added:
                pin = storage.pin(result.key)
                assert_same(storage.to_pandas(result.key.asset), frames[result.key])
                assert (pin.version_id, pin.ingest_id) == (result.version_id, result.ingest_id)
                assert storage.ingests(pin)[-1].metadata == {"file": "all.csv"}
        expected = TimeRange(int(FRAME.index[0].timestamp()), int(FRAME.index[-1].timestamp()) + 60)
        assert {info.key: info.coverage for info in storage.list_series()} == dict.fromkeys(
            (keys[0], keys[1], keys[3]), (expected,)
        )
        assert [each.unchanged for each in storage.store_many(frames)] == [BARS, BARS, 0, BARS]
        with pytest.raises(InvalidBarsError, match="column 'close' is stored as float64"):
            storage.store_many({keys[2]: FRAME, keys[0]: FRAME[:3].assign(close="x")})
        with pytest.raises(InvalidBarsError, match="is given twice"):
            storage.store_many({keys[2]: FRAME, SeriesKey(call(3), "Polygon", "1min", ""): FRAME})
        assert len(storage.list_series()) == 3
        assert storage.verify().findings == []
