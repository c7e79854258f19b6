"""How a storage shows itself: in every state of the store, at once, and without an error."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from storage.frames import minute_bars
from templates import template

FRAME = minute_bars(rows=5)
HOLDER = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"


@template
def two_series(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", FRAME, "test", "minute")
    storage.store_ohlcv_data("Y", FRAME, "test", "minute")


@pytest.fixture
def filled(storage: DuckDBDataStorage) -> DuckDBDataStorage:
    two_series(storage.path)
    return storage


@contextmanager
def held(path: Path) -> Iterator[int]:
    """Hold a store in a program that uses DuckDB alone."""
    arguments = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.stdin.close()


def shown(storage: DuckDBDataStorage, seen: str) -> bool:
    """Return whether both forms show this about the store (a pattern), and its path."""
    one_line = re.fullmatch(rf"<DuckDBDataStorage {re.escape(repr(str(storage.path)))}: {seen}>", repr(storage))
    page = re.match(rf"<div><p><b>DuckDBDataStorage</b> <code>.*</code>: {seen}</p>", storage._repr_html_())
    return one_line is not None and page is not None


def test_no_store(storage: DuckDBDataStorage) -> None:
    assert shown(storage, "no store yet")
    assert not storage.path.parent.exists() or list(storage.path.parent.iterdir()) == []


def test_a_store(filled: DuckDBDataStorage) -> None:
    assert shown(filled, r"[\d.]+ [KM]B, 2 series")
    filled.store_ohlcv_data("Z", FRAME, "test", "minute")
    assert shown(filled, r"[\d.]+ [KM]B, 3 series")  # also while this process has it open for writing
    assert filled._repr_html_().count("<tr") == 4


def test_other_processes_that_hold_it_are_not_waited_for(filled: DuckDBDataStorage) -> None:
    for exclusive in (True, False):
        lock = StoreLock(filled.path)
        lock.acquire(exclusive, float("inf"))
        assert shown(filled, r"[\d.]+ [KM]B, " + ("in use by another process" if exclusive else "2 series"))
        filled.close()
        lock.close()
    with held(filled.path):
        assert shown(filled, r"[\d.]+ [KM]B, in use by another process")
    assert shown(filled, r"[\d.]+ [KM]B, 2 series")


def test_an_unfinished_write_is_left_alone(filled: DuckDBDataStorage) -> None:
    log = filled.path.with_name(filled.path.name + ".wal")
    log.write_bytes(b"half a log")
    assert shown(filled, r"[\d.]+ [KM]B")
    assert log.read_bytes() == b"half a log"


def test_a_damaged_file(filled: DuckDBDataStorage) -> None:
    filled.path.write_bytes(b"no database at all" * 1_000)
    assert shown(filled, "18 KB, damaged")


def test_another_database(filled: DuckDBDataStorage, tmp_path: Path) -> None:
    import duckdb

    filled.path.unlink()
    with duckdb.connect(str(filled.path)) as other:
        other.execute("CREATE TABLE t (i INTEGER)")
    assert shown(filled, r"[\d.]+ [KM]B, damaged")


def test_a_newer_and_an_older_schema(filled: DuckDBDataStorage) -> None:
    for version, seen in (("999", r"[\d.]+ [KM]B, written by a newer release"), ("3", r"[\d.]+ [KM]B, 2 series")):
        with StoreConnection.of(filled.path).write() as cursor:
            cursor.execute(f"UPDATE {{db}}.store_meta SET value = '{version}' WHERE key = 'schema_version'")
        filled.close()
        assert shown(DuckDBDataStorage(filled.path), seen)
        filled.close()
    assert DuckDBDataStorage(filled.path).is_outdated()  # showing it has not upgraded it


def test_a_folder_in_place_of_the_store(storage: DuckDBDataStorage) -> None:
    storage.path.mkdir(parents=True)
    assert shown(storage, "not accessible")


def test_inside_a_block_of_the_same_thread(filled: DuckDBDataStorage) -> None:
    connection = StoreConnection.of(filled.path)
    with connection.read():
        assert shown(filled, r"[\d.]+ [KM]B, 2 series")
    with connection.exclusive():
        assert shown(filled, r"[\d.]+ [KM]B, not readable at the moment")


def test_a_page_is_short_and_has_no_markup_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "<i>ü & co"
    storage = DuckDBDataStorage(folder)
    for number in range(25):
        storage.store_ohlcv_data(AssetKey(f"<b>{number:02}"), FRAME, "test", "minute")
    page = storage._repr_html_()
    assert "<code>" + str(tmp_path) + "/&lt;i&gt;ü &amp; co/" in page
    assert "<td>&lt;b&gt;00 stock</td>" in page
    assert page.count("<tr") == 21
    assert page.endswith("<p>and 5 more in <code>series()</code></p></div>")
    assert not re.search(r"<(b|i)>\d|src=|href=|<script|<style|url\(", page)
    storage.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_path_that_is_no_text(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")))
    (repr(storage) + storage._repr_html_()).encode()


def test_a_with_block_closes_the_store(filled: DuckDBDataStorage) -> None:
    with DuckDBDataStorage(filled.path) as storage:
        assert len(storage.to_pandas("X")) == 5
        assert StoreConnection.of(filled.path)._lease.is_held
    assert not StoreConnection.of(filled.path)._lease.is_held
    with pytest.raises(KeyError), DuckDBDataStorage(filled.path) as storage:
        storage.read_bars(storage.pin("X"), columns=["none"])
    assert not StoreConnection.of(filled.path)._lease.is_held
    shutil.rmtree(filled.path.parent)
