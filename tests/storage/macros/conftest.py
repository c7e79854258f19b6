"""A store with bars of several kinds, opened by a plain DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from lumibot_duckdb import DuckDBDataStorage
from storage.macros.bars import SERIES


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store's file. Nobody may write to it."""
    with DuckDBDataStorage(tmp_path_factory.mktemp("macros")) as storage:
        for (symbol, source, timeframe), bars in SERIES.items():
            storage.store_ohlcv_data(symbol, bars, source, timeframe)
    return storage.path


@pytest.fixture(scope="session")
def client(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A client that has opened the file for reading."""
    with duckdb.connect(str(file), read_only=True, config={"threads": 1}) as connection:
        yield connection
