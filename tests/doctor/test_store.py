"""Problems of a store are found and reported with a remedy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.doctor import store as doctors_store
from lumibot_duckdb.doctor.check import FAILED, OK, SKIPPED, WARNING, Check
from lumibot_duckdb.doctor.store import check_store, locate
from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StoreBusyError
from storage.frames import minute_bars


def checks(path: Path | str) -> dict[str, Check]:
    return {check.name.removeprefix("store."): check for check in check_store(locate(str(path), []))}


def problems(found: dict[str, Check]) -> dict[str, str]:
    assert all(check.remedy for check in found.values() if check.status in (WARNING, FAILED))
    return {name: check.status for name, check in found.items() if check.status != OK}


def test_a_store_in_order(filled: Path) -> None:
    found = checks(filled)
    assert problems(found) == {}
    assert list(found) == [
        *("location", "exists", "permissions", "file_system", "space", "spool", "lock", "opens", "schema"),
    ]
    assert found["location"].details == {"path": str(filled), "origin": "--store"}
    assert found["exists"].details == {"exists": True, "bytes": filled.stat().st_size}
    assert found["schema"].details == {"version": migrations.newest(), "newest": migrations.newest()}


def test_a_missing_store_is_not_created(tmp_path: Path) -> None:
    found = checks(tmp_path / "deep" / "down")
    assert problems(found) == {}
    assert found["exists"].summary == "there is no store yet; the first write creates it"
    assert list(tmp_path.iterdir()) == []


def test_the_origin_of_the_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = (f"{tmp_path}/.env", {"LUMIBOT_DUCKDB_PATH": f"{tmp_path}/named"})
    found = locate(None, [("environment", {}), file])
    assert (found.path, found.origin) == (tmp_path / "named" / "lumibot.duckdb", f"{tmp_path}/.env")
    monkeypatch.delenv("LUMIBOT_DUCKDB_PATH", raising=False)
    monkeypatch.setenv("LUMIBOT_CACHE_FOLDER", str(tmp_path / "cache"))
    found = locate(None, [])
    assert (found.path, found.origin) == (tmp_path / "cache" / "duckdb" / "lumibot.duckdb", "default")


@pytest.mark.parametrize("given", ["", "gs://bucket/store", "file.txt/store.duckdb"])
def test_an_unusable_location_is_one_failure(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").touch()
    found = checks(given)
    assert problems(found) == {"location": FAILED}
    assert list(found) == ["location"]
    assert found["location"].remedy == "correct --store"


def test_a_damaged_store(filled: Path) -> None:
    filled.write_bytes(b"no database" * 1_000)
    found = checks(filled)
    assert problems(found) == {"opens": FAILED, "schema": SKIPPED}
    assert "restore a backup" in found["opens"].remedy


def test_a_database_that_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE prices (close DOUBLE)")
    found = checks(path)
    assert problems(found) == {"opens": FAILED, "schema": SKIPPED}
    assert "not a lumibot-duckdb store (it has prices)" in found["opens"].summary


def test_a_store_of_a_newer_release(filled: Path) -> None:
    with duckdb.connect(filled) as connection:
        connection.execute("UPDATE store_meta SET value = '999' WHERE key = 'schema_version'")
    found = checks(filled)
    assert problems(found) == {"schema": FAILED}
    assert "schema 999" in found["schema"].summary
    assert found["schema"].remedy == "pip install --upgrade lumibot-duckdb"


def test_a_store_of_an_older_release(filled: Path) -> None:
    with duckdb.connect(filled) as connection:
        connection.execute("UPDATE store_meta SET value = '1' WHERE key = 'schema_version'")
    found = checks(filled)
    if migrations.newest() > 1:
        assert "its next use upgrades the store" in found["schema"].summary
    assert found["schema"].details["version"] == 1


def test_a_store_that_is_being_written_names_the_writer(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StoreConnection.of(filled), "wait_seconds", 0.05)  # this process has opened it already
    lock = StoreLock(filled)
    lock.acquire(True, float("inf"))
    try:
        found = checks(filled)
    finally:
        lock.close()
    assert problems(found) == {"opens": WARNING, "schema": SKIPPED}
    assert f"process {os.getpid()}" in found["lock"].summary
    assert found["lock"].summary.endswith("is writing")
    assert "did not become free in time" in found["opens"].summary
    assert checks(filled)["lock"].details == {"holders": []}


def test_a_folder_and_a_file_without_permission(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def access_but_to(*denied: Path) -> Callable[[Path, int], bool]:
        return lambda path, mode: Path(path) not in denied

    monkeypatch.setattr(doctors_store.os, "access", access_but_to(filled.parent))
    found = checks(filled)
    assert problems(found) == {"permissions": FAILED}
    assert found["permissions"].details == {"denied": [str(filled.parent)]}
    assert found["file_system"].details["lock_error"] is None
    assert "were not tested" in found["file_system"].summary
    monkeypatch.setattr(doctors_store.os, "access", access_but_to(filled))
    assert checks(filled)["permissions"].details == {"denied": [str(filled)]}


def test_a_file_system_without_locks_and_one_of_several_machines(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctors_store, "kind_of", lambda folder: "nfs4")
    assert problems(checks(filled)) == {"file_system": WARNING}
    monkeypatch.setattr(doctors_store, "lock_error", lambda folder: "No locks available")
    found = checks(filled)
    assert problems(found) == {"file_system": FAILED}
    assert found["file_system"].details == {"kind": "nfs4", "lock_error": "No locks available"}


@pytest.mark.parametrize(("free", "status"), [(10**6, FAILED), (70 * 10**6, WARNING), (10**9, OK)])
def test_a_disk_that_is_full_or_will_be(free: int, status: str, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    monkeypatch.setattr(doctors_store, "_size", lambda path: 80 * 10**6 if path == filled else 0)
    found = checks(filled)
    assert found["space"].status == status
    assert found["space"].details == {"free_bytes": free, "store_bytes": 80 * 10**6}


def test_spooled_writes_and_those_that_were_quarantined(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, lock = DuckDBDataStorage(filled), StoreLock(filled)
    lock.acquire(True, float("inf"))
    connection = StoreConnection.of(filled)
    monkeypatch.setattr(connection, "wait_seconds", 0)
    with pytest.raises(StoreBusyError):
        storage.store_ohlcv_data("X", minute_bars(), "test", "minute", covered=TimeRange(0, 60))
    lock.close()
    found = checks(filled)
    assert problems(found) == {"spool": WARNING}
    assert found["spool"].details == {"writes": 1, "bars": 60, "quarantined": 0}
    assert "the next write to the store merges them" in found["spool"].remedy
    (spooled,) = (filled.parent / f"{filled.name}.spool").iterdir()
    spooled.rename(spooled.with_name(f"{spooled.name}.damaged"))
    assert checks(filled)["spool"].details == {"writes": 0, "bars": 0, "quarantined": 1}


def test_a_folder_in_the_place_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "lumibot.duckdb").mkdir()
    found = checks(tmp_path)
    assert problems(found) == {"exists": FAILED}
