"""Ten thousand short series: every operation works on them. `-s` shows how long each takes, and the memory."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage
from storage.frames import assert_same
from storage.upkeep.many_series import BARS, FRAME, SYMBOL, call, make_many_series

COUNT = int(os.environ.get("LUMIBOT_DUCKDB_SERIES", "10000"))
FEW = 120  # more than a batch


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
    count = len(storage.list_series())
    assert storage.delete_series(SYMBOL) == BARS * count
    report = storage.merge(original)
    assert (report.series_added, report.bars_added) == (count, BARS * count)
    return count


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


OPERATIONS = (prune, delete, merge, export_and_import, rename, copy, compact)


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


@pytest.mark.parametrize("use", OPERATIONS[:3], ids=lambda use: use.__name__)
def test_several_batches(use: Callable[[DuckDBDataStorage, Path], int], few: Path, tmp_path: Path) -> None:
    check(use, few, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("use", OPERATIONS, ids=lambda use: use.__name__)
def test_ten_thousand_series(use: Callable[[DuckDBDataStorage, Path], int], many: Path, tmp_path: Path) -> None:
    check(use, many, tmp_path)
