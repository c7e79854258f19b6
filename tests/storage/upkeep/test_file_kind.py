"""Files that are no store: the error says what they are, and which command takes them."""

from __future__ import annotations

import gzip
import pickle
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.errors import StorageError
from lumibot_duckdb.storage.upkeep.file_kind import not_a_store
from storage.frames import minute_bars

FRAME = pd.DataFrame({"date": ["2024-01-02"], "close": [1.0]})


def sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bars (close REAL)")
    connection.close()


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bars.csv", "date,close\n")


def export(path: Path) -> None:
    storage = DuckDBDataStorage(path.with_name("exported.duckdb"))
    storage.store_ohlcv_data("AAPL", minute_bars(rows=3), "mine", "minute")
    storage.export(path)


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "csv": (FRAME.to_csv, "is a text file, not a store: if it has bars, `lumibot-duckdb import` reads them"),
    "text": (lambda path: path.write_text("é" * 3000), "is a text file"),
    "utf16": (lambda path: path.write_text("date,close", "utf-16"), "is a text file in UTF-16"),
    "parquet": (FRAME.to_parquet, "is a Parquet file, not a store: `lumibot-duckdb import` reads it"),
    "feather": (FRAME.to_feather, "is an Arrow or Feather file"),
    "sqlite": (sqlite, "is an SQLite database, not a store: export its bars to CSV"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps([1])), "is a pickle, not a store: `lumibot-duckdb migrate`"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"date,close")), "is a gzip file"),
    "zip": (zipped, "is a zip archive"),
    "empty": (Path.touch, "is empty, so it is not a store"),
    "folder": (Path.mkdir, "is a folder, not a store: name a file that `lumibot-duckdb backup` made"),
    "export": (export, "is a folder, not a store: it is an export, which `lumibot-duckdb import` restores"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_a_store_is_named(storage: DuckDBDataStorage, tmp_path: Path, kind: str) -> None:
    make, message = KINDS[kind]
    file = tmp_path / "other.duckdb"
    make(file)
    for use in (storage.merge, storage.restore):
        with pytest.raises((StorageError, ValueError), match=f"other.duckdb {message}"):
            use(file)
    assert not storage.path.exists()


def test_databases_and_unknown_files_are_left_to_duckdb(tmp_path: Path) -> None:
    database, unknown = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    duckdb.connect(str(database)).close()
    unknown.write_bytes(bytes(range(1, 256)) * 20)
    assert not_a_store(database) is None
    assert not_a_store(unknown) is None
