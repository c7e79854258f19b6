"""The record of migrated files never lists a file that the store does not have."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from storage.frames import minute_bars
from templates import template

KEY = SeriesKey(AssetKey("X"), "polygon", "minute", "split")
FILE = ("/cache/polygon/stock_X_USD_minute.parquet", "30 bytes")


@template
def with_a_file(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", minute_bars(rows=30), "polygon", "minute", adjustment="split")
    storage.migrated_files.remember(*FILE, 30, [storage.pin(KEY).version_id])


@pytest.fixture
def filled(storage: DuckDBDataStorage) -> DuckDBDataStorage:
    with_a_file(storage.path)
    return storage


def test_a_file_is_remembered_in_the_state_that_it_had(filled: DuckDBDataStorage) -> None:
    assert filled.migrated_files.rows(*FILE) == 30
    assert filled.migrated_files.rows(FILE[0], "31 bytes") is None
    assert filled.migrated_files.rows("/cache/another", FILE[1]) is None
    filled.migrated_files.remember(FILE[0], "31 bytes", 31, [])
    assert (filled.migrated_files.rows(*FILE), filled.migrated_files.rows(FILE[0], "31 bytes")) == (None, 31)


def test_a_store_that_is_not_there_knows_no_file(storage: DuckDBDataStorage) -> None:
    assert storage.migrated_files.rows(*FILE) is None
    assert not storage.path.exists()


def test_more_bars_and_a_compaction_change_nothing(filled: DuckDBDataStorage) -> None:
    filled.store_ohlcv_data("X", minute_bars("2024-02-01 09:30"), "polygon", "minute", adjustment="split")
    filled.compact(timedelta(0))
    assert filled.migrated_files.rows(*FILE) == 30
    assert filled.verify().findings == []


@pytest.mark.parametrize("what", ["deleted", "renewed", "restated"])
def test_a_file_whose_bars_are_gone_is_not_here(filled: DuckDBDataStorage, what: str) -> None:
    if what == "deleted":
        filled.delete_series("X")
    elif what == "renewed":
        filled.restate_series("X", "polygon", "minute", adjustment="split")
    else:
        filled.store_ohlcv_data("X", minute_bars(rows=30) + 1, "polygon", "minute", adjustment="split")
    assert filled.migrated_files.rows(*FILE) is None
